"""`perdure history`: list a thread's checkpoints."""

from __future__ import annotations

from perdure.cli import options, render
from perdure.cli.database import config_of, open_for_reading, require_thread
from perdure.cli.reading import summary


def history(
    thread: options.ThreadArg,
    limit: options.Limit = 20,
    ns: options.Namespace = "",
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """List a thread's checkpoints, newest first."""
    with open_for_reading(db) as saver:
        require_thread(saver, thread, ns)
        rows = [summary(found) for found in saver.list(config_of(thread, ns), limit=limit)]
    if as_json:
        render.print_json(rows)
        return
    render.print_table(
        ("checkpoint", "step", "source", "created", "changed", "next"),
        [
            (
                row["checkpoint_id"],
                row["step"],
                row["source"],
                render.moment(row["created_at"]),
                render.names(row["updated_channels"]),
                render.names(row["next"]),
            )
            for row in rows
        ],
    )
