"""Which driver serves what: a pool of perdure's own, or what a caller brought."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from perdure.database.postgres.driver import Driver
from perdure.database.postgres.exchange import Merge
from perdure.database.postgres.loopdriver import LoopDriver
from perdure.database.postgres.sources import Brought, Pool, Single, Source
from perdure.errors import UsageError

_MOST_THREADS: Final = 3


def driver_for(connection: Any, retry_for: float, merge: Merge) -> Driver | LoopDriver:
    """Find out what a caller brought.

    Raises:
        UsageError: It isn't of psycopg.
    """
    if isinstance(connection, (Pool, psycopg.Connection)) or _is_pool(connection, "ConnectionPool"):
        source: Source = (
            connection
            if isinstance(connection, Pool)
            else Single(connection)
            if isinstance(connection, psycopg.Connection)
            else Brought(connection)
        )
        return Driver(source, retry_for, _MOST_THREADS, merge)
    if isinstance(connection, psycopg.AsyncConnection) or _is_pool(connection, "AsyncConnectionPool"):
        return LoopDriver(connection, retry_for)
    kind = type(connection)
    raise UsageError(
        f"a {kind.__module__}.{kind.__qualname__} is not a connection that PostgresSaver can use",
        hint="use `PostgresSaver.from_conn_string(url)`, or pass a connection or pool of psycopg 3",
    )


def _is_pool(connection: Any, name: str) -> bool:
    """Tell whether something is one of psycopg_pool's classes, which need not be installed."""
    bases = [(base.__module__.partition(".")[0], base.__name__) for base in type(connection).__mro__]
    names = (name, name.replace("ConnectionPool", "NullConnectionPool"))
    return any(("psycopg_pool", found) in bases for found in names)
