"""A store on Postgres: one database, any number of threads, tasks, event loops, processes and machines."""

from __future__ import annotations

import asyncio
import re
import threading
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.opening import Opened
from perdure.database.operation import Batch, Replies
from perdure.database.operation import Op as Operation
from perdure.database.postgres import schema
from perdure.database.postgres.connecting import Threshold, parameters_of
from perdure.database.postgres.naming import prefix_of
from perdure.database.postgres.opening import driver_for
from perdure.database.postgres.schema import forgiving_races
from perdure.database.postgres.sources import Pool
from perdure.database.sqltext import load_migrations, load_statements
from perdure.errors import InvalidConfigError
from perdure.store.base import IndexConfig, TTLConfig
from perdure.store.base.plan import Batch as Asked
from perdure.store.postgres.indexing import (
    PoolConfig,
    PostgresIndexConfig,
    ann_index_of,
    check_extension,
    vector_tables,
)
from perdure.store.tablestore import TableStore

__all__ = ["BasePostgresStore", "PoolConfig", "PostgresStore"]

_MOST_THREADS = 3
_NOTES = re.compile(r"^ *--.*\n", re.MULTILINE)
_ATTEMPTS = 20
_OWN = ("autocommit", "row_factory")


@cache
def stores_tables() -> schema.Tables:
    """Return the tables of stores; those of checkpoints may be in the same database."""
    return schema.Tables("perdure_store_migrations", load_migrations(Path(__file__).with_name("migrations")))


@cache
def _sql(where: str | None) -> dict[str, str]:
    prefix = prefix_of(where)
    texts = load_statements(Path(__file__).with_name("statements.sql"))
    return {name: _NOTES.sub("", text).replace("@schema.", prefix) for name, text in texts.items()}


