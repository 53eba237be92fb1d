"""The server's tables on Postgres: any number of processes and machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from perdure.database.operation import Batch, Op, Replies
from perdure.database.pooling import PoolUse
from perdure.database.postgres import schema
from perdure.database.postgres.connecting import parameters_of
from perdure.database.postgres.driver import Driver
from perdure.database.postgres.exchange import Mode
from perdure.database.postgres.sources import Pool
from perdure.database.sqltext import load_migrations
from perdure.server.database import Database
from perdure.server.database.dialects import postgres_statements

_MODES: Final[dict[str, Mode]] = {"read": "plain", "write": "write", "light": "write", "once": "plain", "note": "soft"}
_POOL: Final = 8
_THREADS: Final = 4
_RETRY_FOR: Final = 30.0
_ATTEMPTS: Final = 20


@cache
def tables() -> schema.Tables:
    """Return the server's tables; those of checkpoints are in the same database."""
    return schema.Tables("perdure_server_migrations", load_migrations(Path(__file__).with_name("migrations")))


class PostgresDatabase(Database):
    """Runs operations on connections of a pool.

    Args:
        url: A URL as libpq takes it.
    """

    notifies = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.sql = postgres_statements()
        self._driver = Driver(Pool(parameters_of(url), _POOL, "auto"), _RETRY_FOR, _THREADS, _unmerged)

    @property
    def pool(self) -> PoolUse:
        return self._driver.pool

    async def setup(self) -> None:
        where = self._driver.where
        if await self._driver.arun(partial(schema.is_current, None, where, tables()), "plain"):
            return
        has_locks = bool(await self._driver.arun(schema.has_advisory_locks, "plain"))
        for _ in range(_ATTEMPTS):
            with schema.forgiving_races(last=has_locks):
                make = partial(schema.migrate, None, where, 1, has_locks=has_locks, tables=tables())
                await self._driver.arun(make, "write")
                return

    async def _arun(self, make: Callable[[], Op[Any]], kind: str) -> Any:
        return await self._driver.arun(partial(_light, make) if kind == "light" else make, _MODES[kind])

    def _run(self, make: Callable[[], Op[Any]], kind: str) -> Any:
        return self._driver.run(make, _MODES[kind])

    async def aclose(self) -> None:
        await asyncio.to_thread(self._driver.close)


_LIGHT: Final = ("SET LOCAL synchronous_commit TO off", ())


def _light(make: Callable[[], Op[Any]]) -> Op[Any]:
    """Let a transaction's commit not wait for the disk."""
    op = make()
    try:
        batch = next(op)
        replies = (yield [_LIGHT, *batch])[1:]
        while True:
            replies = yield op.send(replies)
    except StopIteration as end:
        return end.value
    finally:
        op.close()


def _unmerged(batch: Batch) -> tuple[Batch, Callable[[Replies], Replies] | None]:
    """Send the statements of several callers as they are."""
    return batch, None
