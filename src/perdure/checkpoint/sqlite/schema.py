"""The database's tables: made and migrated by numbered, checksummed steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from perdure.checkpoint.sqlite.connection import Connection, mapped, persistently
from perdure.checkpoint.sqltext import Migration, load_migrations
from perdure.errors import SchemaVersionError, StorageError

_TABLE = """CREATE TABLE IF NOT EXISTS perdure_migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL
) STRICT"""
_EXISTS = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'perdure_migrations'"
_APPLIED = "SELECT version, name, checksum FROM perdure_migrations ORDER BY version"
_RECORD = "INSERT INTO perdure_migrations (version, name, checksum) VALUES (?, ?, ?)"


@cache
def migrations() -> list[Migration]:
    """Return all migrations of this version of perdure."""
    return load_migrations(Path(__file__).with_name("migrations"))


def prepare_file(connection: Connection, timeout: float) -> None:
    """Switch the database to WAL, whose log may grow to 16 MB before it is folded in."""
    persistently(connection, "PRAGMA journal_mode = WAL", timeout)
    connection.execute("PRAGMA wal_autocheckpoint = 4000")


def migrate(connection: Connection, timeout: float) -> None:
    """Bring the tables up to date; any number of processes may do so at once.

    Raises:
        SchemaVersionError: The database was made by a newer perdure.
        StorageError: A migration that was applied isn't the one of this version.
    """
    if len(_check(_applied(connection, timeout), connection.path)) == 0:
        return
    persistently(connection, "BEGIN IMMEDIATE", timeout)
    try:
        connection.execute(_TABLE)
        # Another process may have been here first.
        for step in _check(_applied(connection, timeout), connection.path):
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(_RECORD, (step.version, step.name, step.checksum))
        connection.execute("COMMIT")
    except Exception as e:
        if connection.in_transaction():
            connection.execute("ROLLBACK")
        raise mapped(e, connection.path) from e


def _applied(connection: Connection, timeout: float) -> list[tuple[Any, ...]]:
    if not persistently(connection, _EXISTS, timeout):
        return []
    return persistently(connection, _APPLIED, timeout)


def _check(applied: list[tuple[Any, ...]], path: str) -> list[Migration]:
    """Return the migrations to do."""
    known = {step.version: step for step in migrations()}
    newest = max(known)
    for version, name, checksum in applied:
        if version not in known:
            raise SchemaVersionError(
                f"{path} has version {version} of the tables ({name}), this perdure knows up to {newest}",
                hint="upgrade: pip install -U perdure",
                path=path,
            )
        if checksum != known[version].checksum:
            raise StorageError(
                f"{path}: migration {version} ({name}) is not the one that this perdure has",
                hint="was the database made by a changed copy of perdure?",
                path=path,
            )
    done = {row[0] for row in applied}
    return [step for step in known.values() if step.version not in done]
