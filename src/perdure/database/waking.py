"""From a driver's thread back to the event loops that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Waited(Protocol):
    """An operation that has run, and the future of whoever waits for it; None if that is no event loop's."""

    future: Any
    result: Any
    error: BaseException | None


def wake(jobs: Iterable[Waited]) -> None:
    """Give each loop the results of its jobs, in one call; safe from any thread."""
    by_loop: dict[AbstractEventLoop, list[Waited]] = {}
    for job in jobs:
        if job.future is not None:
            by_loop.setdefault(job.future.get_loop(), []).append(job)
    for loop, done in by_loop.items():
        try:
            loop.call_soon_threadsafe(partial(_resolve, done))
        except RuntimeError:
            continue  # the loop is closed: nobody waits any more


def _resolve(jobs: Sequence[Waited]) -> None:
    for job in jobs:
        future = job.future
        if future.cancelled():
            continue
        if job.error is not None:
            future.set_exception(job.error)
        else:
            future.set_result(job.result)
