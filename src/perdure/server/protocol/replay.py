"""Where a stream of a thread's events begins, and what it tells from there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from perdure.server.database import events, now, runs, threads
from perdure.server.encoding import asked, encode
from perdure.server.protocol.telling import requested
from perdure.server.protocol.wire import TOLD, Filter, is_root_end, is_root_stop
from perdure.server.states import state_of
from perdure.server.streams import ENDED, Frame

if TYPE_CHECKING:
    from perdure.server.core import Core

_FAR: Final = 1 << 40
"""Added to an event's number for a mark that stands after all events of its run."""


async def beginning(core: Core, thread_id: str, wanted: Filter, since: int | None) -> int:
    """Return the event after which a stream begins.

    Without `since` that is before the first event of the run that goes on, or of the newest. A watcher isn't told again
    how a run has ended that a watcher has heard of: it waits for the run that its client is about to start.
    """
    if since is not None:
        return since
    active = await core.database.read(runs.listed, thread_id, "running", 1, 0)
    run = next(iter(active or await core.database.read(runs.listed, thread_id, None, 1, 0)), None)
    last: int = await core.database.read(events.last_of_thread, thread_id)
    if run is None:
        return last
    first, was_told = await core.database.read(events.begin_of_run, run["run_id"], TOLD)
    if not first or (wanted.is_watcher and was_told and run["status"] in ENDED):
        return last
    return int(first) - 1


async def follow(
    core: Core, thread_id: str, wanted: Filter, after: int, *, is_new: bool, filters: str | None
) -> AsyncGenerator[Frame, None]:
    """Yield the events that are wanted, those that come too.

    Args:
        core: The server.
        thread_id: The thread.
        wanted: Which.
        after: The last event that was seen.
        is_new: Whether this is a stream that didn't say where to begin.
        filters: What of threads the client may see.
    """
    if is_new:
        for frame in await open_questions(core, thread_id, after):
            if wanted.wants(frame):
                yield frame
    opened = now() if is_new else 0.0
    async with aclosing(core.streams.follow_thread(thread_id, after, filters, closely=True)) as frames:
        async for frame in frames:
            if wanted.wants(frame):
                if is_new and wanted.is_watcher and is_root_end(frame):
                    await mark_told(core, thread_id, frame)  # first: the client may hear it elsewhere, and go
                if is_root_stop(frame):
                    await core.ends.wait(thread_id, frame, opened)
                yield frame


async def mark_told(core: Core, thread_id: str, frame: Frame) -> None:
    """Remember that a watcher has heard of a run's end."""
    row = (thread_id, frame.run_id, frame.seq + _FAR, TOLD, "null", now())
    await core.database.note(events.add, [row])


async def open_questions(core: Core, thread_id: str, after: int) -> list[Frame]:
    """Return the questions of a thread that waits, if the events that told them aren't kept any more."""
    thread: dict[str, Any] | None = await core.database.read(threads.get, thread_id)
    if thread is None or thread["status"] != "interrupted":
        return []
    if await core.database.read(events.of_thread, thread_id, after, 1):
        return []
    state = await state_of(core, thread)
    found = []
    for place, question in enumerate((state and state.interrupts) or (), 1):
        name, params = requested(asked(question), ())
        found.append(Frame(place, name, encode(params), now(), after, f"question-{question.id}"))
    return found
