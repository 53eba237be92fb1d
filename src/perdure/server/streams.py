"""What runs tell, and who listens: in this process by memory, elsewhere and later by the events that are written down.

Rules:
1. An event of a run has a number, counted by whoever runs it; a run that is taken over goes on counting.
2. A run is *recorded* if its client asked for that (`stream_resumable`), or if somebody in another process, or on its
   thread, listens. What is recorded is written down before it is told: nobody has seen an event that can't be read
   again.
3. A listener gets each event once, in order. One that can't keep up is not waited for: beyond a bound of bytes what
   waits is dropped, and read again from the database if it is recorded; if not, the listener is told to go.
4. A listener in a process that doesn't run the run polls the database, hastened by hints.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from perdure.errors import PerdureError
from perdure.server.database import events, now, runs, threads
from perdure.server.encoding import number_in

if TYPE_CHECKING:
    from perdure.server.database import Database

ENDED: Final = frozenset({"success", "error", "timeout", "interrupted"})
"""What the status of a run is that has ended."""

RESULT: Final = "result"
DONE: Final = "run_done"
HIDDEN: Final = frozenset({RESULT, DONE})
"""Events that are for the server itself: a run's output, and its end."""

_SLOWEST_POLL: Final = 0.25
_WATCH: Final = 30.0
_FEWEST_ROWS: Final = 8
_MOST_ROWS: Final = 500
_MANY_BYTES: Final = 1 << 20


class SlowListenerError(PerdureError):
    """A listener was too slow, and what it missed isn't recorded."""


class Frame(NamedTuple):
    """An event as it is told.

    Attributes:
        seq: Its number in its run.
        name: The stream mode, with a namespace if it is a subgraph's.
        data: Its payload as JSON.
        at: When, in seconds since 1970.
        event: Its number in the database, if it was read from there.
        run_id: The run, if it was read from there.
    """

    seq: int
    name: str
    data: bytes
    at: float
    event: int = 0
    run_id: str = ""

    def text(self, number: int | None) -> bytes:
        """Return the event as a part of an SSE stream.

        Args:
            number: What a client sends back, after the time, to go on after this event; None: it can't.
        """
        tail = "\r\n\r\n" if number is None else f"\r\nid: {int(self.at * 1000)}-{number}\r\n\r\n"
        return b"event: %b\r\ndata: %b%b" % (self.name.encode(), self.data, tail.encode())


def number_of(last_event_id: str | None) -> int | None:
    """Return the number in an id that a client sends back; 0 for `-1`, from the start; None if it sends none."""
    if not last_event_id:
        return None
    number = last_event_id.rpartition("-")[2]
    return (number_in(number) or 0) if last_event_id != "-1" else 0


