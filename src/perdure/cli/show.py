"""`perdure show`: show one checkpoint."""

from __future__ import annotations

from perdure.cli import options, render
from perdure.cli.database import open_for_reading, resolve
from perdure.cli.reading import detail


def show(
    checkpoint: options.Ref,
    ns: options.Namespace = "",
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Show one checkpoint: values, what its tasks have written so far, errors."""
    with open_for_reading(db) as saver:
        found = detail(resolve(saver, checkpoint, ns))
    if as_json:
        render.print_json(found)
    else:
        render.print_detail(found)
