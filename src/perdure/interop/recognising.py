"""Whether a database is one of LangGraph's: told by its tables, without its package."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from perdure.checkpoint.registry import is_sqlite, sqlite_path

_THEIRS = frozenset({"checkpoints"})
_OURS = "perdure_checkpoints"


def has_their_tables(url: str) -> bool:
    """Tell whether a database has tables of LangGraph's saver, and none of perdure's."""
    tables = _tables(url)
    return set(tables) >= _THEIRS and bool({"writes", "checkpoint_writes"} & set(tables)) and _OURS not in tables


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
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
