"""`AsyncSqliteStore`: the same store under the name that async programs know."""

from __future__ import annotations

from perdure.database.opening import AsyncOpened
from perdure.store.sqlite import SqliteStore

__all__ = ["AsyncSqliteStore"]


class AsyncSqliteStore(AsyncOpened, SqliteStore):  # type: ignore[misc]  # a block of the other colour
    """A `SqliteStore` that is opened by `async with`; both colours work on both."""
