"""`AsyncAzureSaver`: the same saver under the name that async programs know."""

from __future__ import annotations

from perdure.checkpoint.azure import AzureSaver
from perdure.checkpoint.base import V
from perdure.database.opening import AsyncOpened

__all__ = ["AsyncAzureSaver"]


class AsyncAzureSaver(AsyncOpened, AzureSaver[V]):  # type: ignore[misc]  # a block of the other colour
    """An `AzureSaver` that is opened by `async with`; both colours work on both."""
