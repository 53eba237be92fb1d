"""`perdure state`: show where a thread is."""

from __future__ import annotations

from perdure.cli import options, render
from perdure.cli.database import latest, open_for_reading
from perdure.cli.reading import detail


def state(
    thread: options.ThreadArg,
    ns: options.Namespace = "",
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a thread's latest checkpoint: values, what runs next, open questions."""
    with open_for_reading(db) as saver:
        found = detail(latest(saver, thread, ns))
    if as_json:
        render.print_json(found)
    else:
        render.print_detail(found)
