"""What `PostgresSaver` takes as a connection, as types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, Union

if TYPE_CHECKING:
    import psycopg
    import psycopg_pool

# Texts: psycopg_pool need not be installed, and is slow to import.
Conn: TypeAlias = Union["psycopg.Connection[Any]", "psycopg_pool.ConnectionPool[Any]"]
"""A connection, or a pool of them, for sync callers (and, in threads, async ones)."""

AsyncConn: TypeAlias = Union["psycopg.AsyncConnection[Any]", "psycopg_pool.AsyncConnectionPool[Any]"]
"""A connection, or a pool of them, for async callers."""
