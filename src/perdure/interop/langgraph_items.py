"""Items of LangGraph's own stores in SQLite and Postgres, read and written with their times, to be copied.

They are read from its table, and put by its store, so that they are as if a program had put them there.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from perdure.checkpoint.registry import is_sqlite, sqlite_path
from perdure.errors import SerializationError, UsageError
from perdure.store.base import GetOp, Item, Op, PutOp, Result, SearchOp
from perdure.store.base.expiring import ExpiringStore, Life

__all__ = ["LangGraphItems", "open_items"]

_COLUMNS: Final = "prefix, key, value, created_at, updated_at, expires_at, ttl_minutes"
_NOT_JSON: Final = (TypeError, ValueError)


class _Database(NamedTuple):
    """What differs between its two kinds of databases.

    Attributes:
        run: Executes a statement, whose parameters are question marks, and returns its rows.
        moment: Makes of a time what its columns hold.
        minutes: Makes of a time to live what its column holds.
        refusals: What is raised for a value that it can't hold.
    """

    run: Callable[[str, Sequence[Any]], list[Any]]
    moment: Callable[[datetime], Any]
    minutes: Callable[[float], float]
    refusals: tuple[type[Exception], ...]


class LangGraphItems(ExpiringStore):
    """A store of LangGraph's, as far as copying items needs it.

    Args:
        inner: The store.
        database: Where its table is.
    """

    def __init__(self, inner: Any, database: _Database) -> None:
        super().__init__(None)
        self._inner = inner
        self._database = database

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations, one after the other: reading and putting items, and a search without any condition.

        Raises:
            UsageError: It is another.
            SerializationError: LangGraph can't store a value, such as one that isn't JSON.
        """
        return [self._do(op) for op in ops]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return self.batch(ops)

    def _do(self, op: Op) -> Any:
        if isinstance(op, GetOp):
            rows = self._rows("WHERE prefix = ? AND key = ?", (".".join(op.namespace), op.key))
            return _item(rows[0]) if rows else None
        if isinstance(op, SearchOp) and not (op.namespace_prefix or op.filter or op.query):
            # In one order whatever happens in between: its own search has none among items of the same second.
            order = "ORDER BY updated_at DESC, prefix DESC, key DESC LIMIT ? OFFSET ?"
            return [_item(row) for row in self._rows(order, (op.limit, op.offset))]
        if isinstance(op, PutOp):
            return self._put(op)
        raise UsageError(f"items of LangGraph's are only copied here, and this asks for {op}")

    def _put(self, op: PutOp) -> None:
        try:
            self._inner.put(op.namespace, op.key, None if op.value is None else dict(op.value))
        except self._database.refusals as error:
            raise SerializationError(
                f"the item {op.key!r} in {op.namespace} can't be stored by LangGraph, whose values are JSON: {error}"
            ) from error

    def _rows(self, how: str, values: Sequence[Any]) -> list[Any]:
        return self._database.run(f"SELECT {_COLUMNS} FROM store {how}", values)  # noqa: S608 - `how` is text above

    def lives(self, keys: Sequence[tuple[tuple[str, ...], str]]) -> list[Life | None]:
        found = [self._rows("WHERE prefix = ? AND key = ?", (".".join(ns), key)) for ns, key in keys]
        return [_life(rows[0]) if rows else None for rows in found]

    def restore(self, items: Sequence[tuple[PutOp, Life]]) -> None:
        """Put items, each with the times that it had; stopped in between, those before are there."""
        moment, minutes = self._database.moment, self._database.minutes
        for op, life in items:
            self._put(op)
            times = [moment(datetime.fromisoformat(text)) for text in life[:2]]
            ends = None if life.expires_at is None else moment(datetime.fromtimestamp(life.expires_at, UTC))
            ttl = None if life.ttl is None else minutes(life.ttl)
            self._database.run(_SET_LIFE, (*times, ends, ttl, ".".join(op.namespace), op.key))


_SET_LIFE: Final = (
    "UPDATE store SET created_at = ?, updated_at = ?, expires_at = ?, ttl_minutes = ? WHERE prefix = ? AND key = ? "
    "RETURNING key"
)


def _item(row: Sequence[Any]) -> Item:
    prefix, key, value, created_at, updated_at, *_ = row
    data = value if isinstance(value, dict) else json.loads(value)
    return Item(
        value=data,
        key=key,
        namespace=tuple(prefix.split(".")),
        created_at=_time(created_at),
        updated_at=_time(updated_at),
    )


def _life(row: Sequence[Any]) -> Life:
    created_at, updated_at = (_time(value).isoformat(timespec="microseconds") for value in row[3:5])
    return Life(created_at, updated_at, None if row[5] is None else _time(row[5]).timestamp(), row[6])


def _time(value: Any) -> datetime:
    """Return a time in UTC; SQLite's are texts, mostly without a zone."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@contextmanager
def open_items(url: str) -> Iterator[LangGraphItems]:
    """Open the store in a database of LangGraph's; its tables are made if they aren't there.

    Args:
        url: `sqlite:///path`, the path of a file, or `postgresql://...`.
    """
    with _open_sqlite(sqlite_path(url)) if is_sqlite(url) else _open_postgres(url) as found:
        yield found


@contextmanager
def _open_sqlite(path: str) -> Iterator[LangGraphItems]:
    from langgraph.store.sqlite import SqliteStore

    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as connection:
        store = SqliteStore(connection)
        store.setup()

        def run(sql: str, values: Sequence[Any]) -> list[Any]:
            return connection.execute(sql, values).fetchall()

        yield LangGraphItems(
            store, _Database(run, lambda when: when.isoformat(sep=" "), lambda minutes: minutes, _NOT_JSON)
        )


@contextmanager
def _open_postgres(url: str) -> Iterator[LangGraphItems]:
    import psycopg
    from langgraph.store.postgres import PostgresStore
    from psycopg.rows import dict_row, tuple_row

    as_dicts: Any = dict_row
    with psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=as_dicts) as connection:
        opened: Any = connection
        store = PostgresStore(opened)
        store.setup()

        def run(sql: str, values: Sequence[Any]) -> list[Any]:
            with opened.cursor(row_factory=tuple_row) as cursor:
                return cursor.execute(sql.replace("?", "%s"), values).fetchall()  # type: ignore[no-any-return]

        # Its column holds whole minutes.
        yield LangGraphItems(store, _Database(run, lambda when: when, math.ceil, (*_NOT_JSON, psycopg.DataError)))
