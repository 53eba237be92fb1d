"""`AsyncRedisSaver`: the same saver under the name that async programs know."""

from __future__ import annotations

from perdure.checkpoint.base import V
from perdure.checkpoint.redis import RedisSaver
from perdure.database.opening import AsyncOpened

__all__ = ["AsyncRedisSaver"]


class AsyncRedisSaver(AsyncOpened, RedisSaver[V]):  # type: ignore[misc]  # a block of the other colour
    """A `RedisSaver` that is opened by `async with`; both colours work on both."""
