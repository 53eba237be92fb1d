"""`perdure restore`: read a backup back into a database."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.exits import CommandError
from perdure.ops import Selection
from perdure.ops import restore as read_back

From = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="A file; or s3://bucket/prefix, or a folder, of which the newest is read, and those that it goes on from",
        show_default=False,
    ),
]
Last = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="ID", help="The thread as it was when this was its last checkpoint"),
]
Decrypt = Annotated[bool, typer.Option("--decrypt", help="The file is encrypted with the key in PERDURE_AES_KEY")]
Encrypt = Annotated[bool, typer.Option("--encrypt", help="Encrypt the values in the database with that key")]


def restore(
    place: From,
    url: choosing.Url,
    thread: choosing.Threads = None,
    until: choosing.Until = None,
    checkpoint: Last = None,
    decrypt: Decrypt = False,
    encrypt: Encrypt = False,
    as_json: options.AsJson = False,
) -> None:
    """Read a backup back into a database, of any kind; what is there already stays.

    The whole file is checked before anything is written.
    """
    if checkpoint is not None and len(thread or ()) != 1:
        raise CommandError("--checkpoint takes one thread too", hint="--thread ID, whose checkpoint it is")
    selection = Selection(thread or None, until=choosing.parse_time(until, "--until"), up_to=checkpoint)
    with render.counting("restoring", quiet=as_json) as tell:
        done = read_back(place, url, selection=selection, encrypted=encrypt, decrypt=decrypt, on_progress=tell)
    if as_json:
        counts = {"threads": done.threads, "checkpoints": done.checkpoints, "items": done.items}
        render.print_json({**counts, "present": done.present})
    else:
        render.out.print(f"{render.counts(done)} restored{render.present(done)}")
