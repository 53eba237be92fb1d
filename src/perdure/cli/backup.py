"""`perdure backup`: write a database to one file, or add a backup to a place that holds many, also again and again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.exits import CommandError
from perdure.cli.scheduling import Stopping, repeated
from perdure.ops import Backup, Selection, shelve, tidy
from perdure.ops import backup as save
from perdure.ops.archive.shelves import is_shelf
from perdure.ops.progress import OnProgress
from perdure.ops.shelving import CHAIN

To = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="A file, of which one of the same name is replaced; or s3://bucket/prefix, or a folder (ends with /): "
        "a new backup is added there, which goes on from the newest",
    ),
]
Since = Annotated[
    Path | None,
    typer.Option("--since", metavar="FILE", help="Only what this earlier backup, in the same folder, hasn't"),
]
Encrypt = Annotated[bool, typer.Option("--encrypt", help="Encrypt the backup with the key in PERDURE_AES_KEY")]
Every = Annotated[str | None, typer.Option("--every", metavar="1h", help="Go on, with a backup so often")]
Keep = Annotated[
    str | None, typer.Option("--keep", metavar="7d", help="Then delete older ones, if no newer one needs them")
]
KeepLast = Annotated[
    int | None,
    typer.Option("--keep-last", min=1, metavar="N", help="Then delete all but so many, and what they need"),
]
Chain = Annotated[int, typer.Option("--chain", min=1, metavar="N", help="Every so many backups one is complete")]


def backup(
    url: choosing.Url,
    place: To,
    since: Since = None,
    thread: choosing.Threads = None,
    every: Every = None,
    keep: Keep = None,
    keep_last: KeepLast = None,
    chain: Chain = CHAIN,
    encrypted: choosing.Encrypted = False,
    encrypt: Encrypt = False,
    as_json: options.AsJson = False,
) -> None:
    """Write threads, checkpoints, writes and items to a file, a folder or a bucket; the database may be in use.

    A backup appears under its name when it is whole. Of one that goes on from another, only what is new is written.
    """
    if not is_shelf(place):
        if every or keep or keep_last:
            raise CommandError(
                "--every and --keep are for places that hold many", hint="s3://bucket/prefix, or folder/"
            )
        require_file(url)
        with render.counting("saving", quiet=as_json) as tell:
            done = save(
                url,
                place,
                since=since,
                selection=Selection(thread or None),
                encrypted=encrypted,
                encrypt=encrypt,
                on_progress=tell,
            )
        _tell(done, (), as_json=as_json)
        return
    if thread or since:
        raise CommandError(f"--thread and --since are for files, and {place} holds backups of all of a database")
    kept = choosing.parse_span(keep, "--keep")
    pause = choosing.parse_span(every, "--every")
    if pause is not None and not pause:
        raise CommandError("--every takes a length of time that is more than nothing", hint="1h")

    def once(tell: OnProgress) -> None:
        require_file(url)
        done = shelve(url, place, chain=chain, encrypted=encrypted, encrypt=encrypt, on_progress=tell)
        _tell(done, _tidied(place, kept, keep_last), as_json=as_json)

    if pause is not None:
        repeated(once, pause.total_seconds(), Stopping())
        return
    with render.counting("saving", quiet=as_json) as tell:
        once(tell)


def _tidied(place: str, keep: timedelta | None, keep_last: int | None) -> tuple[str, ...]:
    return () if keep is None and keep_last is None else tuple(tidy(place, keep=keep, keep_last=keep_last))


def _tell(done: Backup, gone: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        copied = done.copied
        counts = {"threads": copied.threads, "checkpoints": copied.checkpoints, "items": copied.items}
        render.print_json({"file": str(done.path), "since": done.since, "bytes": done.size, **counts, "deleted": gone})
        return
    after = f", going on from {done.since}" if done.since else ""
    render.out.print(f"{render.counts(done.copied)} in {done.path}, {done.size:,} bytes{after}", markup=False)
    for name in gone:
        render.out.print(f"deleted {name}", markup=False)
