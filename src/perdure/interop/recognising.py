"""Whether a database is one of LangGraph's: told by its tables, without its package."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from perdure.checkpoint.registry import is_sqlite, sqlite_path

_WRITES = frozenset({"writes", "checkpoint_writes"})
_OURS = "perdure_checkpoints"
_BUSY: Final = 30_000
"""Milliseconds to wait for a writer."""


def has_their_tables(url: str) -> bool:
    """Tell whether a database has tables of LangGraph's saver, and none of perdure's."""
    tables = set(_tables(url))
    return "checkpoints" in tables and bool(tables & _WRITES) and _OURS not in tables


def has_their_store(url: str) -> bool:
    """Tell whether a database has the table of LangGraph's store."""
    return "store" in _tables(url)


def _tables(url: str) -> Collection[str]:
    if is_sqlite(url):
        path = Path(sqlite_path(url))
        return _tables_of_file(path) if path.is_file() else ()
    if url.startswith(("postgres:", "postgresql:")):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = ANY (current_schemas(false))")
            return [row[0] for row in rows]
    return ()


def _tables_of_file(path: Path) -> Collection[str]:
    # By the library that savers use: another copy of SQLite in this process would drop their locks when it closes the
    # file (sqlite.org/howtocorrupt.html, 2.2.1). Whoever has it open by Python's `sqlite3` says `langgraph+` instead.
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            connection.set_busy_timeout(_BUSY)
            return [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    except apsw.Error:
        return ()  # the saver that opens it says what is wrong with it
