"""`AsyncS3Saver`: the same saver under the name that async programs know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from perdure.checkpoint.base import V
from perdure.checkpoint.s3 import S3Saver

__all__ = ["AsyncS3Saver"]


class AsyncS3Saver(S3Saver[V]):
    """An `S3Saver` that is opened by `async with`; both colours work on both."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(cls, conn_string: str, **options: Any) -> AsyncIterator[Self]:  # type: ignore[override]
        """Open a bucket for the length of an `async with` block; see `S3Saver.open`."""
        saver = cls.open(conn_string, **options)
        try:
            yield saver
        finally:
            await saver.aclose()
