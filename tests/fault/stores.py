"""The stores that the fault programs run on, each opened by its URL.

A store tells its saver's statements to a *tick*, before and after each, so that a program can die at any of them; a
store on a server also whenever the program waits for it, with a part of a batch, or all of it, on its way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg
from tests.fault.shapes import labels_of
from tests.servers.postgres import Server
from tests.servers.seaweed import ENVIRONMENT, Seaweed
from tests.servers.valkey import Valkey

import redis
from perdure.checkpoint.base import Commit
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.redis import RedisSaver
from perdure.checkpoint.s3 import S3Saver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.database.objects.exchange import Get, Patience, ask
from perdure.database.postgres.connecting import Link
from perdure.database.redis.driver import Driver

Note = Callable[[str], None]
Tick = Callable[[], None]


class Store(Protocol):
    def serving(self) -> AbstractContextManager[Any]:
        """Return a context manager in which the stores' server, if they need one, runs."""

    def url(self, folder: Path, name: str) -> str:
        """Name a store that is empty, and nobody else's."""

    def exists(self, url: str) -> bool:
        """Tell whether anything was stored."""

    def open(self, url: str) -> AbstractContextManager[Any]:
        """Open a plain saver."""

    def watch(self, url: str, log: Note, tick: Tick) -> AbstractContextManager[Any]:
        """Open a saver that notes what was acknowledged, and ticks before and after each statement."""

    def outlast(self, url: str) -> None:
        """Wait until nothing is on its way any more that a killed program has sent; call it when no other one runs."""

    def damage(self, url: str) -> str | None:
        """Say what the database itself finds damaged."""

    def remove(self, url: str) -> None:
        """Delete the store."""


class Noting:
    """Notes what the storage acknowledged; mixed into a saver."""

    log: Note

    def prepare(self, commit: Commit) -> Any:
        prepared = super().prepare(commit)
        self._lines()[id(prepared)] = (prepared, _acknowledged(commit))
        return prepared

    def commit(self, prepared: Sequence[Any]) -> bool:
        self._begin(prepared)
        result = super().commit(prepared)
        self._note(prepared)
        return result

    async def acommit(self, prepared: Sequence[Any]) -> bool:
        self._begin(prepared)
        result = await super().acommit(prepared)
        self._note(prepared)
        return result

    def _lines(self) -> dict[int, Any]:
        return self.__dict__.setdefault("_pending_lines", {})

    def _begin(self, prepared: Sequence[Any]) -> None:
        for one in prepared:
            if one.checkpoint_id is not None:
                self.log(f"commits {one.checkpoint_ns or '-'} {one.checkpoint_id}")

    def _note(self, prepared: Sequence[Any]) -> None:
        for one in prepared:
            for line in self._lines().pop(id(one))[1]:
                self.log(line)


def _acknowledged(commit: Commit) -> list[str]:
    lines = [
        f"acked {label}"
        for task in commit.writes
        for channel, value in task.writes
        for label in labels_of(channel, value)
    ]
    if commit.checkpoint is not None:
        lines.append(f"checkpoint {commit.checkpoint_ns or '-'} {commit.checkpoint['id']}")
    return lines


class NotingSqliteSaver(Noting, SqliteSaver):
    pass


class SqliteStore:
    def serving(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def url(self, folder: Path, name: str) -> str:
        return f"sqlite:///{folder}/{name}.db"

    def exists(self, url: str) -> bool:
        return Path(path_of(url)).exists()

    def open(self, url: str) -> AbstractContextManager[Any]:
        return SqliteSaver.from_conn_string(path_of(url), synchronous="NORMAL")

    @contextmanager
    def watch(self, url: str, log: Note, tick: Tick) -> Iterator[Any]:
        def before(*_: Any) -> bool:
            tick()
            return True

        with closing(apsw.Connection(path_of(url))) as connection:
            connection.set_busy_timeout(30_000)
            connection.exec_trace = before
            connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda _: tick())
            with NotingSqliteSaver(connection, synchronous="NORMAL") as saver:
                saver.log = log
                yield saver

    def outlast(self, url: str) -> None:
        """Do nothing: a write to the file is done when the program is dead, or never."""

    def damage(self, url: str) -> str | None:
        with closing(apsw.Connection(path_of(url))) as connection:
            verdict = connection.execute("PRAGMA integrity_check").get
        return None if verdict == "ok" else verdict

    def remove(self, url: str) -> None:
        for end in ("", "-wal", "-shm"):
            Path(path_of(url) + end).unlink(missing_ok=True)


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


class NotingPostgresSaver(Noting, PostgresSaver):
    pass


