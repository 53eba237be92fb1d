"""`AsyncS3Saver`: the same saver under the name that async programs know."""

from __future__ import annotations

from perdure.checkpoint.base import V
from perdure.checkpoint.s3 import S3Saver
from perdure.database.opening import AsyncOpened

__all__ = ["AsyncS3Saver"]


class AsyncS3Saver(AsyncOpened, S3Saver[V]):  # type: ignore[misc]  # a block of the other colour
    """An `S3Saver` that is opened by `async with`; both colours work on both."""
