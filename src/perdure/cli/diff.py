"""`perdure diff`: what differs between two checkpoints."""

from __future__ import annotations

from typing import Any

from perdure.cli import options, render
from perdure.cli.database import open_for_reading, resolve
from perdure.cli.jsonable import dump, to_jsonable
from perdure.cli.reading import visible_values


def diff(
    a: options.Ref,
    b: options.Ref,
    ns: options.Namespace = "",
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what differs between the values of two checkpoints."""
    with open_for_reading(db) as saver:
        before, after = (visible_values(resolve(saver, ref, ns)) for ref in (a, b))
    changes = compare(to_jsonable(before), to_jsonable(after))
    if as_json:
        render.print_json(changes)
        return
    if not changes:
        render.note("no difference")
    for channel, change in changes.items():
        render.out.print(channel, style="bold", markup=False)
        render.print_changes(_text(change, "before"), _text(change, "after"))


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, for each channel that differs, its value before and after; a missing one has no key."""
    sides = {"before": before, "after": after}
    return {
        channel: {side: values[channel] for side, values in sides.items() if channel in values}
        for channel in sorted(before.keys() | after.keys())
        if channel not in before or channel not in after or before[channel] != after[channel]
    }


def _text(change: dict[str, Any], side: str) -> str:
    return dump(change[side]) if side in change else ""
