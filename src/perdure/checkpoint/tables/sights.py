"""What a process remembers of namespaces, so that a commit need not ask for what nobody has changed."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from perdure.checkpoint.base import Lease
from perdure.checkpoint.layout import Record


class Known(NamedTuple):
    """A namespace as it was last seen.

    Attributes:
        ns: Its number.
        head: Its head.
        number: The next piece's.
        record: The head's.
        lease: Whose right to write was seen to hold; of no meaning where each commit compares it.
    """

    ns: int
    head: str | None
    number: int
    record: Record | None
    lease: Lease | None = None


K = TypeVar("K")


class Sights(Generic[K]):
    """What was last seen of namespaces, bounded. Guesses: whoever uses one makes sure that it still holds."""

    _MOST = 4096

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], K] = {}

    def get(self, key: tuple[str, str]) -> K | None:
        """Return a namespace as it was last seen."""
        return self._seen.get(key)

    def note(self, key: tuple[str, str], known: K | None) -> None:
        """Remember a namespace; None: forget it."""
        seen = self._seen
        seen.pop(key, None)
        if known is None:
            return
        seen[key] = known
        if len(seen) > self._MOST:
            for old in list(seen)[: self._MOST // 2]:
                seen.pop(old, None)

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()
