"""Connections: opened, looked at before they are used, and run batches on."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any, Final, Literal

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncRawCursor, Connection, Cursor, RawCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from perdure.database.operation import Batch, Rows
from perdure.database.postgres.adapting import fitted
from perdure.errors import InvalidConfigError, UsageError

DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "perdure",
    "client_encoding": "utf8",
    "connect_timeout": 10,
    # A server that is gone without a word is noticed within a minute, not after the two hours of the system's default.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


Threshold = int | None | Literal["auto"]
"""After how many uses a statement is prepared on a connection; None: never; `auto`: soon, unless there is a pooler.

In a pooler's transaction mode each transaction may meet another session, in which a name stands for nothing, or for the
statement that another program prepared under it.
"""

SOON: Final = 3


def parameters_of(conninfo: str) -> dict[str, Any]:
    """Read a URL or a `key=value` string, and add the defaults.

    Raises:
        InvalidConfigError: It is neither.
    """
    try:
        return DEFAULTS | conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as e:
        raise InvalidConfigError(
            f"not a Postgres connection string: {str(e).strip()}",
            hint="postgresql://user:password@host:5432/database",
        ) from e


def place_of(parameters: dict[str, Any]) -> str:
    """Name a database for messages, without its password."""
    host = parameters.get("host") or parameters.get("hostaddr") or "local socket"
    return f"{host}:{parameters.get('port') or 5432}/{parameters.get('dbname') or parameters.get('user') or ''}"


def check_settings(connection: Any) -> None:
    """Check a connection that the caller brought.

    Raises:
        InvalidConfigError: It isn't in autocommit mode.
        UsageError: The caller is in the middle of a transaction on it.
    """
    if not connection.autocommit:
        raise InvalidConfigError(
            "the connection is not in autocommit mode: its first statement would open a transaction that nobody ends",
            hint="psycopg.connect(..., autocommit=True), or kwargs={'autocommit': True} for a pool",
        )
    if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        raise UsageError(
            "the connection is in a transaction of its own",
            hint="end it first, or give the saver a connection of its own: the saver begins and commits by itself",
        )


_WHO: Final = "SELECT pg_backend_pid()"


def is_pooled(connection: Connection[Any]) -> bool:
    """Tell whether a pooler stands between: the process that serves isn't the one that has said hello."""
    with Cursor(connection, row_factory=tuple_row) as cursor:
        return cursor.execute(_WHO, prepare=False).fetchone() != (connection.info.backend_pid,)


async def ais_pooled(connection: AsyncConnection[Any]) -> bool:
    """Async twin of `is_pooled`."""
    async with AsyncCursor(connection, row_factory=tuple_row) as cursor:
        return await (await cursor.execute(_WHO, prepare=False)).fetchone() != (connection.info.backend_pid,)


class Link:
    """A sync connection; nobody else uses it meanwhile.

    Args:
        connection: The connection.

    Attributes:
        prepare: Whether statements are prepared; None: as the connection has it.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection
        self.prepare: bool | None = None
        self._cursors: list[Any] = []  # their `execute` takes no text that comes from a file
        self._poll: Any = None
        if hasattr(select, "poll"):  # not on Windows
            self._poll = select.poll()
            self._poll.register(connection.pgconn.socket, select.POLLIN)

    def execute(self, batch: Batch) -> list[Rows]:
        """Run a batch as one pipeline and return its rows."""
        if len(batch) == 1:
            cursor = self._cursor(0)
            cursor.execute(*batch[0], prepare=self.prepare, binary=True)
            return [_rows(cursor)]
        used = [self._cursor(place) for place in range(len(batch))]
        with self.connection.pipeline():
            for cursor, statement in zip(used, batch, strict=True):
                cursor.execute(*statement, prepare=self.prepare, binary=True)
        return [_rows(cursor) for cursor in used]

    def _cursor(self, place: int) -> Any:
        while place >= len(self._cursors):
            self._cursors.append(fitted(RawCursor(self.connection, row_factory=tuple_row)))
        return self._cursors[place]

    def is_alive(self) -> bool:
        """Tell whether the server has not hung up since the last use, without asking it."""
        pgconn = self.connection.pgconn
        try:
            # What an idle server sends is a notice, or its farewell with the end of the stream behind it.
            while not self.connection.closed and self._has_input():
                pgconn.consume_input()
        except psycopg.OperationalError:
            return False
        return not self.connection.closed and pgconn.transaction_status == TransactionStatus.IDLE

    def _has_input(self) -> bool:
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select([self.connection.pgconn.socket], [], [], 0)[0])

    def restore(self) -> bool:
        """End what an error has left open; tell whether the connection can be used again."""
        status = self.connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:
            return True
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                self.connection.rollback()
            except psycopg.Error:
                return False
            return True
        return False


def _rows(cursor: Any) -> Rows:
    return cursor.fetchall() if cursor.description is not None else ()


async def aexecute(connection: AsyncConnection[Any], batch: Batch, *, prepare: bool | None = None) -> Sequence[Rows]:
    """Run a batch as one pipeline on an async connection and return its rows."""
    used = [fitted(AsyncRawCursor(connection, row_factory=tuple_row)) for _ in batch]
    if len(batch) == 1:
        await used[0].execute(*batch[0], prepare=prepare, binary=True)
    else:
        async with connection.pipeline():
            for cursor, statement in zip(used, batch, strict=True):
                await cursor.execute(*statement, prepare=prepare, binary=True)
    return [await cursor.fetchall() if cursor.description is not None else () for cursor in used]
