"""Runs operations on async connections that the caller brought, and that belong to one event loop."""

from __future__ import annotations

from asyncio import Lock, sleep
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from perdure.database.attempts import Attempts
from perdure.database.operation import Op
from perdure.database.postgres.connecting import aexecute, ais_pooled, check_settings, place_of
from perdure.database.postgres.errors import mapped, may_be_retried
from perdure.database.postgres.exchange import Job, Mode, alone
from perdure.errors import UsageError

T = TypeVar("T")


class LoopDriver:
    """Owns the way to the database.

    Args:
        brought: A `psycopg.AsyncConnection`, or a `psycopg_pool.AsyncConnectionPool`.
        retry_for: Seconds to go on trying, since the first failure.
    """

    def __init__(self, brought: Any, retry_for: float) -> None:
        self._single: AsyncConnection[Any] | None = None
        if isinstance(brought, AsyncConnection):
            check_settings(brought)
            self._single = brought
            self.where = place_of(brought.info.get_parameters())
        else:
            self.where = f"pool {brought.name!r}"
        self._pool: Any = brought
        self._lock = Lock()
        self._retry_for = retry_for
        self._is_pooled: bool | None = None
        self._closed = False

    def run(self, make: Callable[[], Op[T]], mode: Mode, *, later: bool = False) -> T:
        """Refuse.

        Raises:
            UsageError: Always: the connection belongs to an event loop, which can't be waited for from here.
        """
        raise UsageError(
            "the saver was given an async connection, which serves async callers only",
            hint="use `ainvoke` and the like, or `PostgresSaver.from_conn_string(url)`: that serves both",
        )

    async def arun(self, make: Callable[[], Op[T]], mode: Mode, key: str = "") -> T:
        """Run an operation."""
        if self._closed:
            raise UsageError("the saver is closed", hint="use it inside of its `with` block")
        attempts = Attempts(self._retry_for)
        while True:
            job = Job(make, mode)
            try:
                await self._attempt(job)
            except Exception as e:  # noqa: BLE001 - of the connection, or of the database
                pause = attempts.pause() if may_be_retried(e) and self._may_try_again() else None
                if pause is None:
                    raise mapped(e, self.where) from e.__cause__
                await sleep(pause)
                continue
            if job.error is not None:
                raise job.error
            return job.result  # type: ignore[no-any-return]

    def _may_try_again(self) -> bool:
        return self._single is None or not self._single.closed

    async def _attempt(self, job: Job) -> None:
        exchange = alone(job)
        async with self._lend() as connection:
            if self._is_pooled is None:
                self._is_pooled = await ais_pooled(connection)
            prepare = False if self._is_pooled else None
            try:
                batch = next(exchange)
                while True:
                    batch = exchange.send(await aexecute(connection, batch, prepare=prepare))
            except StopIteration:
                pass
            finally:
                exchange.close()

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[AsyncConnection[Any]]:
        if self._single is None:
            connection = await self._pool.getconn(self._retry_for)
            try:
                check_settings(connection)
                yield connection
            finally:
                await _restore(connection)
                await self._pool.putconn(connection)
            return
        async with self._lock:
            if self._single.closed:
                raise UsageError(
                    f"the connection to {self.where} is closed",
                    hint="a saver can't open the caller's connection anew: use `from_conn_string`, or a pool",
                )
            check_settings(self._single)
            try:
                yield self._single
            finally:
                await _restore(self._single)

    def close(self) -> None:
        """Leave the connections to the caller."""
        self._closed = True

    abandon = close


async def _restore(connection: AsyncConnection[Any]) -> None:
    """End what an error has left open."""
    status = connection.pgconn.transaction_status
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        try:
            await connection.rollback()
        except psycopg.Error:
            await connection.close()
    elif status == TransactionStatus.ACTIVE:
        await connection.close()
