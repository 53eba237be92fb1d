"""Ending tasks of an event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN: Final = 0.05


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended; what they raise is theirs.

    Once isn't enough: `wait_for` of Python 3.11 loses a cancellation that comes when what it waits for is done
    (python/cpython#86296), and libraries use it.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_AGAIN)
