"""What a run owes to handlers that are coroutine functions: they were called, and have to be waited for."""

from __future__ import annotations

import inspect
from typing import Any

from perdure.errors import UsageError


async def settle(owed: list[Any]) -> None:
    """Wait for the handlers, in their order."""
    while owed:
        await owed.pop(0)


def drop(owed: list[Any]) -> bool:
    """Wait for nothing, as synchronous code can't; tell whether there was anything."""
    for answer in owed:
        if inspect.iscoroutine(answer):
            answer.close()  # or it would be told of as never awaited, too
    return bool(owed)


def unpaid() -> UsageError:
    """Make the error for a handler that is a coroutine function, in a synchronous run."""
    return UsageError(
        "a handler of this run is a coroutine function, and the graph was called synchronously",
        hint="call the graph with ainvoke or astream, or make the handler a plain function",
    )
