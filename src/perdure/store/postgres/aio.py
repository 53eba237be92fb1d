"""`AsyncPostgresStore`: the same store under the name that async programs know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from perdure.store.postgres import PostgresStore

__all__ = ["AsyncPostgresStore"]


class AsyncPostgresStore(PostgresStore):
    """A `PostgresStore` that is opened by `async with`; both colours work on both."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(cls, conn_string: str, **options: Any) -> AsyncIterator[Self]:  # type: ignore[override]
        """Connect to a database for the length of an `async with` block; see `PostgresStore.open`."""
        store = cls.open(conn_string, **options)
        try:
            yield store
        finally:
            await store.aclose()
