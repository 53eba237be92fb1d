"""Every deliberate difference in behaviour from the reference: one entry, one reason, one line in the documentation.

`reconcile` takes out of a transcript what the difference is about, and nothing else. It applies to cases that
name the difference, or to all if it shows everywhere; a test fails when a difference doesn't show any more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """A named difference; the reason is the line in docs/differences.md."""

    reason: str
    reconcile: Callable[[Any], Any]
    everywhere: bool = False


def without(*keys: str, inside: str) -> Callable[[Any], Any]:
    """Return a function that drops keys from each mapping under a key named `inside`."""

    def drop(tree: Any, here: str = "") -> Any:
        if isinstance(tree, dict):
            kept = {key: value for key, value in tree.items() if here != inside or key not in keys}
            return {key: drop(value, str(key)) for key, value in kept.items()}
        if isinstance(tree, list | tuple):
            return type(tree)(drop(item, here) for item in tree)
        return tree

    return drop


DIFFERENCES: dict[str, Difference] = {
    "no-empty-versions-seen": Difference(
        "`versions_seen` has entries for nodes only: no `__input__` that is always empty.",
        without("__input__", inside="seen"),
        everywhere=True,
    ),
}
EVERYWHERE = tuple(name for name, difference in DIFFERENCES.items() if difference.everywhere)
