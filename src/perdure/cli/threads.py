"""`perdure threads`: list the threads of a database."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer
from rich.markup import escape

from perdure.cli import options, render
from perdure.cli.database import config_of, open_for_reading
from perdure.cli.reading import summary

After = Annotated[str | None, typer.Option("--after", metavar="ID", help="Start after this thread's id")]


def threads(
    limit: options.Limit = 50,
    after: After = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """List threads with the state each is in."""
    with open_for_reading(db) as saver:
        ids = list(islice(saver.threads(limit=limit + 1, after=after), limit + 1))
        found = [saver.get_tuple(config_of(thread_id)) for thread_id in ids[:limit]]
        rows = [summary(item) for item in found if item is not None]
    if as_json:
        render.print_json(rows)
        return
    render.print_table(
        ("thread", "status", "step", "last checkpoint", "next"),
        [
            (
                escape(row["thread_id"]),
                render.coloured(row["status"]),
                row["step"],
                render.moment(row["created_at"]),
                render.names(row["next"]),
            )
            for row in rows
        ],
    )
    if len(ids) > limit:
        render.note(f"there are more: --after {ids[limit - 1]}")
