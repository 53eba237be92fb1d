"""Threads as a whole: their states, by the graphs that they were last run with; and their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.rules import held
from perdure.errors import PerdureError
from perdure.server.database import threads

if TYPE_CHECKING:
    from perdure.server.core import Core

_log = logging.getLogger("perdure.server")


@asynccontextmanager
async def graph_of(core: Core, thread: dict[str, Any]) -> AsyncIterator[Any]:
    """Lend the graph that a thread was last run with; None if it hasn't been run with one that is served."""
    name = thread["metadata"].get("graph_id")
    if not isinstance(name, str) or not core.graphs.known(name):
        yield None
        return
    async with core.graphs.open(name, thread["config"] or {}) as graph:
        yield graph


async def state_of(core: Core, thread: dict[str, Any], config: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return a thread's state; None if it has no graph."""
    async with graph_of(core, thread) as graph:
        if graph is None:
            return None
        address = {"thread_id": thread["thread_id"], **(config or {})}
        return await graph.aget_state({"configurable": address}, **options)


async def delete_thread(core: Core, thread_id: str, filters: str | None) -> bool:
    """Delete a thread with all that belongs to it; tell whether there was one. A run that has it is stopped.

    Raises:
        ThreadHeldError: It is on hold: nothing of it is deleted.
    """
    await check_free(core, [thread_id], filters)
    if not await core.database.write(threads.delete, thread_id, filters):
        return False
    for execution in list(core.worker.active.values()):
        if execution.thread_id == thread_id:
            execution.stop("lost")
    await core.saver.adelete_thread(thread_id)
    return True


async def check_free(core: Core, thread_ids: Iterable[str], filters: str | None) -> None:
    """Check that none of the threads that the filters let be seen is on hold.

    Raises:
        ThreadHeldError: One of them is.
    """
    for thread_id in thread_ids:
        reason = (await core.saver.arules_of(thread_id)).hold
        if reason is not None and await core.database.read(threads.get, thread_id, filters) is not None:
            raise held(thread_id, reason)


def forget_later(core: Core, thread_id: str) -> None:
    """Delete a thread that was a run's own; who still reads the run's events elsewhere may do so."""
    task = asyncio.ensure_future(_forget(core, thread_id))
    core.forgetting.add(task)
    task.add_done_callback(core.forgetting.discard)


async def _forget(core: Core, thread_id: str) -> None:
    try:
        await core.saver.adelete_thread(thread_id)
        await core.database.note(threads.forget, thread_id)
    except PerdureError as e:
        _log.warning("thread %s isn't deleted yet: %s", thread_id, e)
