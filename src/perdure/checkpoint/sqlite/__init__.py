"""A saver on SQLite: one file, any number of threads, tasks and processes of one machine."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self

from perdure.checkpoint.base import V
from perdure.checkpoint.scrubbing import Chunk, Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.sqlite.dialect import SQL, SqliteDialect, savers_tables
from perdure.checkpoint.tables.saver import Kind, TableSaver
from perdure.database.operation import Op
from perdure.database.sqlite import schema, scrubbing
from perdure.database.sqlite.connection import ApswConnection, Connection, adapt, connect
from perdure.database.sqlite.driver import Driver
from perdure.errors import InvalidConfigError, UsageError

__all__ = ["SqliteSaver"]

Synchronous = Literal["FULL", "NORMAL"]

_SOFT = ("acquire", "lease", "release")


class SqliteSaver(TableSaver[V]):
    """Stores checkpoints in an SQLite database, in WAL mode.

    One object serves sync and async callers, any number of threads and event loops. Callers that commit at the same
    time share a transaction and its fsync. Other processes of the same machine may use the same file; a network file
    system doesn't work, for WAL needs shared memory.

    Guarantees, by `synchronous`:

    - `FULL`: what was acknowledged survives the death of the process and a power failure. One fsync a commit.
    - `NORMAL`: it survives the death of the process. A power failure, or a crash of the operating system, may take the
      newest commits, never an older one without all that came after it, and never the database's integrity.

    Args:
        connection: An `apsw.Connection`, or a `sqlite3.Connection` made with `check_same_thread=False`. The saver uses
            it alone; the caller closes it. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        synchronous: When a commit counts as durable, see above.
        timeout: Seconds to wait for another process.
    """

    def __init__(
        self,
        connection: Any,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> None:
        dialect = SqliteDialect(SQL)
        super().__init__(dialect, serde=serde)
        self._sights = dialect.sights
        if synchronous not in ("FULL", "NORMAL"):
            msg = f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}"
            raise InvalidConfigError(msg)
        # What `open` made needs no adapting, and is closed here.
        self._owns = isinstance(connection, ApswConnection)
        self._open(connection if self._owns else adapt(connection), synchronous, timeout)

    def _open(self, connection: Connection, synchronous: str, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._driver = Driver(connection, synchronous, self._sights.clear)
        self._ready = False
        self._setup_lock = threading.Lock()

    @classmethod
    @contextmanager
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> Iterator[Self]:
        """Open a database for the length of a `with` block.

        Args:
            conn_string: A path, `:memory:`, or a `file:` URI of SQLite.
            serde: Turns values into bytes.
            synchronous: `FULL` or `NORMAL`, see the class.
            timeout: Seconds to wait for another process.

        Raises:
            StorageError: The database can't be opened.
        """
        saver = cls.open(conn_string, serde=serde, synchronous=synchronous, timeout=timeout)
        try:
            yield saver
        finally:
            saver.close()

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> Self:
        """Open a database; the caller closes the saver, by `close()` or a `with` block."""
        connection = connect(str(conn_string), timeout)
        return cls(connection, serde=serde, synchronous=synchronous, timeout=timeout)

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
                schema.migrate(self._connection, self._timeout, savers_tables())
                self._driver.begin()
                self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        self.setup()

    def close(self) -> None:
        """Close the database, after what is under way; a connection that the caller brought stays open."""
        if self._closed:
            return
        self._closed = True
        self._driver.close(self._owns)

    async def aclose(self) -> None:
        """Async twin of `close`."""
        self.close()

    def scrub(self, timeout: float = 30.0) -> Scrub:
        if self._connection.path == ":memory:":
            return Scrub(("nothing is kept in a file",))
        if not isinstance(self._connection, ApswConnection):
            raise UsageError(
                "a connection of sqlite3 can't be scrubbed beside: two copies of SQLite must not share a file",
                hint="open the saver by its path",
            )
        self.setup()
        done, failed = scrubbing.scrub(self._connection.path, timeout)
        return Scrub(tuple(done), tuple(failed), tuple(scrubbing.beyond(self._connection.path)))

    def raw(self) -> Iterator[Chunk]:
        if self._connection.path != ":memory:":
            yield from (Chunk(*part) for part in scrubbing.read(self._connection.path))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.path}>"

    def _run(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        if not self._ready:
            self.setup()
        # Leases are soft: one that a power failure takes had no living holder any more.
        return self._driver.run(
            make, writes=kind != "read", soft=kind in _SOFT, plain=kind == "commit", later=kind == "release"
        )

    def _arun(self, make: Callable[[], Op[Any]], kind: Kind) -> Awaitable[Any]:
        if not self._ready:
            self.setup()
        return self._driver.arun(make, writes=kind != "read", soft=kind in _SOFT, plain=kind == "commit")
