"""`perdure rekey`: encrypt a database with another key."""

from __future__ import annotations

from dataclasses import asdict

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.ops import rekey as change_keys


def rekey(url: choosing.Url, thread: choosing.Threads = None, as_json: options.AsJson = False) -> None:
    """Encrypt with the current key, the first of PERDURE_ENCRYPTION_KEYS, what is encrypted with another one.

    The database may be in use. Stopped at any moment, the same command goes on where it was.
    """
    require_file(url)
    with render.counting("rekeying", quiet=as_json) as tell:
        done = change_keys(url, threads=thread, on_progress=tell)
    if as_json:
        render.print_json(asdict(done))
    else:
        render.out.print(
            f"{done.threads} threads: {done.rewritten} rows rewritten, {done.current} were current; {done.items} items"
        )
