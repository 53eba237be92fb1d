"""One face for the two SQLite libraries, and one place that maps their errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Protocol

from perdure.errors import (
    CorruptCheckpointError,
    PerdureError,
    StorageError,
    TransientStorageError,
    UsageError,
)


class Connection(Protocol):
    """What the driver needs of a connection."""

    path: str

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        ...

    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        ...

    def total_changes(self) -> int:
        """Return the number of rows changed since the connection was opened."""
        ...

    def data_version(self) -> int | None:
        """Return a number that changes with each change of the database that this connection sees; None: unknown."""
        ...

    def load_extension(self, path: str) -> bool:
        """Load an extension of SQLite from a file; tell whether the library can."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class ApswConnection:
    """A connection of apsw, which brings its own, recent SQLite."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self.path: str = connection.filename or ":memory:"
        self.total_changes = connection.total_changes
        self.data_version = getattr(connection, "data_version", _unknown)
        self.in_transaction = connection.in_transaction if _has_method(connection) else self._open

    def _open(self) -> bool:
        return bool(self._connection.in_transaction)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        return self._cursor.execute(sql, values).fetchall()  # type: ignore[no-any-return]

    def load_extension(self, path: str) -> bool:
        """Load an extension of SQLite from a file; tell whether the library can."""
        return _load_extension(self._connection, path)

    def close(self) -> None:
        """Close the connection."""
        self._cursor.close()
        self._connection.close()


def _load_extension(connection: Any, path: str) -> bool:
    """Load an extension, and let nothing else load any."""
    if not hasattr(connection, "enable_load_extension"):  # built without
        return False
    connection.enable_load_extension(True)
    try:
        connection.load_extension(path)
    finally:
        connection.enable_load_extension(False)
    return True


def _unknown() -> None:
    """Stand for what an old apsw can't tell."""


def _has_method(connection: Any) -> bool:
    return callable(connection.in_transaction)


class StdlibConnection:
    """A connection of Python's own sqlite3 that a caller brought."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.isolation_level = None  # the driver alone begins and ends transactions
        self._connection = connection
        self._cursor = connection.cursor()
        self._cursor.row_factory = None
        rows = self._cursor.execute("PRAGMA database_list").fetchall()
        self.path: str = rows[0][2] or ":memory:"

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        return self._cursor.execute(sql, values).fetchall()

    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        return self._connection.in_transaction

    def total_changes(self) -> int:
        """Return the number of rows changed since the connection was opened."""
        return self._connection.total_changes

    def data_version(self) -> int | None:
        """The standard library can't ask for it."""
        return None

    def load_extension(self, path: str) -> bool:
        """Load an extension of SQLite from a file; tell whether the library can."""
        return _load_extension(self._connection, path)

    def close(self) -> None:
        """Close the connection."""
        self._cursor.close()
        self._connection.close()


def adapt(connection: Any) -> Connection:
    """Wrap a connection that a caller brought.

    Raises:
        UsageError: It is of another library.
    """
    if isinstance(connection, sqlite3.Connection):
        return StdlibConnection(connection)
    module = type(connection).__module__
    if module.partition(".")[0] == "apsw" or hasattr(connection, "set_busy_timeout"):
        return ApswConnection(connection)
    raise UsageError(
        f"a {module}.{type(connection).__qualname__} is not a connection that SqliteSaver can use",
        hint="use `SqliteSaver.from_conn_string(path)`, or pass an apsw.Connection or a sqlite3.Connection made with "
        "check_same_thread=False; one object serves sync and async callers, so aiosqlite isn't needed",
    )


def connect(target: str, timeout: float) -> Connection:
    """Open a database by path, `:memory:` or `file:` URI."""
    import apsw

    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    try:
        connection = apsw.Connection(target, flags=flags)
    except Exception as e:
        raise mapped(e, target) from e
    connection.set_busy_timeout(int(timeout * 1000))
    return ApswConnection(connection)


# By SQLite's primary result code (sqlite.org/rescode.html): class, and what a person can do.
_BUSY = (TransientStorageError, "another process holds the database for long; try again")
_ERRORS: dict[int, tuple[type[StorageError], str | None]] = {
    3: (StorageError, "the file's permissions forbid it"),
    5: _BUSY,
    6: _BUSY,
    7: (TransientStorageError, "the machine is out of memory"),
    8: (StorageError, "the database is read-only: check the permissions of the file and of its folder"),
    9: (TransientStorageError, "the statement was interrupted"),
    10: (StorageError, "the disk failed, or is full: look at the system's log"),
    11: (CorruptCheckpointError, "the file is damaged: restore it from a backup"),
    13: (StorageError, "the disk is full: free some space; what was acknowledged is safe"),
    14: (StorageError, "does the folder exist, and may this user write to it?"),
    15: _BUSY,
    18: (StorageError, "SQLite holds values up to 1 GB: keep large data outside of the state"),
    26: (CorruptCheckpointError, "the file exists and is not an SQLite database"),
}
_GONE = "the tables were changed by another program"


def result_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code of an error of either library, None for others."""
    code = getattr(error, "result", None)
    if code is None:
        code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def mapped(error: Exception, path: str) -> Exception:
    """Turn a library's error into one of perdure's."""
    if isinstance(error, PerdureError):
        return error
    code = result_code(error)
    if isinstance(error, UnicodeEncodeError):
        return UsageError(f"a text is not valid Unicode: {error}", hint="lone surrogates can't be ids")
    if isinstance(error, sqlite3.ProgrammingError) and "thread" in str(error):
        return UsageError(str(error), hint="open it by sqlite3.connect(..., check_same_thread=False)")
    if code is None and not isinstance(error, sqlite3.Error) and not _is_apsw(error):
        return error
    kind, hint = _ERRORS.get(code or 1, (StorageError, None))
    return kind(f"SQLite, {path}: {error}", hint=hint, path=path)


def _is_apsw(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "apsw"


def is_busy(error: BaseException) -> bool:
    """Tell whether another connection was in the way."""
    return result_code(error) in (5, 6, 15)


def persistently(connection: Connection, sql: str, timeout: float) -> list[tuple[Any, ...]]:
    """Run a statement that SQLite doesn't wait for by itself, such as the switch to WAL, until it works."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        try:
            return connection.execute(sql)
        except Exception as e:
            if not is_busy(e) or time.monotonic() > deadline:
                raise mapped(e, connection.path) from e
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
