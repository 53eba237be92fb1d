"""`perdure backup`: write a database to one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.ops import Selection
from perdure.ops import backup as save

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup; one of the same name is replaced")]
Since = Annotated[
    Path | None,
    typer.Option("--since", metavar="FILE", help="Only what this earlier backup, in the same folder, hasn't"),
]
Encrypt = Annotated[bool, typer.Option("--encrypt", help="Encrypt the file with the key in PERDURE_AES_KEY")]


def backup(
    url: choosing.Url,
    file: File,
    since: Since = None,
    thread: choosing.Threads = None,
    encrypted: choosing.Encrypted = False,
    encrypt: Encrypt = False,
    as_json: options.AsJson = False,
) -> None:
    """Write threads, checkpoints, writes and items to a file; the database may be in use.

    The file appears under its name when it is whole. Of a backup since another one, only what is new is written.
    """
    require_file(url)
    with render.counting("saving", quiet=as_json) as tell:
        done = save(
            url,
            file,
            since=since,
            selection=Selection(thread or None),
            encrypted=encrypted,
            encrypt=encrypt,
            on_progress=tell,
        )
    if as_json:
        copied = done.copied
        counts = {"threads": copied.threads, "checkpoints": copied.checkpoints, "items": copied.items}
        render.print_json({"file": str(done.path), "bytes": done.size, **counts})
    else:
        render.out.print(f"{render.counts(done.copied)} in {done.path}, {done.size:,} bytes", markup=False)
