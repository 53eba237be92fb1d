"""`AsyncPostgresStore`: the same store under the name that async programs know."""

from __future__ import annotations

from perdure.database.opening import AsyncOpened
from perdure.store.postgres import PostgresStore

__all__ = ["AsyncPostgresStore"]


class AsyncPostgresStore(AsyncOpened, PostgresStore):  # type: ignore[misc]  # a block of the other colour
    """A `PostgresStore` that is opened by `async with`; both colours work on both."""
