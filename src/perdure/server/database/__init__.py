"""The server's tables: assistants, threads, runs, events, crons and webhooks, in the database that has the checkpoints.

An operation is a generator that yields batches of statements and is sent their rows (`perdure.database.operation`);
its first argument are the statements. The drivers of the savers run it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from perdure.database.operation import Op
from perdure.database.pooling import PoolUse
from perdure.errors import UsageError

__all__ = ["Database", "Statements", "open_database"]

P = ParamSpec("P")
T = TypeVar("T")

Statements = Mapping[str, str]
Operation = Callable[Concatenate[Statements, P], Op[T]]

_FILES = (".db", ".sqlite", ".sqlite3")


class Database(ABC):
    """Runs operations on the server's tables.

    Attributes:
        sql: The statements, in the words of this database.
        url: Where it is.
        notifies: Whether other processes can be told of changes.
    """

    sql: Statements
    url: str
    notifies: bool = False

    @property
    def pool(self) -> PoolUse | None:
        """How many of its connections are used; None if it has no pool."""
        return None

    async def stored_bytes(self) -> int:
        """Return how many bytes perdure's tables take on the disk, with their indexes; all of the file's on SQLite."""
        return await self.once(_size)

    async def read(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation that changes nothing."""
        return await self._arun(lambda: operation(self.sql, *args, **kwargs), "read")  # type: ignore[no-any-return]

    async def write(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation as one durable transaction."""
        return await self._arun(lambda: operation(self.sql, *args, **kwargs), "write")  # type: ignore[no-any-return]

    async def lightly(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation as one transaction that a power failure may undo, whole: where somebody would notice."""
        return await self._arun(lambda: operation(self.sql, *args, **kwargs), "light")  # type: ignore[no-any-return]

    async def once(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation of one batch, which is a transaction by itself: one round trip."""
        return await self._arun(lambda: operation(self.sql, *args, **kwargs), "once")  # type: ignore[no-any-return]

    async def note(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation of one batch that a power failure may undo: events, leases."""
        return await self._arun(lambda: operation(self.sql, *args, **kwargs), "note")  # type: ignore[no-any-return]

    def note_now(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what `note` does, in this thread: leases are renewed even while the event loop is blocked."""
        return self._run(lambda: operation(self.sql, *args, **kwargs), "note")  # type: ignore[no-any-return]

    @abstractmethod
    async def setup(self) -> None:
        """Create or migrate the tables."""

    @abstractmethod
    async def _arun(self, make: Callable[[], Op[Any]], kind: str) -> Any:
        """Run an operation."""

    @abstractmethod
    def _run(self, make: Callable[[], Op[Any]], kind: str) -> Any:
        """Sync twin of `_arun`."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""


def open_database(url: str) -> Database:
    """Open the tables that a URL names: those of `perdure.checkpoint.registry.open_saver`, where a database has tables.

    Raises:
        UsageError: The server can't keep its tables there.
    """
    scheme = url.partition(":")[0]
    if scheme in ("postgres", "postgresql"):
        from perdure.server.database.postgres import PostgresDatabase

        return PostgresDatabase(url)
    if scheme == "sqlite" or url.endswith(_FILES):
        from perdure.server.database.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    raise UsageError(
        f"the server can't keep its runs in {url!r}",
        hint="sqlite:///path/to/file.db, or postgresql://user:password@host:port/database",
    )


def now() -> float:
    """Return the time, in seconds since 1970."""
    return time.time()


def _size(sql: Statements) -> Op[int]:
    [[(size,)]] = yield [(sql["stored_bytes"], ())]
    return int(size)
