"""`AsyncSqliteSaver`: the same saver under the name that async programs know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from perdure.checkpoint.base import V
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.sqlite import SqliteSaver, Synchronous

__all__ = ["AsyncSqliteSaver"]


class AsyncSqliteSaver(SqliteSaver[V]):
    """A `SqliteSaver` that is opened by `async with`; both colours work on both."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(  # type: ignore[override]
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> AsyncIterator[Self]:
        """Open a database for the length of an `async with` block; see `SqliteSaver.from_conn_string`."""
        saver = cls.open(conn_string, serde=serde, synchronous=synchronous, timeout=timeout)
        try:
            yield saver
        finally:
            await saver.aclose()
