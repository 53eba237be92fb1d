"""A saver on Postgres: one database, any number of threads, tasks, event loops, processes and machines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

from perdure.checkpoint import records
from perdure.checkpoint.base import Commit, Lease, V
from perdure.checkpoint.postgres import operations
from perdure.checkpoint.postgres.conn import Conn
from perdure.checkpoint.postgres.dialect import PostgresDialect, dialect_of, savers_tables
from perdure.checkpoint.postgres.merging import merged
from perdure.checkpoint.postgres.searching import searched_of
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.scrubbing import Chunk, Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables.saver import Kind
from perdure.checkpoint.tables.served import ServedSaver
from perdure.checkpoint.tables.sights import Known, Sights
from perdure.database.operation import Op
from perdure.database.pooling import PoolUse
from perdure.database.postgres import schema, scrubbing
from perdure.database.postgres.connecting import Threshold, parameters_of
from perdure.database.postgres.driver import Driver
from perdure.database.postgres.exchange import Mode
from perdure.database.postgres.loopdriver import LoopDriver
from perdure.database.postgres.opening import driver_for
from perdure.database.postgres.sources import Pool
from perdure.errors import InvalidConfigError, UsageError

__all__ = ["BasePostgresSaver", "Conn", "PostgresSaver", "open_url"]

_MODES: dict[Kind, Mode] = {
    "read": "plain",
    "write": "write",
    "commit": "write",
    "acquire": "plain",
    "lease": "soft",
    "release": "soft",
}


class PostgresSaver(ServedSaver[V]):
    """Stores checkpoints in a Postgres database.

    One object serves sync and async callers, any number of threads and event loops. A superstep is committed in one
    round trip. Async callers that commit at the same time share a transaction and its fsync. Lost connections and
    restarts of the server cost a delay: every operation may be repeated, so it is.

    Nothing is kept in a session, so a pooler in transaction mode (PgBouncer) may stand between. It is noticed, and then
    nothing is prepared; `prepare_threshold=3` prepares all the same, for a pooler that tracks prepared statements.

    Args:
        connection: A `psycopg.Connection` or `psycopg_pool.ConnectionPool` with `autocommit=True`; or an
            `AsyncConnection` or `AsyncConnectionPool` with it, which serves async callers of its event loop only. The
            caller closes it. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        schema: Where the tables are; wherever the connection's `search_path` leads if None.
        retry_for: Seconds to go on trying when the server is away, or in the way of others.
    """

    _where: str | None = None

    def __init__(
        self,
        connection: Any,
        *,
        serde: SerializerProtocol | None = None,
        schema: str | None = None,
        retry_for: float = 30.0,
    ) -> None:
        super().__init__(dialect_of(schema), serde=serde)
        self._dialect: PostgresDialect
        self._schema = schema
        self._owns = isinstance(connection, Pool)
        self._driver: Driver | LoopDriver = driver_for(connection, retry_for, partial(merged, self._dialect))
        self._sights: Sights[Known] = Sights()
        self._ready = False
        self._setup_lock = threading.Lock()

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        schema: str | None = None,
        pool_size: int = 10,
        prepare_threshold: Threshold = "auto",
        retry_for: float = 30.0,
    ) -> Self:
        """Connect to a database, when it is first used; the caller closes the saver, by `close()` or a `with` block.

        Args:
            conn_string: A URL, or `key=value` pairs, as libpq takes them.
            serde: Turns values into bytes.
            schema: Where the tables are.
            pool_size: At most so many connections.
            prepare_threshold: After how many uses on a connection a statement is prepared there; None: never; `auto`:
                after 3, and never if a pooler stands between.
            retry_for: Seconds to go on trying when the server is away, or in the way of others.

        Raises:
            InvalidConfigError: It is no connection string.
        """
        if pool_size < 1:
            raise InvalidConfigError(f"pool_size must be at least 1, not {pool_size}")
        pool = Pool(parameters_of(conn_string), pool_size, prepare_threshold)
        made = cls(pool, serde=serde, schema=schema, retry_for=retry_for)
        made._where = conn_string
        return made

    @property
    def pool(self) -> PoolUse | None:
        """How many of its connections are used; None for a connection or a pool of an event loop."""
        return self._driver.pool if isinstance(self._driver, Driver) else None

    def scrub(self, timeout: float = 30.0) -> Scrub:
        self.setup()
        done, failed, beyond = scrubbing.scrub(self._named(), timeout)
        return Scrub(tuple(done), tuple(failed), tuple(beyond))

    def raw(self) -> Iterator[Chunk]:
        yield from (Chunk(*part) for part in scrubbing.read(self._named()))

    def _named(self) -> str:
        if self._where is None:
            raise UsageError("a connection that was brought can't be scrubbed", hint="open the saver by its URL")
        return self._where

    # -- tables

    def setup(self, *, partitions: int = 1) -> None:
        """Create or migrate the tables. Optional: the first use does it. Safe for many processes at once.

        If the tables are current, no right is needed but to use them.

        Args:
            partitions: New tables are split into so many parts by a hash of the namespace.

        Raises:
            SchemaVersionError: The database was made by a newer perdure.
        """
        if self._ready:
            return
        with self._setup_lock:
            if not self._ready and not self._driver.run(self._asking(), "plain"):
                schema.check_partitions(partitions)
                has_locks = bool(self._driver.run(schema.has_advisory_locks, "plain"))
                for migrating in self._migrating(partitions, has_locks=has_locks):
                    with schema.forgiving_races(last=has_locks):
                        self._driver.run(migrating, "write")
                        break
            self._ready = True

    async def asetup(self, *, partitions: int = 1) -> None:
        """Async twin of `setup`."""
        if self._ready:
            return
        if not await self._driver.arun(self._asking(), "plain"):
            schema.check_partitions(partitions)
            has_locks = await self._driver.arun(schema.has_advisory_locks, "plain")
            for migrating in self._migrating(partitions, has_locks=has_locks):
                with schema.forgiving_races(last=has_locks):
                    await self._driver.arun(migrating, "write")
                    break
        self._ready = True

    def _asking(self) -> Callable[[], Op[bool]]:
        return partial(schema.is_current, self._schema, self._driver.where, savers_tables())

    def _migrating(self, partitions: int, *, has_locks: bool) -> Iterator[Callable[[], Op[None]]]:
        """Yield attempts to migrate: without locks, the first makers of one thing get in each other's way."""
        for _ in range(20):
            yield partial(
                schema.migrate,
                self._schema,
                self._driver.where,
                partitions,
                has_locks=has_locks,
                tables=savers_tables(),
            )

    # -- running

    def _run(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        if not self._ready:
            self.setup()
        return self._driver.run(make, _MODES[kind], later=kind == "release")

    async def _arun(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        if not self._ready:
            await self.asetup()
        return await self._driver.arun(make, _MODES[kind])

    # -- commits

    def prepare(self, commit: Commit) -> Prepared:
        one = records.prepare(self._within or self.serde, self._lineage, commit)
        if commit.checkpoint is None:
            return one
        return one._replace(searched=searched_of(self._dialect.searchable(commit.metadata or {})))

    def commit(self, prepared: Sequence[Prepared]) -> bool:
        if operations.may_append(prepared):
            if not self._ready:
                self.setup()
            stop = self._driver.run(partial(operations.append, self._dialect, self._sights, prepared), "plain")
            if stop is not None:
                return stop
        return super().commit(prepared)

    async def acommit(self, prepared: Sequence[Prepared]) -> bool:
        if operations.may_append(prepared):
            if not self._ready:
                await self.asetup()
            appending = partial(operations.append, self._dialect, self._sights, prepared)
            stop = await self._driver.arun(appending, "plain", prepared[0].thread_id)
            if stop is not None:
                return stop
        return await super().acommit(prepared)

    def _acquiring(self, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
        return operations.acquire(self._dialect, thread_id, holder, ttl)


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return PostgresSaver.from_conn_string(url, **options)


BasePostgresSaver = PostgresSaver
"""Every saver on Postgres is one, whatever its colour."""


def __getattr__(name: str) -> object:
    if name == "ShallowPostgresSaver":  # a subclass, in a module of its own
        from perdure.checkpoint.postgres.shallow import ShallowPostgresSaver

        return ShallowPostgresSaver
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
