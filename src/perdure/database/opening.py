"""What is opened by a URL for the length of a block, in both colours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self


class Opened:
    """Opens by `open` and closes by `close`."""

    @classmethod
    @contextmanager
    def from_conn_string(cls, conn_string: str, **options: Any) -> Iterator[Self]:
        """Open for the length of a `with` block; see `open`."""
        opened = cls.open(conn_string, **options)  # type: ignore[attr-defined]  # each has options of its own
        try:
            yield opened
        finally:
            opened.close()


class AsyncOpened:
    """Opens by `open` and closes by `aclose`."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(cls, conn_string: str, **options: Any) -> AsyncIterator[Self]:
        """Open for the length of an `async with` block; see `open`."""
        opened = cls.open(conn_string, **options)  # type: ignore[attr-defined]  # each has options of its own
        try:
            yield opened
        finally:
            await opened.aclose()