class Pace:
    """How many events are read at once: fewer where they are large.

    Attributes:
        limit: How many.
    """

    __slots__ = ("limit",)

    def __init__(self) -> None:
        self.limit = _FEWEST_ROWS

    def note(self, rows: list[dict[str, Any]]) -> None:
        """Look at what was read."""
        size = sum(len(row["data"]) for row in rows)
        if size > _MANY_BYTES:
            self.limit = max(1, self.limit * _MANY_BYTES // size)
        elif size < _MANY_BYTES // 4 and len(rows) == self.limit:
            self.limit = min(self.limit * 4, _MOST_ROWS)


class Listener:
    """What waits for somebody who listens to a run or a thread in this process.

    Attributes:
        has_lost: Whether something was dropped.
        ended: Whether the run has ended.
        moved: Whether the run has moved to another process.
        reached: Of a thread's events, the one that is told now or was the last: all before it were.
        is_close: Whether they are to be told all channels.
    """

    __slots__ = ("_bytes", "_frames", "_limit", "_wake", "ended", "has_lost", "is_close", "moved", "reached")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reached = 0
        self.is_close = False
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.has_lost = False
        self.ended = False
        self.moved = False

    def put(self, frame: Frame) -> None:
        """Add an event, or drop all that wait if they are too many bytes."""
        self._frames.append(frame)
        self._bytes += len(frame.data) + 100
        if self._bytes > self._limit:
            self._frames.clear()
            self._bytes = 0
            self.has_lost = True
        self._wake.set()

    def end(self, *, moved: bool) -> None:
        """Say that no more will come: the run has ended, or has moved to another process."""
        self.ended, self.moved = not moved, moved
        self._wake.set()

    def take(self) -> list[Frame]:
        """Take out what waits."""
        frames = list(self._frames)
        self._frames.clear()
        self._bytes = 0
        self._wake.clear()
        return frames

    @property
    def has_more(self) -> bool:
        """Whether something waits to be taken, or was dropped: a run may begin and end here while one looks away."""
        return bool(self._frames) or self.has_lost

    def hint(self) -> None:
        """Wake the listener to look at the database."""
        self._wake.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for something to come, so long at most."""
        if not self._wake.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)


class Channel:
    """The listeners of a run.

    Attributes:
        is_local: Whether this process runs it.
        recorded: Whether its events are written down.
        first: The number of the first that is.
        wants_result: Whether somebody waits for its output.
        result: Its output as JSON, once it has ended here and if somebody waits.
    """

    __slots__ = ("first", "is_local", "listeners", "recorded", "result", "wants_result")

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.is_local = False
        self.recorded = False
        self.first = 1
        self.wants_result = False
        self.result: bytes | None = None

    def publish(self, frame: Frame) -> None:
        """Tell an event to all who listen."""
        for listener in self.listeners:
            listener.put(frame)


class Streams:
    """The channels of this process, and the way to the events of others.

    Args:
        database: Where recorded events are.
        longest_backlog: Bytes that a listener may be behind.
        on_watch: Called when somebody begins to listen to a run, or its thread, maybe in another process.
    """

    def __init__(self, database: Database, longest_backlog: int, on_watch: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._limit = longest_backlog
        self._on_watch = on_watch
        self._channels: dict[str, Channel] = {}
        self._threads: dict[str, list[Listener]] = {}
        self.is_closing = False

    @property
    def count(self) -> int:
        """How many listen."""
        on_runs = sum(len(channel.listeners) for channel in self._channels.values())
        return on_runs + sum(map(len, self._threads.values()))

    # -- for who runs

    def channel(self, run_id: str) -> Channel:
        """Return a run's channel."""
        return self._channels.setdefault(run_id, Channel())

    def close(self, run_id: str, *, moved: bool = False) -> None:
        """Say that a run has ended here, or moved to another process."""
        channel = self._channels.get(run_id)
        if channel is None:
            return
        channel.is_local = False
        for listener in channel.listeners:
            listener.end(moved=moved)
        if not channel.listeners:
            self._channels.pop(run_id, None)

    def watches(self, thread_id: str, *, closely: bool = False) -> bool:
        """Tell whether somebody here listens to a thread; `closely`: who is to be told all channels."""
        listeners = self._threads.get(thread_id)
        if listeners is None or not closely:
            return listeners is not None
        return any(one.is_close for one in listeners)

    def hint(self, run_id: str, thread_id: str) -> None:
        """Wake those who poll for a run's or a thread's events."""
        if (channel := self._channels.get(run_id)) is not None and not channel.is_local:
            for listener in channel.listeners:
                listener.hint()
        for listener in self._threads.get(thread_id, ()):
            listener.hint()

    def close_all(self) -> None:
        """Let all listeners go: the server stops. Clients come back, and find the run with another process."""
        self.is_closing = True
        for channel in self._channels.values():
            for listener in channel.listeners:
                listener.hint()
        for listeners in self._threads.values():
            for listener in listeners:
                listener.hint()

    # -- for who listens to a run

    def listen(self, run_id: str, *, for_result: bool = False) -> Listener:
        """Begin to listen: nothing that is told from now on is missed."""
        channel = self.channel(run_id)
        channel.wants_result = channel.wants_result or for_result
        listener = Listener(self._limit)
        channel.listeners.append(listener)
        return listener

    def leave(self, run_id: str, listener: Listener) -> None:
        """Stop listening."""
        channel = self._channels.get(run_id)
        if channel is None:
            return
        if listener in channel.listeners:
            channel.listeners.remove(listener)
        if not channel.listeners and not channel.is_local:
            self._channels.pop(run_id, None)

    async def follow(
        self, run: dict[str, Any], listener: Listener, *, after: int | None = None
    ) -> AsyncIterator[Frame]:
        """Yield a run's events until it has ended, hidden ones too.

        Args:
            run: The run.
            listener: Made before the run could begin, or now.
            after: The last event that was seen; None: only what comes.

        Raises:
            SlowListenerError: The listener was too slow.
        """
        run_id = run["run_id"]
        last = 0 if after is None else after
        recorded = run["kwargs"].get("stream_resumable", False)
        if after is not None:
            async for frame in self._read(run_id, last):
                yield frame
                last = frame.seq
        while not self.is_closing:
            channel = self.channel(run_id)
            waiting = listener.take()
            if listener.has_lost:  # what waits has come after what was dropped
                listener.has_lost = False
                if not (recorded or (channel.recorded and channel.first <= last + 1)):
                    raise SlowListenerError(f"a listener of run {run_id} is too slow", hint="stream_resumable: true")
                async for frame in self._read(run_id, last):
                    yield frame
                    last = frame.seq
                continue
            for frame in waiting:
                if frame.seq > last:
                    yield frame
                    last = frame.seq
            if waiting:  # more may have come meanwhile, and the end
                continue
            if listener.ended:
                return
            listener.moved = False
            if channel.is_local:
                await listener.wait()
                continue
            has_ended = await self._has_ended(run_id)
            async for frame in self._read(run_id, last):
                yield frame
                last = frame.seq
            if has_ended and not channel.is_local and not listener.has_more:
                return
            await listener.wait(_SLOWEST_POLL)

    async def _has_ended(self, run_id: str) -> bool:
        found = await self._database.read(runs.get, run_id)
        if found is not None and found["status"] in ("pending", "running") and not found["watched"]:
            await self._database.note(runs.watch, run_id)
            self._on_watch()
        return found is None or found["status"] in ENDED

    async def _read(self, run_id: str, after: int) -> AsyncIterator[Frame]:
        pace = Pace()
        while rows := await self._database.read(events.of_run, run_id, after, pace.limit):
            pace.note(rows)
            for row in rows:
                yield frame_of(row)
            after = rows[-1]["seq"]

    # -- for who listens to a thread

    def lags(self, thread_id: str, event: int) -> bool:
        """Tell whether somebody who listens to a thread here hasn't been told yet what came before an event."""
        return any(one.reached < event for one in self._threads.get(thread_id, ()))

    async def follow_thread(
        self, thread_id: str, after: int | None, filters: str | None, *, closely: bool = False
    ) -> AsyncGenerator[Frame, None]:
        """Yield the events of a thread's runs, of all that come, for as long as the client may see the thread.

        Args:
            thread_id: The thread.
            after: The last event that was seen; None: only what comes.
            filters: What of threads the client may see.
            closely: Whether the runs are to tell all channels of the event protocol, not only what they were made for.
        """
        listener = Listener(self._limit)
        listener.is_close = closely
        self._threads.setdefault(thread_id, []).append(listener)
        try:
            last = await self._database.read(events.last_of_thread, thread_id) if after is None else after
            listener.reached = last
            renewed, pace = 0.0, Pace()
            while not self.is_closing:
                if now() > renewed:
                    if filters is not None and not await self._database.read(threads.get, thread_id, filters):
                        return
                    is_run = await self._database.note(threads.watch, thread_id, now() + _WATCH, closely=closely)
                    if is_run and not renewed:
                        self._on_watch()
                    renewed = now() + _WATCH / 3
                listener.take()
                rows = await self._database.read(events.of_thread, thread_id, last, pace.limit, filters)
                pace.note(rows)
                for row in rows:
                    listener.reached = last = row["event"]
                    yield frame_of(row)
                if not rows:
                    await listener.wait(_SLOWEST_POLL)
        finally:
            self._threads[thread_id].remove(listener)
            if not self._threads[thread_id]:
                del self._threads[thread_id]


def frame_of(row: dict[str, Any]) -> Frame:
    """Return an event that was written down."""
    return Frame(row["seq"], row["name"], row["data"].encode(), row["created_at"], row["event"], row["run_id"])
