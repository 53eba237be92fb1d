"""`StreamChannel`: a log of items that any number of readers follow, each at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["StreamChannel"]

T = TypeVar("T")


class StreamChannel(Generic[T]):
    """Items in the order in which they came. Reading one that isn't there yet drives the run that makes them.

    Every reader begins with the oldest item that is kept.

    Args:
        name: Of the projection that it is.
        maxlen: How many items are kept for readers that are behind; None for all.
    """

    def __init__(self, name: str | None = None, *, maxlen: int | None = None) -> None:
        self.name = name
        self._kept: deque[T] = deque(maxlen=maxlen)
        self._count = 0
        self._is_closed = False
        self._error: BaseException | None = None
        self._pump: Callable[[], bool] | None = None
        self._apump: Callable[[], Awaitable[bool]] | None = None

    def drive_by(
        self, pump: Callable[[], bool] | None = None, apump: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        """Say how to get more items: each call makes some progress, and tells whether there may be more."""
        self._pump, self._apump = pump, apump

    def drive_as(self, other: StreamChannel[Any]) -> None:
        """Get more items as another channel does: the same run makes both."""
        self._pump, self._apump = other._pump, other._apump

    def since(self, at: int) -> tuple[list[T], int]:
        """Return what has come after the first `at` items (as far as it is kept), and how many there are now."""
        return list(self._kept)[max(0, at - self._count + len(self._kept)) :], self._count

    def push(self, item: T) -> None:
        """Add an item."""
        self._kept.append(item)
        self._count += 1

    def close(self) -> None:
        """Say that nothing more comes."""
        self._is_closed = True

    def fail(self, err: BaseException) -> None:
        """Say that nothing more comes, and why; readers that have read everything get the error."""
        self._error, self._is_closed = err, True

    def __iter__(self) -> Iterator[T]:
        at = 0
        while True:
            at = max(at, self._count - len(self._kept))  # what isn't kept any more is passed over
            if at < self._count:
                yield self._kept[at - self._count]
                at += 1
            elif self._is_over() or self._pump is None or (not self._pump() and at >= self._count):
                self._is_over()
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        at = 0
        while True:
            at = max(at, self._count - len(self._kept))
            if at < self._count:
                yield self._kept[at - self._count]
                at += 1
            elif self._is_over() or self._apump is None or (not await self._apump() and at >= self._count):
                self._is_over()
                return

    def _is_over(self) -> bool:
        if self._error is not None:
            raise self._error
        return self._is_closed

    def tee(self, n: int = 2) -> tuple[Iterator[T], ...]:
        """Return readers that each read everything."""
        return tuple(iter(self) for _ in range(n))

    def atee(self, n: int = 2) -> tuple[AsyncIterator[T], ...]:
        """Return asynchronous readers that each read everything."""
        return tuple(aiter(self) for _ in range(n))
