"""A store on SQLite: one file, any number of threads, tasks and processes of one machine."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Self

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.opening import Opened
from perdure.database.operation import Op as Operation
from perdure.database.sqlite import schema
from perdure.database.sqlite.connection import ApswConnection, adapt, connect
from perdure.database.sqlite.driver import Driver
from perdure.database.sqltext import load_migrations, load_statements
from perdure.store.base import IndexConfig, TTLConfig
from perdure.store.sqlite.vectors import nearest_of
from perdure.store.tablestore import TableStore

__all__ = ["SqliteStore"]

SQL: Final = load_statements(Path(__file__).with_name("statements.sql"))


@cache
def stores_tables() -> schema.Tables:
    """Return the tables of stores; those of checkpoints may be in the same database."""
    return schema.Tables("perdure_store_migrations", load_migrations(Path(__file__).with_name("migrations")))


class SqliteStore(Opened, TableStore):
    """Keeps items in an SQLite database, in WAL mode; the file may be that of a `SqliteSaver`.

    One object serves sync and async callers, any number of threads and event loops. Writes of callers that come at the
    same time share a transaction. See `perdure.store.base` for the law.

    Args:
        connection: An `apsw.Connection`, or a `sqlite3.Connection` made with `check_same_thread=False`. The store uses
            it alone; the caller closes it. `from_conn_string` is the usual way instead.
        index: How items are made searchable by meaning; a search compares the query with every item in the namespace,
            in the database if it can, see `perdure.store.sqlite.vectors`.
        ttl: How long items live.
        serde: Turns values into bytes.
        synchronous: `FULL` or `NORMAL`, as of `SqliteSaver`.
        timeout: Seconds to wait for another process.
    """

    _closed = True
    _owns = False

    def __init__(
        self,
        connection: Any,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        serde: SerializerProtocol | None = None,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        timeout: float = 30.0,
    ) -> None:
        super().__init__(SQL, index=index, ttl=ttl, serde=serde)
        self._owns = isinstance(connection, ApswConnection)
        self._connection = connection if self._owns else adapt(connection)
        self._timeout = timeout
        self._driver = Driver(self._connection, synchronous, _nothing)
        self._ready = False
        self._setup_lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, conn_string: str, **options: Any) -> Self:
        """Open a database; the caller closes the store, by `close()` or a `with` block."""
        connection = connect(str(conn_string), options.get("timeout", 30.0))
        try:
            return cls(connection, **options)
        except BaseException:
            connection.close()
            raise

    def setup(self) -> None:
        """Create or migrate the tables. Optional: the first use does it. Safe for many processes at once.

        Raises:
            SchemaVersionError: The database was made by a newer perdure.
        """
        if self._ready:
            return
        with self._setup_lock:
            if not self._ready:
                schema.prepare_file(self._connection, self._timeout)
                schema.migrate(self._connection, self._timeout, stores_tables())
                if self._index is not None:
                    self._near = nearest_of(self._connection, self._index.distance, self._sql)
                self._driver.begin()
                self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        self.setup()

    def close(self) -> None:
        """Stop sweeping and close the database; a connection that the caller brought stays open."""
        if self._closed:
            return
        self._closed = True
        self.stop_ttl_sweeper()
        self._driver.close(self._owns)

    async def aclose(self) -> None:
        """Async twin of `close`."""
        self.close()

    def __del__(self) -> None:
        if self._owns and not self._closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.path}>"

    # -- running

    def _run(self, make: Callable[[], Operation[Any]], *, writes: bool) -> Any:
        self._ready or self.setup()  # type: ignore[func-returns-value]
        return self._driver.run(make, writes=writes)

    async def _arun(self, make: Callable[[], Operation[Any]], *, writes: bool) -> Any:
        self._ready or self.setup()  # type: ignore[func-returns-value]
        return await self._driver.arun(make, writes=writes)


def _nothing() -> None:
    """Forget nothing: a store remembers nothing between calls."""


def __getattr__(name: str) -> object:
    if name == "AsyncSqliteStore":  # a subclass, in a module of its own
        from perdure.store.sqlite.aio import AsyncSqliteStore

        return AsyncSqliteStore
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