class PostgresStore(Opened, TableStore):
    """Keeps items in a Postgres database, which may be that of a `PostgresSaver`.

    One object serves sync and async callers, any number of threads and event loops. Lost connections and restarts of
    the server cost a delay. See `perdure.store.base` for the law.

    Args:
        connection: As of `PostgresSaver`; the caller closes it. `from_conn_string` is the usual way instead.
        index: How items are made searchable by meaning; a search compares the query with every item in the namespace,
            unless `ann_index_config` says how pgvector finds what is nearest, see `PostgresIndexConfig`.
        ttl: How long items live.
        serde: Turns values into bytes.
        schema: Where the tables are; wherever the connection's `search_path` leads if None.
        retry_for: Seconds to go on trying when the server is away, or in the way of others.
    """

    _closed = True
    _owns = False

    def __init__(
        self,
        connection: Any,
        *,
        index: PostgresIndexConfig | IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        serde: SerializerProtocol | None = None,
        schema: str | None = None,
        retry_for: float = 30.0,
    ) -> None:
        super().__init__(_sql(schema), index=index, ttl=ttl, serde=serde)
        self._schema = schema
        self._ann = ann_index_of(index, self._index, schema)
        self._near = None if self._ann is None else self._ann.near
        self._owns = isinstance(connection, Pool)
        self._driver = driver_for(connection, retry_for, _as_they_are)
        self._ready = False
        self._setup_lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        pool_size: int = 10,
        prepare_threshold: Threshold = "auto",
        pipeline: bool = False,  # noqa: ARG003 - a known parameter
        pool_config: PoolConfig | None = None,
        **options: Any,
    ) -> Self:
        """Connect to a database, when it is first used; the caller closes the store, by `close()` or a `with` block.

        Args:
            conn_string: A URL, or `key=value` pairs, as libpq takes them.
            pool_size: At most so many connections.
            prepare_threshold: After how many uses on a connection a statement is prepared there; None: never; `auto`:
                after 3, and never if a pooler stands between.
            pipeline: Accepted for compatibility: a batch is always sent as one.
            pool_config: The same by the names of others: its `max_size` is the `pool_size`, and its `kwargs` are
                parameters of the connections.
            options: Those of the class.

        Raises:
            InvalidConfigError: It is no connection string.
        """
        pool_size, parameters = _pool_of(pool_config or {}, pool_size)
        prepare_threshold = parameters.pop("prepare_threshold", prepare_threshold)
        if pool_size < 1:
            raise InvalidConfigError(f"pool_size must be at least 1, not {pool_size}")
        return cls(Pool({**parameters_of(conn_string), **parameters}, pool_size, prepare_threshold), **options)

    def setup(self) -> None:
        """Create or migrate the tables. Optional: the first use does it. Safe for many processes at once.

        If the tables are current, no right is needed but to use them.

        Raises:
            SchemaVersionError: The database was made by a newer perdure.
        """
        if self._ready:
            return
        with self._setup_lock:
            if not self._ready and not self._driver.run(self._is_current, "plain"):
                has_locks = bool(self._driver.run(schema.has_advisory_locks, "plain"))
                for _ in range(_ATTEMPTS):
                    with forgiving_races(last=has_locks):
                        self._driver.run(partial(self._migrate, has_locks=has_locks), "write")
                        break
            self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        if self._ready:
            return
        if not await self._driver.arun(self._is_current, "plain"):
            has_locks = bool(await self._driver.arun(schema.has_advisory_locks, "plain"))
            for _ in range(_ATTEMPTS):
                with forgiving_races(last=has_locks):
                    await self._driver.arun(partial(self._migrate, has_locks=has_locks), "write")
                    break
        self._ready = True

    def _tables(self) -> list[schema.Tables]:
        return [stores_tables()] if self._ann is None else [stores_tables(), vector_tables()]

    def _is_current(self) -> Operation[bool]:
        for tables in self._tables():
            if not (yield from schema.is_current(self._schema, self._driver.where, tables)):
                return False
        return self._ann is None or (yield from self._ann.exists())

    def _migrate(self, *, has_locks: bool) -> Operation[None]:
        where = self._driver.where
        if self._ann is not None:
            yield from check_extension(where)
        for tables in self._tables():
            yield from schema.migrate(self._schema, where, 1, has_locks=has_locks, tables=tables)
        if self._ann is not None:
            yield from self._ann.make()

    def _writes(self, asked: Asked) -> bool:
        # How an index is scanned is set for the transaction.
        return super()._writes(asked) or (self._near is not None and asked.has_queries)

    def close(self) -> None:
        """Stop sweeping and close the connections that the store has opened."""
        if self._closed:
            return
        self._closed = True
        self.stop_ttl_sweeper()
        self._driver.close()

    async def aclose(self) -> None:
        """Async twin of `close`."""
        await asyncio.to_thread(self.close)

    def __del__(self) -> None:
        if self._owns and not self._closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self._driver.abandon()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.where}>"

    # -- running

    def _run(self, make: Callable[[], Operation[Any]], *, writes: bool) -> Any:
        self.setup()
        return self._driver.run(make, "write" if writes else "plain")

    async def _arun(self, make: Callable[[], Operation[Any]], *, writes: bool) -> Any:
        await self.asetup()
        return await self._driver.arun(make, "write" if writes else "plain")


BasePostgresStore = PostgresStore
"""Every store on Postgres is one, whatever its colour."""


def _pool_of(config: PoolConfig, size: int) -> tuple[int, dict[str, Any]]:
    """Return the size of a pool, and the parameters of its connections without those that the store sets itself."""
    parameters = {key: value for key, value in config.get("kwargs", {}).items() if key not in _OWN}
    return config.get("max_size") or size, parameters


def _as_they_are(batch: Batch) -> tuple[Batch, Callable[[Replies], Replies] | None]:
    """Send the statements of several callers unmerged."""
    return batch, None


def __getattr__(name: str) -> object:
    if name == "AsyncPostgresStore":  # a subclass, in a module of its own
        from perdure.store.postgres.aio import AsyncPostgresStore

        return AsyncPostgresStore
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
