"""Hints that something has changed: here by a call, to other processes by NOTIFY. A lost one costs a poll."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from perdure.server.core import Core

_log = logging.getLogger("perdure.server.hints")

_CHANNEL: Final = "perdure_server"
_PAUSE: Final = 1.0


class Hints:
    """Wakes who waits, here and in other processes.

    Args:
        core: The server.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._out: asyncio.Queue[str] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell and to hear."""
        if self._core.database.notifies:
            self._task = self._core.keep(self._keep(), "hints")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def queue(self) -> None:
        """A run may be claimed."""
        self._core.worker.hint()
        self._tell("queue")

    def events(self, run_id: str, thread_id: str) -> None:
        """A run has told something, or has ended."""
        self._core.streams.hint(run_id, thread_id)
        if self._core.streams.is_recorded(run_id):
            self._tell(f"events {run_id} {thread_id}")

    def cancel(self, run_id: str, action: str) -> None:
        """A run is to stop."""
        self._core.worker.stop_run(run_id, action)
        self._tell(f"cancel {run_id} {action}")

    def _tell(self, text: str) -> None:
        if self._task is not None and self._out.qsize() < 1000:
            self._out.put_nowait(text)

    async def _keep(self) -> None:
        """Hold a connection that tells and hears, anew when it is lost."""
        import psycopg

        while True:
            try:
                connecting = psycopg.AsyncConnection.connect(self._core.database.url, autocommit=True)
                async with await connecting as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}")
                    await self._talk(connection)
            except (psycopg.Error, OSError) as e:
                _log.info("hints are late for a while: %s", e)
                await asyncio.sleep(_PAUSE)

    async def _talk(self, connection: Any) -> None:
        """Tell and hear on one connection: to hear, it must not be in use; a new text to tell ends the hearing."""
        mine = f"{id(self)}-{self._core.worker.holder}"
        while True:
            hearing = asyncio.create_task(self._hear(connection, mine))
            telling = asyncio.create_task(self._out.get())
            try:
                await asyncio.wait([hearing, telling], return_when=asyncio.FIRST_COMPLETED)
            finally:
                hearing.cancel()
                with suppress(asyncio.CancelledError):
                    await hearing
                if not telling.done():
                    telling.cancel()
            texts = [telling.result()] if telling.done() and not telling.cancelled() else []
            while not self._out.empty():
                texts.append(self._out.get_nowait())
            for text in dict.fromkeys(texts):
                await connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, f"{mine} {text}"))

    async def _hear(self, connection: Any, mine: str) -> None:
        async for notice in connection.notifies():
            sender, _, text = notice.payload.partition(" ")
            if sender != mine:
                self._heard(text.split(" "))

    def _heard(self, words: list[str]) -> None:
        match words:
            case ["queue"]:
                self._core.worker.hint()
            case ["events", run_id, thread_id]:
                self._core.streams.hint(run_id, thread_id)
            case ["cancel", run_id, action]:
                self._core.worker.stop_run(run_id, action)
