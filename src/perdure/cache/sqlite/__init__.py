"""A cache in an SQLite file, which many processes of one machine may share."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from perdure.cache.base import BaseCache, FullKey, Namespace, ValueT
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.operation import Op, Statement
from perdure.database.sqlite import schema
from perdure.database.sqlite.connection import connect
from perdure.database.sqlite.driver import Driver
from perdure.database.sqltext import load_migrations, load_statements

__all__ = ["SqliteCache"]

SQL: Final = load_statements(Path(__file__).with_name("statements.sql"))


@cache
def caches_tables() -> schema.Tables:
    """Return the tables of caches; those of checkpoints may be in the same database."""
    return schema.Tables("perdure_cache_migrations", load_migrations(Path(__file__).with_name("migrations")))


class SqliteCache(BaseCache[ValueT]):
    """Keeps values in an SQLite database. Values that have expired go whenever something is set.

    One object serves sync and async callers, any number of threads and event loops.

    Args:
        path: Of the file; it may be that of a saver or a store.
        serde: Turns values into bytes.
        timeout: Seconds to wait for another process.
    """

    _closed = True

    def __init__(self, *, path: str, serde: SerializerProtocol | None = None, timeout: float = 30.0) -> None:
        super().__init__(serde=serde)
        self._timeout = timeout
        self._connection = connect(str(path), timeout)
        self._driver = Driver(self._connection, "NORMAL", _nothing)  # what a power failure takes is made anew
        self._ready = False
        self._setup_lock = threading.Lock()
        self._closed = False

    def setup(self) -> None:
        """Create or migrate the tables. Optional: the first use does it. Safe for many processes at once.

        Raises:
            SchemaVersionError: The database was made by a newer perdure.
        """
        if self._ready:
            return
        with self._setup_lock:
            if not self._ready:
                schema.prepare_file(self._connection, self._timeout)
                schema.migrate(self._connection, self._timeout, caches_tables())
                self._driver.begin()
                self._ready = True

    def close(self) -> None:
        """Close the database."""
        if not self._closed:
            self._closed = True
            self._driver.close(with_connection=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.path}>"

    # -- operations

    def _run(self, make: Callable[[], Op[Any]], *, writes: bool) -> Any:
        self.setup()
        return self._driver.run(make, writes=writes)

    async def _arun(self, make: Callable[[], Op[Any]], *, writes: bool) -> Any:
        self.setup()
        return await self._driver.arun(make, writes=writes)

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        return self._decoded(self._run(partial(_get, keys), writes=False))

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        return self._decoded(await self._arun(partial(_get, keys), writes=False))

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        self._run(partial(_do, self._setting(pairs)), writes=True)

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        await self._arun(partial(_do, self._setting(pairs)), writes=True)

    def _setting(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> list[Statement]:
        now = time.time()
        statements: list[Statement] = [(SQL["sweep"], (now,))]
        for (namespace, key), (value, ttl) in pairs.items():
            end = None if ttl is None else now + ttl
            statements.append((SQL["set"], (_text(namespace), key, *self.serde.dumps_typed(value), end)))
        return statements

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        self._run(partial(_do, _clearing(namespaces)), writes=True)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        await self._arun(partial(_do, _clearing(namespaces)), writes=True)


def _get(keys: Sequence[FullKey]) -> Op[dict[FullKey, tuple[str, bytes]]]:
    now = time.time()
    replies = yield [(SQL["get"], (_text(namespace), key, now)) for namespace, key in keys]
    return {key: (rows[0][0], rows[0][1]) for key, rows in zip(keys, replies, strict=True) if rows}


def _do(statements: Sequence[Statement]) -> Op[None]:
    yield statements


def _clearing(namespaces: Sequence[Namespace] | None) -> list[Statement]:
    if namespaces is None:
        return [(SQL["clear_all"], ())]
    return [(SQL["clear"], (_text(namespace),)) for namespace in namespaces]


def _text(namespace: Namespace) -> str:
    return json.dumps(list(namespace))


def _nothing() -> None:
    """Forget nothing: a cache remembers nothing beside its table."""
