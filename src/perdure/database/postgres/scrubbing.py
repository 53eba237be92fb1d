"""Making a server forget what was deleted, as far as rights allow, and reading its files as they are.

1. Deleted rows stay in their pages. `VACUUM FULL` writes a table and its indexes anew, without the rows that no
   snapshot sees any more: so first one waits for those that are older.
2. The planner's statistics are samples of the rows: `ANALYZE` makes them anew, and their table is written anew too.
3. The old files go with the next checkpoint.
4. The write-ahead log has every row that was ever written to it, and its old segments are used again under new names,
   with what they had. Behind a checkpoint all of them are of that kind: so they are filled up, one by one; the rest of
   a segment that is left early is filled with zeros.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, LiteralString

import psycopg
from psycopg import Connection, sql
from psycopg.errors import Error, FeatureNotSupported, InsufficientPrivilege, UndefinedFile, UndefinedFunction

from perdure.database.postgres.connecting import parameters_of, place_of
from perdure.database.postgres.errors import mapped

_SIZE: Final = 4 * 1024 * 1024
_PAUSE: Final = 0.1

_TABLES: Final = r"""
SELECT n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relname LIKE 'perdure\_%' ORDER BY 1, 2"""
_OLDER: Final = """
SELECT 'process ' || pid || ' (' || coalesce(nullif(application_name, ''), usename, '?') || ')' FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND xact_start < $1
UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE prepared < $1
UNION ALL SELECT 'replication slot ' || slot_name FROM pg_replication_slots WHERE xmin IS NOT NULL"""
_AHEAD: Final = """
SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name > pg_walfile_name(pg_current_wal_lsn())"""
_LIST: Final = """
SELECT f.name, s.isdir, s.size FROM pg_ls_dir($1, true, false) AS f (name)
CROSS JOIN LATERAL pg_stat_file($1 || '/' || f.name, true) AS s WHERE s.size IS NOT NULL ORDER BY 1"""


@contextmanager
def _connected(conninfo: str) -> Iterator[Connection[Any]]:
    parameters = parameters_of(conninfo)
    raw = psycopg.RawCursor
    try:
        with psycopg.connect(**parameters, autocommit=True, prepare_threshold=None, cursor_factory=raw) as connection:
            yield connection
    except Error as error:
        raise mapped(error, place_of(parameters)) from error


def scrub(conninfo: str, timeout: float) -> tuple[list[str], list[str], list[str]]:
    """Write perdure's tables anew, and fill up the log; return what was done, what couldn't be, and what has copies.

    Args:
        conninfo: The database. A superuser can do all of it; the tables' owner can't touch the log.
        timeout: Seconds to wait for those who are in the way.
    """
    work = _Work(timeout)
    with _connected(conninfo) as connection:
        work.wait_for_older(connection)
        connection.execute(sql.SQL("SET lock_timeout = {}").format(int(timeout * 1000)))
        work.rewrite(connection)
        work.empty_log(connection)
        work.look_beyond(connection)
    return work.done, work.failed, work.beyond


class _Work:
    """What was done, and what couldn't be."""

    def __init__(self, timeout: float) -> None:
        self.done: list[str] = []
        self.failed: list[str] = []
        self.beyond: list[str] = []
        self._timeout = timeout

    def wait_for_older(self, connection: Connection[Any]) -> None:
        """Wait for those who may still see what was deleted: it would be copied for them."""
        deadline = time.monotonic() + self._timeout
        [[now]] = connection.execute("SELECT clock_timestamp()").fetchall()
        while found := [row[0] for row in connection.execute(_OLDER, (now,)).fetchall()]:
            if time.monotonic() > deadline:
                self.failed.append(f"may still see what was deleted, so it stays: {', '.join(found)}; end them")
                return
            time.sleep(_PAUSE)

    def rewrite(self, connection: Connection[Any]) -> None:
        """Write tables, indexes and statistics anew."""
        tables = connection.execute(_TABLES).fetchall()
        for schema, table, may in tables:
            if not may:
                self.failed.append(f"table {table} can't be written anew: only its owner may (VACUUM FULL)")
                continue
            command = sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(schema, table))
            self._try(connection, command, f"table {table} can't be written anew")
        self.done.append(f"VACUUM FULL: {len(tables)} tables and their indexes were written anew")
        self._try(
            connection,
            sql.SQL("VACUUM FULL pg_catalog.pg_statistic"),
            "the planner's statistics, samples of rows, can't be written anew: a superuser may",
            may="SELECT current_setting('is_superuser') = 'on'",
        )

    def empty_log(self, connection: Connection[Any]) -> None:
        """Take away the old files, and fill up all segments of the log that may hold something."""
        try:
            self._switch(connection)
            connection.execute("CHECKPOINT")
            self.done.append("CHECKPOINT: the files of the old tables were removed")
            [[ahead]] = connection.execute(_AHEAD).fetchall()
            for _ in range(ahead + 1):
                self._switch(connection)
            connection.execute("CHECKPOINT")
        except (InsufficientPrivilege, UndefinedFunction, FeatureNotSupported) as error:
            self.failed.append(
                f"the write-ahead log (pg_wal) keeps its old segments: {_first(error)}; a superuser may fill them up, "
                "or who may execute CHECKPOINT, pg_switch_wal, pg_ls_waldir and pg_logical_emit_message"
            )
        else:
            self.done.append(f"the write-ahead log: {ahead + 1} segments were filled up")

    def _switch(self, connection: Connection[Any]) -> None:
        # Without a record since the last one, a switch does nothing.
        connection.execute("SELECT pg_logical_emit_message(false, 'perdure', '')")
        connection.execute("SELECT pg_switch_wal()")

    def look_beyond(self, connection: Connection[Any]) -> None:
        """Name what keeps copies elsewhere."""
        checks = {
            "SELECT 1 WHERE current_setting('archive_mode') <> 'off'": "the archive of the log (archive_mode)",
            "SELECT 1 FROM pg_replication_slots": "replication slots: they keep segments of the log",
            "SELECT 1 FROM pg_stat_replication": "replicas: do the same there with their logs and files",
            "SELECT 1 WHERE current_setting('wal_keep_size') <> '0'": "segments of the log that wal_keep_size keeps",
            "SELECT 1 WHERE current_setting('log_statement') IN ('all', 'mod')": "the server's log of statements",
        }
        for asked, what in checks.items():
            if connection.execute(asked.encode()).fetchall():  # a constant of this file
                self.beyond.append(what)
        self.beyond.append("base backups and dumps, and the disk's own free space")

    def _try(
        self, connection: Connection[Any], command: sql.SQL | sql.Composed, what: str, may: LiteralString = ""
    ) -> None:
        if may and not connection.execute(may).fetchall()[0][0]:
            self.failed.append(what)
            return
        with suppress(UndefinedFile):
            try:
                connection.execute(command)
            except Error as error:
                self.failed.append(f"{what}: {_first(error)}")


