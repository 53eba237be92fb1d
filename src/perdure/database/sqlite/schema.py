"""The database's tables: made and migrated by numbered, checksummed steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from perdure.database.migrating import outstanding
from perdure.database.sqlite.connection import Connection, mapped, persistently
from perdure.database.sqltext import Migration


class Tables(NamedTuple):
    """A set of tables with migrations of its own; several may live in one database.

    Attributes:
        record: The table that says which migrations were applied; a name of perdure's own.
        steps: The migrations that this version of perdure has.
    """

    record: str
    steps: Sequence[Migration]

    def sql(self, text: str) -> str:
        """Fill the record's name into a statement."""
        return text.replace("@record", self.record)


_TABLE = """CREATE TABLE IF NOT EXISTS @record (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL
) STRICT"""
_EXISTS = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '@record'"
_APPLIED = "SELECT version, name, checksum FROM @record ORDER BY version"
_RECORD = "INSERT INTO @record (version, name, checksum) VALUES (?, ?, ?)"


def prepare_file(connection: Connection, timeout: float) -> None:
    """Switch the database to WAL, whose log may grow to 16 MB before it is folded in."""
    persistently(connection, "PRAGMA journal_mode = WAL", timeout)
    connection.execute("PRAGMA wal_autocheckpoint = 4000")


def migrate(connection: Connection, timeout: float, tables: Tables) -> None:
    """Bring the tables up to date; any number of processes may do so at once.

    Raises:
        SchemaVersionError: The database was made by a perdure that is too new.
        StorageError: A migration that was applied isn't the one of this version.
    """
    if not _outstanding(connection, timeout, tables):
        return
    persistently(connection, "BEGIN IMMEDIATE", timeout)
    try:
        connection.execute(tables.sql(_TABLE))
        # Another process may have been here first.
        for step in _outstanding(connection, timeout, tables):
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(tables.sql(_RECORD), (step.version, step.name, step.checksum))
        connection.execute("COMMIT")
    except Exception as e:
        if connection.in_transaction():
            connection.execute("ROLLBACK")
        raise mapped(e, connection.path) from e


def _applied(connection: Connection, timeout: float, tables: Tables) -> list[tuple[Any, ...]]:
    if not persistently(connection, tables.sql(_EXISTS), timeout):
        return []
    return persistently(connection, tables.sql(_APPLIED), timeout)


def _outstanding(connection: Connection, timeout: float, tables: Tables) -> list[Migration]:
    applied = _applied(connection, timeout, tables)
    return outstanding(applied, connection.path, tables.steps, path=connection.path)
