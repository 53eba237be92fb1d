"""Hints that something has changed: here by a call, to other processes by a wire. A lost one costs a poll.

Rules:
1. The database is the truth. A hint says where to look, never what is so: one that is lost, late, doubled or forged
   changes nothing but when somebody looks.
2. There is one wire: a Valkey or Redis if one is named, or else the NOTIFY of Postgres; on SQLite none. All processes
   of a deployment have to have the same one to hear each other.
3. While the wire is down everybody polls, and hints that nobody could carry are dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from perdure.errors import InvalidConfigError
from perdure.server.tasks import end

if TYPE_CHECKING:
    from perdure.server.core import Core

_log = logging.getLogger("perdure.server.hints")

_PAUSE: Final = 1.0
_MOST: Final = 1000
_DOWN: Final = "%s is down: until it is back the database is polled, and nothing is lost: %s"


Take = Callable[[], Awaitable[list[str]]]


class Wire(Protocol):
    """Carries texts between processes.

    Attributes:
        name: What it is, as the log says it.
        errors: What is raised when it is down.
    """

    name: str
    errors: tuple[type[Exception], ...]

    async def carry(self, up: Callable[[], None], take: Take, heard: Callable[[str], None]) -> None:
        """Carry until the connection is lost, which is raised; return at once if it is no use to try.

        Args:
            up: To be called when the connection is there.
            take: Waits for texts to tell.
            heard: To be called with each text of another process.
        """


class Hints:
    """Wakes who waits, here and in other processes.

    Args:
        core: The server.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._out: asyncio.Queue[str] = asyncio.Queue(_MOST)
        self._task: asyncio.Task[None] | None = None
        self._is_up = False

    def start(self) -> None:
        """Begin to tell and to hear."""
        if (wire := self._wire()) is not None:
            self._task = self._core.keep(self._keep(wire), "hints")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            await end(self._task)

    def queue(self) -> None:
        """A run may be claimed."""
        self._core.worker.hint()
        self._tell("queue")

    def events(self, run_id: str, thread_id: str, *, elsewhere: bool) -> None:
        """A run has told something, or has ended; somebody `elsewhere` may listen."""
        self._core.streams.hint(run_id, thread_id)
        if elsewhere:
            self._tell(f"events {run_id} {thread_id}")

    def cancel(self, run_id: str, action: str) -> None:
        """A run is to stop."""
        self._core.worker.stop_run(run_id, action)
        self._tell("look")

    def listening(self) -> None:
        """Somebody listens whom a run hasn't heard of."""
        self._tell("look")

    def _wire(self) -> Wire | None:
        redis, database = self._core.redis, self._core.database
        if redis is not None:
            try:
                from perdure.server.pubsub import PubSub

                return PubSub(redis)
            except (ImportError, InvalidConfigError) as e:
                _log.warning("%s; the server goes on without it", e)
        if not database.notifies:
            return None
        from perdure.server.notify import Notify

        return Notify(database.url)

    def _tell(self, text: str) -> None:
        if self._is_up and not self._out.full():
            self._out.put_nowait(text)

    async def _take(self) -> list[str]:
        texts = [await self._out.get()]
        while not self._out.empty():
            texts.append(self._out.get_nowait())
        return list(dict.fromkeys(texts))

    async def _keep(self, wire: Wire) -> None:
        """Hold the wire, anew when it is lost."""
        was_told = False
        while True:
            try:
                return await wire.carry(partial(self._came_up, wire), self._take, self._heard)
            except wire.errors as e:
                was_told = was_told and not self._is_up
                _log.log(logging.DEBUG if was_told else logging.WARNING, _DOWN, wire.name, e)
                self._is_up, was_told = False, True
            await asyncio.sleep(_PAUSE)

    def _came_up(self, wire: Wire) -> None:
        _log.info("hints go by %s", wire.name)
        self._is_up = True
        self._core.worker.hint()  # whatever was missed

    def _heard(self, text: str) -> None:
        match text.split(" "):
            case ["queue"]:
                self._core.worker.hint()
            case ["events", run_id, thread_id]:
                self._core.streams.hint(run_id, thread_id)
            case ["look"]:
                self._core.worker.look()
