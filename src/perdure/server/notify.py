"""Hints by the NOTIFY of Postgres: one connection a process, which a pooler in transaction mode can't lend."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psycopg

from perdure.database.postgres.connecting import ais_pooled

if TYPE_CHECKING:
    from perdure.server.hints import Take

_log = logging.getLogger("perdure.server.hints")

_CHANNEL: Final = "perdure_server"


class Notify:
    """A wire of `perdure.server.hints`.

    Args:
        url: The database.
    """

    name = "NOTIFY"
    errors: tuple[type[Exception], ...] = (psycopg.Error, OSError)

    def __init__(self, url: str) -> None:
        self._url = url
        self._mine = uuid.uuid4().hex

    async def carry(self, up: Callable[[], None], take: Take, heard: Callable[[str], None]) -> None:
        """Tell and hear on one connection: to hear, it must not be in use; texts to tell end the hearing."""
        connecting = psycopg.AsyncConnection.connect(self._url, autocommit=True, prepare_threshold=None)
        async with await connecting as connection:
            if await ais_pooled(connection):
                _log.warning("NOTIFY doesn't pass a pooler: all is polled, unless REDIS_URI names a Valkey or Redis")
                return
            await connection.execute(f"LISTEN {_CHANNEL}")
            up()
            telling = asyncio.ensure_future(take())
            try:
                while True:
                    hearing = asyncio.create_task(self._hear(connection, heard))
                    try:
                        await asyncio.wait([hearing, telling], return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        hearing.cancel()
                        with suppress(asyncio.CancelledError):
                            await hearing
                    texts, telling = telling.result(), asyncio.ensure_future(take())
                    for text in texts:
                        await connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, f"{self._mine} {text}"))
            finally:
                telling.cancel()

    async def _hear(self, connection: psycopg.AsyncConnection, heard: Callable[[str], None]) -> None:
        async for notice in connection.notifies():
            sender, _, text = notice.payload.partition(" ")
            if sender != self._mine:
                heard(text)
