"""`AsyncPostgresSaver`: the same saver under the name that async programs know."""

from __future__ import annotations

from perdure.checkpoint.base import V
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.postgres.conn import AsyncConn as Conn
from perdure.checkpoint.postgres.shallow import AsyncShallowPostgresSaver
from perdure.database.opening import AsyncOpened

__all__ = ["AsyncPostgresSaver", "AsyncShallowPostgresSaver", "Conn"]


class AsyncPostgresSaver(AsyncOpened, PostgresSaver[V]):  # type: ignore[misc]  # a block of the other colour
    """A `PostgresSaver` that is opened by `async with`; both colours work on both."""
