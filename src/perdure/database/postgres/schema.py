"""The tables: made and migrated by numbered, checksummed steps, as operations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from perdure.database.migrating import outstanding
from perdure.database.operation import Op
from perdure.database.postgres.naming import prefix_of
from perdure.database.sqltext import Migration
from perdure.errors import InvalidConfigError, StorageError

_LOCK: Final = 0x7065726475726501
"""The key of the advisory lock that migrations are done under: "perdure" and a number."""

_SPLIT = ("checkpoints", "pieces", "writes")
"""Tables that can be partitioned by namespace."""


class Tables(NamedTuple):
    """A set of tables with migrations of its own; several may live in one schema.

    Attributes:
        record: The table that says which migrations were applied; a name of perdure's own.
        steps: The migrations that this version of perdure has.
    """

    record: str
    steps: Sequence[Migration]


_TABLE: Final = """CREATE TABLE IF NOT EXISTS {prefix}{record} (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL
)"""
_LOCK_TABLE: Final = "CREATE TABLE IF NOT EXISTS {prefix}perdure_migration_lock (id integer PRIMARY KEY)"
_LOCK_ROW: Final = (
    "INSERT INTO {prefix}perdure_migration_lock (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = excluded.id"
)


def is_current(schema: str | None, where: str, tables: Tables) -> Op[bool]:
    """Tell whether the tables are there and up to date. Needs no rights but to read.

    Raises:
        SchemaVersionError: The database was made by a perdure that is too new.
        StorageError: A migration that was applied isn't the one of this version.
    """
    applied = yield from _applied(schema, tables)
    return applied is not None and not outstanding(applied, where, tables.steps)


def migrate(schema: str | None, where: str, partitions: int, *, has_locks: bool, tables: Tables) -> Op[None]:
    """Bring the tables up to date, in one transaction; any number of processes may do so at once.

    Args:
        schema: Where the tables are; made if it isn't there.
        where: The database, for messages.
        partitions: How many parts each large table is split into, by a hash of the namespace; 1: none.
        has_locks: Whether the server has advisory locks. A row is locked if not.
        tables: Which.
    """
    prefix = prefix_of(schema)
    if has_locks:
        # Others wait here until this transaction ends, and then find the tables.
        yield [("SELECT pg_advisory_xact_lock($1::bigint)", (_LOCK,))]
    if schema is not None:
        # Asked first: IF NOT EXISTS needs the right to create one even if there is nothing to do.
        [[(found,)]] = yield [("SELECT to_regnamespace($1::text) IS NOT NULL", (prefix[:-1],))]
        if not found:
            yield [(f"CREATE SCHEMA IF NOT EXISTS {prefix[:-1]}", ())]
    yield [(_TABLE.format(prefix=prefix, record=tables.record), ())]
    if not has_locks:
        yield [(_LOCK_TABLE.format(prefix=prefix), ())]
        yield [(_LOCK_ROW.format(prefix=prefix), ())]
    applied = yield from _applied(schema, tables)
    for step in outstanding(applied or (), where, tables.steps):
        for statement in step.statements:
            yield [(text, ()) for text in _fitted(statement, prefix, partitions)]
        recording = f"INSERT INTO {prefix}{tables.record} (version, name, checksum) VALUES ($1, $2, $3)"  # noqa: S608 - a quoted name
        yield [(recording, (step.version, step.name, step.checksum))]


def has_advisory_locks() -> Op[bool]:
    """Tell whether the server has advisory locks that do what they say."""
    [[(text,)]] = yield [("SELECT version()", ())]
    return not any(name in text for name in ("CockroachDB", "YugabyteDB", "-YB-"))


def _applied(schema: str | None, tables: Tables) -> Op[Sequence[Any] | None]:
    """Read what was applied; None if there is no table of that."""
    prefix = prefix_of(schema)
    [[(found,)]] = yield [("SELECT to_regclass($1::text) IS NOT NULL", (f"{prefix}{tables.record}",))]
    if not found:
        return None
    [rows] = yield [
        (f"SELECT version, name, checksum FROM {prefix}{tables.record} ORDER BY version", ())  # noqa: S608 - a quoted name
    ]
    return rows


def _fitted(statement: str, prefix: str, partitions: int) -> list[str]:
    """Put schema and partitions into a migration's statement."""
    hashed = "PARTITION BY HASH (ns)" if partitions > 1 else ""
    texts = [statement.replace("@schema.", prefix).replace("@hashed", hashed)]
    made = re.search(r"CREATE TABLE @schema\.perdure_(\w+) [^@]*@hashed", statement)
    if made and partitions > 1:
        table = f"{prefix}perdure_{made[1]}"
        texts += [
            f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
            for part in range(partitions)
        ]
    return texts


def check_partitions(partitions: int) -> None:
    """Check a number of partitions.

    Raises:
        InvalidConfigError: It isn't from 1 to 256.
    """
    if not 1 <= partitions <= 256:
        raise InvalidConfigError(f"partitions must be from 1 to 256, not {partitions!r}")


_RACES: Final = ("23505", "42P06", "42P07", "42710")  # another process made the same thing


@contextmanager
def forgiving_races(*, last: bool) -> Iterator[None]:
    """Let an attempt to make tables fail because another process made them, unless it is the last one."""
    try:
        yield
    except StorageError as e:
        if last or getattr(e, "sqlstate", None) not in _RACES:
            raise
