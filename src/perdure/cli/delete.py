"""`perdure delete`: remove a thread."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perdure.cli import options, render
from perdure.cli.database import open_for_reading, require_thread
from perdure.cli.exits import CommandError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask")]


def delete(
    thread: options.ThreadArg,
    yes: Yes = False,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove a thread with all its checkpoints, of every namespace."""
    with open_for_reading(db) as saver:
        require_thread(saver, thread)
        if not yes:
            _confirm(thread)
        saver.delete_thread(thread)
    if as_json:
        render.print_json({"deleted": thread})
    else:
        render.note(f"deleted {thread}")


def _confirm(thread: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(f"deleting {thread!r} can't be undone, and nobody is there to ask", hint="add --yes")
    typer.confirm(f"delete {thread!r} with all its checkpoints?", abort=True, err=True)
