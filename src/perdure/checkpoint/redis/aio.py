"""`AsyncRedisSaver`: the same saver under the name that async programs know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from perdure.checkpoint.base import V
from perdure.checkpoint.redis import RedisSaver

__all__ = ["AsyncRedisSaver"]


class AsyncRedisSaver(RedisSaver[V]):
    """A `RedisSaver` that is opened by `async with`; both colours work on both."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(cls, conn_string: str, **options: Any) -> AsyncIterator[Self]:  # type: ignore[override]
        """Connect to a server for the length of an `async with` block; see `RedisSaver.open`."""
        saver = cls.open(conn_string, **options)
        try:
            yield saver
        finally:
            await saver.aclose()