class PostgresStore:
    """Databases of one server; the server itself stays alive, see tests/integration for its own deaths."""

    def __init__(self) -> None:
        self._server = ""

    @contextmanager
    def serving(self) -> Iterator[Any]:
        if given := os.environ.get("PERDURE_TEST_POSTGRES"):
            self._server = given
            yield
            return
        with Server() as server:
            self._server = server.url()
            yield

    def url(self, folder: Path, name: str) -> str:
        # Workers are processes, each with a folder of its own.
        name = f"kill_{folder.name}_{os.getpid()}_{name}".replace("-", "_")
        self._ask(self._server, f"CREATE DATABASE {name} STRATEGY file_copy")
        return f"{self._server.rpartition('/')[0]}/{name}"

    def exists(self, url: str) -> bool:
        return bool(self._ask(url, "SELECT to_regclass('perdure_migrations') IS NOT NULL")[0][0])

    def open(self, url: str) -> AbstractContextManager[Any]:
        return PostgresSaver.from_conn_string(url)

    @contextmanager
    def watch(self, url: str, log: Note, tick: Tick) -> Iterator[Any]:
        execute, wait = Link.execute, psycopg.Connection.wait

        def ticking(link: Link, batch: Any) -> Any:
            tick()
            rows = execute(link, batch)
            tick()
            return rows

        Link.execute = ticking
        psycopg.Connection.wait = lambda self, gen, **options: wait(self, _ticking_waits(gen, tick), **options)
        try:
            with NotingPostgresSaver.from_conn_string(url) as saver:
                saver.log = log
                yield saver
        finally:
            Link.execute, psycopg.Connection.wait = execute, wait

    def outlast(self, url: str) -> None:
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        while self._ask(url, others)[0][0]:
            time.sleep(0.002)

    def damage(self, url: str) -> str | None:
        return None

    def remove(self, url: str) -> None:
        self._ask(self._server, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    @staticmethod
    def _ask(url: str, sql: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []


class NotingRedisSaver(Noting, RedisSaver):
    pass


class RedisStore:
    """Prefixes of one server; the server itself stays alive, see tests/integration for its own deaths."""

    def __init__(self) -> None:
        self._server = ""

    @contextmanager
    def serving(self) -> Iterator[Any]:
        with Valkey() as server:
            self._server = server.url
            yield

    def url(self, folder: Path, name: str) -> str:
        name = f"{folder.name}-{os.getpid()}-{name}:"
        return f"{self._server}?client_name={name}&prefix={name}"

    def exists(self, url: str) -> bool:
        return bool(self._keys(url))

    def open(self, url: str) -> AbstractContextManager[Any]:
        return RedisSaver.from_conn_string(url)

    @contextmanager
    def watch(self, url: str, log: Note, tick: Tick) -> Iterator[Any]:
        send, deliver = Driver._send, redis.Connection.send_packed_command

        def ticking(driver: Driver, batch: Any) -> Any:
            tick()
            replies = send(driver, batch)
            tick()
            return replies

        def delivering(connection: Any, *words: Any, **options: Any) -> None:
            deliver(connection, *words, **options)
            tick()  # all of it is on its way

        Driver._send, redis.Connection.send_packed_command = ticking, delivering
        try:
            with NotingRedisSaver.from_conn_string(url) as saver:
                saver.log = log
                yield saver
        finally:
            Driver._send, redis.Connection.send_packed_command = send, deliver

    def outlast(self, url: str) -> None:
        with self._client() as client:
            while any(one["name"] == self._name(url) for one in client.client_list()):
                time.sleep(0.002)

    def damage(self, url: str) -> str | None:
        """Compare a thread's order with its rows."""
        with self._client() as client:
            for key in self._keys(url):
                if key.endswith(b":o"):
                    rows = {row for row in client.hkeys(key[:-2]) if row[:1] in b"ncwr"}
                    if rows != set(client.zrange(key, 0, -1)):
                        return f"rows and order of {key!r} differ"
        return None

    def remove(self, url: str) -> None:
        with self._client() as client:
            if keys := self._keys(url):
                client.delete(*keys)

    def _client(self) -> Any:
        return redis.Redis.from_url(self._server)

    def _keys(self, url: str) -> list[bytes]:
        with self._client() as client:
            return client.keys(self._name(url) + "*")

    @staticmethod
    def _name(url: str) -> str:
        return url.partition("prefix=")[2]


def _ticking_waits(gen: Generator[Any, Any, Any], tick: Tick) -> Generator[Any, Any, Any]:
    """Carry on a conversation with the server, and tick at each of its waits."""
    try:
        waits = next(gen)
        while True:
            tick()
            waits = gen.send((yield waits))
    except StopIteration as end:
        return end.value


class NotingS3Saver(Noting, S3Saver):
    pass


class S3Store:
    """Prefixes of one bucket. Only children open it: its client's threads don't survive a fork."""

    def __init__(self) -> None:
        self._server = ""

    @contextmanager
    def serving(self) -> Iterator[Any]:
        os.environ.update(ENVIRONMENT)
        if given := os.environ.get("PERDURE_TEST_S3"):
            self._server = given
            yield
            return
        with Seaweed() as server:
            self._server = server.url()
            yield

    def url(self, folder: Path, name: str) -> str:
        return self._server.replace("?", f"/{folder.name}-{os.getpid()}-{name}?")

    def exists(self, url: str) -> bool:
        saver = S3Saver.open(url)
        return saver.client.run(ask([Get("perdure")], Patience(10))) != [None]

    def open(self, url: str) -> AbstractContextManager[Any]:
        return S3Saver.from_conn_string(url)

    @contextmanager
    def watch(self, url: str, log: Note, tick: Tick) -> Iterator[Any]:
        """Tick before and after each request, and after each of several that are sent together."""
        with NotingS3Saver.from_conn_string(url) as saver:
            send, asend = saver.client._send, saver.client._asend

            def ticking(request: Any) -> Any:
                tick()
                answer = send(request)
                tick()
                return answer

            async def aticking(request: Any) -> Any:
                tick()
                answer = await asend(request)
                tick()
                return answer

            saver.client._send, saver.client._asend = ticking, aticking
            saver.log = log
            yield saver

    def outlast(self, url: str) -> None:
        """Give the server time for what a killed program has sent."""
        time.sleep(0.02)

    def damage(self, url: str) -> str | None:
        return None

    def remove(self, url: str) -> None:
        """Leave it to the server's end."""


STORES: dict[str, Store] = {
    "sqlite": SqliteStore(),
    "postgresql": PostgresStore(),
    "redis": RedisStore(),
    "s3": S3Store(),
}
"""By the scheme of their URLs."""


def store_of(url: str) -> Store:
    return STORES[url.partition(":")[0]]
