"""The server's tables on SQLite: one file, for the processes of one machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from perdure.checkpoint.registry import sqlite_path
from perdure.database.operation import Op
from perdure.database.sqlite import schema
from perdure.database.sqlite.connection import connect
from perdure.database.sqlite.driver import Driver
from perdure.database.sqltext import load_migrations
from perdure.server.database import Database
from perdure.server.database.dialects import sqlite_statements

_TIMEOUT: Final = 30.0
_SOFT: Final = ("note", "light")


@cache
def tables() -> schema.Tables:
    """Return the server's tables; those of checkpoints are in the same database."""
    return schema.Tables("perdure_server_migrations", load_migrations(Path(__file__).with_name("migrations")))


class SqliteDatabase(Database):
    """Runs operations on a connection of its own.

    Args:
        url: As of `perdure.checkpoint.registry.open_saver`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.sql = sqlite_statements()
        path = sqlite_path(url) if url.startswith("sqlite:") else url
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = connect(path, _TIMEOUT)
        self._driver = Driver(self._connection, "FULL", _nothing)

    async def setup(self) -> None:
        schema.prepare_file(self._connection, _TIMEOUT)
        schema.migrate(self._connection, _TIMEOUT, tables())
        self._driver.begin()

    async def _arun(self, make: Callable[[], Op[Any]], kind: str) -> Any:
        return await self._driver.arun(make, writes=kind != "read", soft=kind in _SOFT)

    def _run(self, make: Callable[[], Op[Any]], kind: str) -> Any:
        return self._driver.run(make, writes=kind != "read", soft=kind in _SOFT)

    async def aclose(self) -> None:
        self._driver.close(with_connection=True)


def _nothing() -> None:
    """Forget nothing: nothing is remembered between operations."""
