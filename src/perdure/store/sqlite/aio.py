"""`AsyncSqliteStore`: the same store under the name that async programs know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from perdure.store.sqlite import SqliteStore

__all__ = ["AsyncSqliteStore"]


class AsyncSqliteStore(SqliteStore):
    """A `SqliteStore` that is opened by `async with`; both colours work on both."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(  # type: ignore[override]
        cls, conn_string: str, **options: Any
    ) -> AsyncIterator[Self]:
        """Open a database for the length of an `async with` block; see `SqliteStore.from_conn_string`."""
        store = cls.open(conn_string, **options)
        try:
            yield store
        finally:
            await store.aclose()
