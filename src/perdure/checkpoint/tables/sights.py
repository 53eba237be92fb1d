"""What a process remembers of namespaces, so that a commit need not ask for what nobody has changed."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

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


class Sights(dict[tuple[str, str], K]):
    """What was last seen of namespaces, bounded. Guesses: whoever uses one makes sure that it still holds."""

    _MOST = 4096

    def note(self, key: tuple[str, str], known: K | None) -> None:
        """Remember a namespace; None: forget it."""
        self.pop(key, None)
        if known is None:
            return
        self[key] = known
        if len(self) > self._MOST:
            for old in list(self)[: self._MOST // 2]:
                self.pop(old, None)
