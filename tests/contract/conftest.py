"""The savers that the contract tests run over."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from tests.contract.shown import open_table

import redis
from perdure.checkpoint import layout
from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance.case import COLOURS
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.redis import RedisSaver
from perdure.checkpoint.s3 import S3Saver
from perdure.checkpoint.serde.encrypted import EncryptedSerializer
from perdure.checkpoint.sqlite import SqliteSaver

Saver = BaseCheckpointSaver[Any]
Open = Callable[[Path], AbstractContextManager[Saver]]


@contextmanager
def _on_sqlite3(folder: Path) -> Iterator[Saver]:
    with closing(sqlite3.connect(folder / "std.db", check_same_thread=False)) as connection:
        with SqliteSaver(connection) as saver:
            yield saver
        connection.execute("SELECT 1")  # the saver leaves it open


@contextmanager
def _on_apsw(folder: Path) -> Iterator[Saver]:
    with closing(apsw.Connection(str(folder / "apsw.db"))) as connection, SqliteSaver(connection) as saver:
        yield saver


@contextmanager
def _by_changes(opening: AbstractContextManager[Saver]) -> Iterator[Saver]:
    """Store each record as those of large graphs are: by what changed."""
    with pytest.MonkeyPatch.context() as patch, opening as saver:
        patch.setattr(layout, "LEAST_BODY", 0)
        yield saver


def encrypting() -> EncryptedSerializer:
    """Return a serializer with a key of the tests."""
    return EncryptedSerializer.from_aes(b"0123456789abcdef")


OPENERS: dict[str, Open] = {
    "memory": lambda _: InMemorySaver(),
    "sqlite-memory": lambda _: SqliteSaver.from_conn_string(":memory:"),
    "sqlite-file": lambda folder: SqliteSaver.from_conn_string(str(folder / "file.db"), synchronous="NORMAL"),
    "sqlite-full": lambda folder: SqliteSaver.from_conn_string((folder / "full.db").as_uri()),
    "sqlite-sqlite3": _on_sqlite3,
    "sqlite-apsw": _on_apsw,
    "sqlite-by-changes": lambda folder: _by_changes(SqliteSaver.from_conn_string(str(folder / "changes.db"))),
    "rows": lambda folder: open_table(folder / "rows.db"),
    "sqlite-encrypted": lambda folder: SqliteSaver.from_conn_string(str(folder / "secret.db"), serde=encrypting()),
}


@contextmanager
def _on_connection(url: str) -> Iterator[Saver]:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        with PostgresSaver(connection) as saver:
            yield saver
        connection.execute("SELECT 1")  # the saver leaves it open


@contextmanager
def _on_pool(url: str) -> Iterator[Saver]:
    settings = {"autocommit": True, "row_factory": dict_row, "prepare_threshold": 0}
    with ConnectionPool(url, min_size=0, max_size=3, kwargs=settings, open=True) as pool, PostgresSaver(pool) as saver:
        yield saver


SERVED: dict[str, Callable[[str], AbstractContextManager[Saver]]] = {
    "postgres": PostgresSaver.from_conn_string,
    "postgres-schema": lambda url: PostgresSaver.from_conn_string(url, schema='a "schema"', prepare_threshold=None),
    "postgres-connection": _on_connection,
    "postgres-pool": _on_pool,
    "postgres-by-changes": lambda url: _by_changes(PostgresSaver.from_conn_string(url)),
    "pgbouncer": PostgresSaver.from_conn_string,
    "postgres-encrypted": lambda url: _by_changes(PostgresSaver.from_conn_string(url, serde=encrypting())),
    "s3": S3Saver.from_conn_string,
}

_PLACES = {"pgbouncer": "pooled_database", "s3": "bucket"}


@contextmanager
def _on_redis(url: str) -> Iterator[Saver]:
    with redis.Redis.from_url(url) as client:
        with RedisSaver(client, prefix="of tests:", ttl=1000, refresh_on_read=True) as saver:
            yield saver
        client.ping()  # the saver leaves it open


ON_REDIS: dict[str, Callable[[str], AbstractContextManager[Saver]]] = {
    "redis": RedisSaver.from_conn_string,
    "redis-client": _on_redis,
    "redis-by-changes": lambda url: _by_changes(RedisSaver.from_conn_string(url)),
}


WHOLE = {"memory", "sqlite-file", "sqlite-full", "postgres", "redis", "rows", "s3"}
"""Savers whose cases run in both colours; those of the others, which differ in how they connect, run in one each."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def is_left_out(item: pytest.Item) -> bool:
        given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if not {"saver", "case", "colour"} <= given.keys() or given["saver"] in WHOLE:
            return False
        return bool(given["colour"] != COLOURS[len(str(given["case"])) % 2])

    left_out = {item for item in items if is_left_out(item)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(params=[*OPENERS, *SERVED, *ON_REDIS])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Saver]:
    """An empty saver of each kind; afterwards nothing of it may be left."""
    before = set(threading.enumerate())
    if request.param in SERVED:
        opening = SERVED[request.param](request.getfixturevalue(_PLACES.get(request.param, "database")))
    elif request.param in ON_REDIS:
        opening = ON_REDIS[request.param](request.getfixturevalue("empty_valkey").url)
    else:
        opening = OPENERS[request.param](tmp_path)
    with opening as opened:
        yield opened
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("perdure")]
    assert left == []
    assert [f.name for f in tmp_path.iterdir() if f.name.endswith(("-wal", "-journal"))] == []