def _first(error: Error) -> str:
    return str(error).partition("\n")[0]


def read(conninfo: str) -> Iterator[tuple[str, int, bytes, str]]:
    """Read the server's files of this database, and those of all: name, offset, bytes; or why there are none."""
    with _connected(conninfo) as connection:
        [[oid]] = connection.execute("SELECT oid::text FROM pg_database WHERE datname = current_database()").fetchall()
        try:
            yield from _folder(connection, ".", oid)
        except (InsufficientPrivilege, UndefinedFunction) as error:
            yield "the server's files", 0, b"", f"{_first(error)}: a superuser may read them, or pg_read_server_files"


def _folder(connection: Connection[Any], folder: str, oid: str) -> Iterator[tuple[str, int, bytes, str]]:
    for name, is_folder, size in _listed(connection, folder):
        path = f"{folder}/{name}"
        if not is_folder:
            yield from _file(connection, path, size)
        elif folder != "./base" or name in (oid, "pgsql_tmp"):  # the others are of other databases
            yield from _folder(connection, path, oid)


def _listed(connection: Connection[Any], folder: str) -> Sequence[Any]:
    try:
        return connection.execute(_LIST, (folder,)).fetchall()
    except UndefinedFile:
        return ()


def _file(connection: Connection[Any], path: str, size: int) -> Iterator[tuple[str, int, bytes, str]]:
    for offset in range(0, size, _SIZE):
        asked = connection.execute(
            "SELECT pg_read_binary_file($1, $2::bigint, $3::bigint, true)", (path, offset, _SIZE), binary=True
        )
        [[data]] = asked.fetchall()
        if data:
            yield path, offset, bytes(data), ""
