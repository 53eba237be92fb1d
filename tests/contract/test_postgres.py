"""What PostgresSaver promises beyond the contract: round trips, sharing commits, given connections, misuse."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from perdure.checkpoint import conformance
from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint, paint, place
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.postgres.aio import AsyncPostgresSaver
from perdure.checkpoint.postgres.searching import search_for, searched_of
from perdure.checkpoint.records import matches
from perdure.checkpoint.registry import open_saver
from perdure.database.postgres import schema
from perdure.database.postgres.connecting import Link, parameters_of
from perdure.database.postgres.sources import Pool
from perdure.errors import (
    ConflictError,
    CorruptCheckpointError,
    InvalidConfigError,
    SchemaVersionError,
    StorageError,
    TransientStorageError,
    UsageError,
)

Saver = PostgresSaver[Any]


@pytest.fixture
def saver(database: str) -> Iterator[Saver]:
    with PostgresSaver.from_conn_string(database) as opened:
        opened.setup()
        yield opened


@pytest.fixture
def other(database: str) -> Iterator[Saver]:
    """A second process's, as it were: it has nothing at hand."""
    with PostgresSaver.from_conn_string(database) as opened:
        opened.setup()
        yield opened


@pytest.fixture
def sql(database: str) -> Iterator[Any]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection.execute


def first(saver: Saver, thread_id: str, value: Any = 1, **more: Any) -> Any:
    made = checkpoint({"x": value})
    return saver.prepare(Commit(thread_id, "", None, (), made, {}, {"x": 1}, **more))


class Thread:
    """A thread that is gone on with as the engine does it."""

    def __init__(self, saver: Saver, thread_id: str = "t") -> None:
        self.saver = saver
        self.thread_id = thread_id
        self.head: str | None = None
        self.items: list[str] = []
        self.lease: Any = None

    def prepared(self) -> Any:
        self.items = [*self.items, os.urandom(200).hex()]
        n = len(self.items)
        made = checkpoint({"items": self.items, "n": n}, {"items": n, "n": n}, after=self.head)
        writes = [TaskWrites(f"task {n}", "", [("items", self.items[-1:]), ("n", n)])] if self.head else []
        commit = Commit(
            self.thread_id, "", self.head, writes, made, {"step": n}, {"items": n, "n": n}, self.head, self.lease
        )
        self.head = made["id"]
        return self.saver.prepare(commit)

    def step(self) -> None:
        self.saver.commit([self.prepared()])

    def check(self) -> None:
        found = self.saver.get_tuple(place(self.thread_id))
        assert found is not None
        assert found.checkpoint["id"] == self.head
        assert found.checkpoint["channel_values"]["items"] == self.items
        assert len(list(self.saver.list(place(self.thread_id)))) == len(self.items)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The batches that are sent from now on."""
    seen: list[list[str]] = []
    original = Link.execute

    def execute(self: Link, batch: Any) -> Any:
        seen.append([text for text, _ in batch])
        return original(self, batch)

    monkeypatch.setattr(Link, "execute", execute)
    return seen


# -- round trips


def test_a_superstep_is_one_statement(saver: Saver, trips: list[list[str]]) -> None:
    thread = Thread(saver)
    for _ in range(7):  # the first makes the namespace
        thread.step()
    assert [len(batch) for batch in trips] == [1] * 7
    assert all("guard" in batch[0] for batch in trips)
    thread.check()


async def test_what_needs_no_fsync_shares_no_transaction_with_what_does(saver: Saver, trips: list[list[str]]) -> None:
    leases = [saver.acquire(f"t{n}", "me", 60) for n in range(10)]
    trips.clear()
    calls: list[Any] = [saver.arelease(lease) for lease in leases if lease]
    calls += [saver.acommit([first(saver, f"u{n}")]) for n in range(10)]
    calls += [saver.arequest_stop("x"), saver.aacquire("t", "me", 60)]
    await asyncio.gather(*calls)
    for batch in trips:
        assert len({"synchronous_commit" in text for text in batch}) == 1, batch
    assert any("synchronous_commit" in text for batch in trips for text in batch)


def test_another_process_s_thread_is_gone_on_with(saver: Saver, database: str, trips: list[list[str]]) -> None:
    thread = Thread(saver)
    for _ in range(40):
        thread.step()
    with PostgresSaver.from_conn_string(database) as other:
        thread.saver = other
        other.setup()
        trips.clear()
        thread.step()  # without having read it before
        assert len(trips) <= 3
        trips.clear()
        thread.step()
        assert len(trips) == 1
        thread.check()


def test_writes_of_tasks_and_several_supersteps_are_one_statement(saver: Saver, trips: list[list[str]]) -> None:
    thread = Thread(saver)
    thread.step()
    thread.step()
    trips.clear()
    saver.commit([saver.prepare(Commit("t", "", thread.head, [TaskWrites("a", "", [("x", "y" * 300)])]))])
    assert [len(batch) for batch in trips] == [1]
    trips.clear()
    writes = saver.prepare(Commit("t", "", thread.head, [TaskWrites("b", "", [("x", 1)])]))
    saver.commit([writes, thread.prepared(), thread.prepared(), thread.prepared()])
    assert [len(batch) for batch in trips] == [1]
    thread.check()


def test_reading_the_latest_is_two_statements(saver: Saver, other: Saver, trips: list[list[str]]) -> None:
    thread = Thread(saver)
    for _ in range(50):
        thread.step()
    trips.clear()
    other.get_tuple(place())
    assert [len(batch) for batch in trips] == [1, 1]
    trips.clear()
    saver.get_tuple(place())
    assert [len(batch) for batch in trips] == [1]  # the values are at hand


async def test_tasks_of_one_tick_share_a_transaction(saver: Saver, trips: list[list[str]]) -> None:
    threads = [Thread(saver, f"t{n}") for n in range(20)]
    for thread in threads:
        thread.step()
        thread.step()
    trips.clear()
    await asyncio.gather(*(saver.acommit([thread.prepared()]) for thread in threads))
    assert [len(batch) for batch in trips] == [1]
    for thread in threads:
        thread.check()


async def test_a_conflict_fails_alone(saver: Saver) -> None:
    threads = [Thread(saver, f"t{n}") for n in range(6)]
    for thread in threads:
        thread.step()
    stale = Thread(saver, "t3")
    stale.head = "0"
    results = await asyncio.gather(
        *(saver.acommit([t.prepared()]) for t in threads), saver.acommit([stale.prepared()]), return_exceptions=True
    )
    assert [type(r) for r in results] == [bool] * 6 + [ConflictError]
    for thread in threads:
        thread.check()


async def test_each_of_many_at_once_gets_its_own_answer(saver: Saver, trips: list[list[str]]) -> None:
    threads = [Thread(saver, f"t{n}") for n in range(8)]
    for thread in threads:
        thread.lease = saver.acquire(thread.thread_id, "me", 60)
        thread.step()
        thread.step()
    saver.request_stop("t1")
    threads[2].lease = threads[2].lease._replace(generation=7)  # type: ignore[union-attr]
    task = TaskWrites(f"task {len(threads[3].items) + 1}", "", [("other", 1)])
    saver.commit([saver.prepare(Commit("t3", "", threads[3].head, [task]))])
    heads = [thread.head for thread in threads]
    trips.clear()
    results = await asyncio.gather(*(saver.acommit([t.prepared()]) for t in threads), return_exceptions=True)
    assert [type(r) for r in results] == [bool, bool, ConflictError, *[bool] * 5]
    assert [r for r in results if isinstance(r, bool)] == [False, True, *[False] * 5]
    assert len(trips[0]) == 1, "one statement for all"
    assert len(trips) <= 9, "and only the two that it left out were tried otherwise"
    for thread in threads[:2] + threads[3:]:
        thread.check()
    assert saver.get_head("t2") == heads[2]
    found = saver.get_tuple(place("t3", "", heads[3]))
    assert found is not None
    assert ("other", 1) in [(channel, value) for _, channel, value in found.pending_writes or ()]


async def test_of_two_that_expect_the_same_head_one_wins(saver: Saver) -> None:
    base = Thread(saver)
    base.step()
    base.step()
    rivals = []
    for _ in range(8):
        rival = Thread(saver)
        rival.head, rival.items = base.head, base.items
        rivals.append(rival)
    results = await asyncio.gather(*(saver.acommit([r.prepared()]) for r in rivals), return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["ConflictError"] * 7 + ["bool"]
    rivals[[type(r) for r in results].index(bool)].check()


def test_one_saver_serves_many_loops_and_both_colours(saver: Saver) -> None:
    thread = Thread(saver)

    async def go_on() -> None:
        for _ in range(3):
            await saver.acommit([thread.prepared()])

    for _ in range(3):
        asyncio.run(go_on())
        thread.step()
    thread.check()


def test_what_another_writer_changed_is_seen(saver: Saver, database: str) -> None:
    """The head's id alone doesn't tell that its record was replaced."""
    with PostgresSaver.from_conn_string(database) as other:
        config = saver.put(place(), checkpoint({"x": "a"}, {"x": 1}), {}, {"x": 1})
        made = checkpoint({"y": 1}, {"x": 1, "y": 1}, after=config["configurable"]["checkpoint_id"])
        config = saver.put(config, made, {}, {"y": 1})  # now this process knows the head's references
        other.put(place(checkpoint_id=None), made | {"channel_values": {"x": "b", "y": 1}}, {}, {"x": 1, "y": 1})
        parent = made["id"]
        after = checkpoint({"y": 2}, {"x": 1, "y": 2}, after=parent)
        saver.commit([saver.prepare(Commit("t", "", parent, (), after, {}, {"y": 2}, parent))])
        found = other.get_tuple(place())
        assert found is not None
        assert found.checkpoint["channel_values"] == {"x": "b", "y": 2}


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="liveness is told by /proc")
def test_the_lease_of_a_dead_process_is_taken_over_at_once(saver: Saver) -> None:
    naming = "from perdure.checkpoint.liveness import holder; print(holder('run'))"
    dead = subprocess.run([sys.executable, "-c", naming], capture_output=True, text=True, check=True).stdout.strip()
    lease = saver.acquire("t", dead, 3600)
    assert lease is not None
    thread = Thread(saver)
    thread.lease = lease
    thread.step()
    taken = saver.acquire("t", "other", 3600)
    assert taken is not None
    assert taken.generation == lease.generation + 1
    with pytest.raises(ConflictError, match="lease"):
        thread.step()
    assert saver.acquire("t", "third", 3600) is None


# -- lost connections


BEGIN = "INSERT INTO perdure_namespaces (thread_id, checkpoint_ns, head"


@contextmanager
def losing(monkeypatch: pytest.MonkeyPatch, word: str, *, before: bool, times: int = 1) -> Iterator[list[str]]:
    """Lose the connection at the first batches with a word, before or after the server has done them."""
    original = Link.execute
    lost: list[str] = []

    def execute(self: Link, batch: Any) -> Any:
        hit = len(lost) < times and any(word in text for text, _ in batch)
        if hit and before:
            lost.append(word)
            self.connection.close()
        rows = original(self, batch)
        if hit and not before:
            lost.append(word)
            self.connection.close()
            raise psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(Link, "execute", execute)
        yield lost
    assert len(lost) == times


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("word", ["guard AS", BEGIN, "DO UPDATE SET head", "advance", "COMMIT"])
def test_a_commit_whose_connection_is_lost_is_done_once(
    saver: Saver, monkeypatch: pytest.MonkeyPatch, word: str, before: bool, colour: str
) -> None:
    thread = Thread(saver)
    if word != BEGIN:  # that makes a namespace, by the first commit
        thread.step()
        thread.step()
    prepared = [thread.prepared()]
    if word not in {"guard AS", BEGIN}:
        # Two that aren't one row of checkpoints: the shared operation, in a transaction.
        prepared.append(saver.prepare(Commit("other", "", None, (), checkpoint({"x": 1}), {}, {"x": 1})))
    word = "greatest(head" if word == "advance" else word
    with losing(monkeypatch, word, before=before):
        if colour == "sync":
            saver.commit(prepared)
        else:
            asyncio.run(saver.acommit(prepared))  # type: ignore[arg-type]
    thread.step()
    thread.check()
    assert len(prepared) == 1 or len(list(saver.list(place("other")))) == 1


def test_every_operation_survives_a_lost_connection(saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(saver)
    thread.step()
    for word, call in {
        "one_checkpoint": lambda: saver.get_tuple(place()),
        "page": lambda: list(saver.list(place())),
        "lease": lambda: saver.acquire("t", "me", 10),
        "head": lambda: saver.get_head("t"),
        "copy": lambda: saver.copy_thread("t", "u"),
        "prune": lambda: saver.prune(["t"]),
        "delete": lambda: saver.delete_thread("u"),
    }.items():
        for before in (True, False):
            with losing(monkeypatch, "", before=before):
                assert call() is not None or word in {"copy", "prune", "delete"}
    thread.check()
    assert list(saver.threads()) == ["t"]


# Of this test's own database: other tests share the server.
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"


def test_a_connection_that_the_server_ended_is_not_lent(saver: Saver, sql: Any, trips: list[list[str]]) -> None:
    saver.get_head("t")
    ended = sql(f"{_END} AND application_name = 'perdure'").fetchall()
    assert ended
    assert all(row[0] for row in ended)
    time.sleep(0.1)
    trips.clear()
    saver.get_head("t")
    assert len(trips) == 1  # the first attempt was on a new connection


def test_without_a_server_the_first_use_fails_at_once() -> None:
    begun = time.monotonic()
    with (
        PostgresSaver.from_conn_string("postgresql://u:p@127.0.0.1:1/x") as saver,
        pytest.raises(TransientStorageError, match=r"127\.0\.0\.1:1/x") as caught,
    ):
        saver.setup()
    assert time.monotonic() - begun < 5
    assert "does the server run" in str(caught.value)
    assert ":p@" not in str(caught.value)


def test_how_long_is_tried_is_bounded(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgresSaver.from_conn_string(database, retry_for=0.3) as saver:
        saver.setup()

        def fail(*_: Any, **__: Any) -> Any:
            raise psycopg.OperationalError("connection refused")

        monkeypatch.setattr(Link, "execute", fail)
        begun = time.monotonic()
        with pytest.raises(TransientStorageError, match="refused"):
            saver.get_head("t")
        assert 0.2 < time.monotonic() - begun < 5


# -- mistakes, told


def test_a_wrong_password_is_told(database: str) -> None:
    wrong = database.replace("://perdure:", "://perdure:x")
    with PostgresSaver.from_conn_string(wrong) as saver, pytest.raises(StorageError, match="password") as caught:
        saver.setup()
    assert not isinstance(caught.value, TransientStorageError)


def test_a_database_that_does_not_exist_is_told(postgres: str) -> None:
    url = postgres.rpartition("/")[0] + "/nowhere"
    with PostgresSaver.from_conn_string(url) as saver, pytest.raises(StorageError, match="nowhere") as caught:
        saver.setup()
    assert not isinstance(caught.value, TransientStorageError)


@pytest.mark.parametrize("url", ["hello world", "postgresql://h/?no_such_option=1"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(InvalidConfigError, match="connection string"):
        PostgresSaver.open(url)


def test_wrong_options_are_told(database: str) -> None:
    with pytest.raises(InvalidConfigError, match="pool_size"):
        PostgresSaver.open(database, pool_size=0)
    with pytest.raises(InvalidConfigError, match="schema"):
        PostgresSaver.open(database, schema="")
    with pytest.raises(UsageError, match="psycopg 3"):
        PostgresSaver(object())


def test_an_id_that_is_too_long_for_an_index_is_told(saver: Saver) -> None:
    long = os.urandom(3000).hex()
    with pytest.raises(UsageError, match="2,600"):
        saver.put(place(long), checkpoint({"x": 1}), {}, {"x": 1})


def test_an_id_that_is_not_unicode_is_the_callers_mistake(saver: Saver) -> None:
    with pytest.raises(UsageError, match="Unicode"):
        saver.get_tuple(place("\ud800"))


def test_ids_keep_their_order_with_every_character(saver: Saver) -> None:
    ids = ["", "\x00", "\x00a", "\x01", "\x01\x01", "\x01\x02", "\x02", "a", "a\x00", "a\x00b", "aa", "ü", "😀"]
    for thread_id in ids:
        saver.put(place(thread_id), checkpoint({"x": thread_id}), {}, {"x": 1})
    assert list(saver.threads()) == sorted(ids)
    assert list(saver.threads(after="\x01")) == [i for i in sorted(ids) if i > "\x01"]
    for thread_id in ids:
        found = saver.get_tuple(place(thread_id))
        assert found is not None
        assert found.config["configurable"]["thread_id"] == thread_id


def test_a_closed_saver_says_so(database: str) -> None:
    with PostgresSaver.from_conn_string(database) as saver:
        saver.setup()
    with pytest.raises(UsageError, match="closed"):
        saver.get_tuple(place())
    with pytest.raises(UsageError, match="closed"):
        asyncio.run(saver.aget_tuple(place()))  # type: ignore[arg-type]


def test_an_unclosed_saver_is_a_resource_warning(database: str) -> None:
    saver = PostgresSaver.open(database)
    saver.setup()
    with pytest.warns(ResourceWarning, match="test_"):  # noqa: PT031
        del saver
        gc.collect()


def test_a_fork_is_noticed(saver: Saver) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            saver.get_tuple(place())
        except UsageError as e:
            code = 0 if "fork" in str(e) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert saver.get_tuple(place()) is None


def test_more_callers_than_connections_wait_for_one(database: str) -> None:
    with PostgresSaver.from_conn_string(database, pool_size=2) as saver:
        saver.setup()
        threads = [Thread(saver, f"t{n}") for n in range(8)]
        workers = [threading.Thread(target=lambda t=t: [t.step() for _ in range(10)]) for t in threads]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for thread in threads:
            thread.check()


def test_a_release_from_a_finalizer_amid_a_call_does_not_wait(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database, autocommit=True) as connection, PostgresSaver(connection) as saver:
        lease = saver.acquire("t", "me", 60)
        assert lease is not None
        original = Link.execute
        released: list[bool] = []

        def execute(self: Link, batch: Any) -> Any:
            if not released:
                released.append(True)
                saver.release(lease)  # as a finalizer would, which the garbage collector may run here
            return original(self, batch)

        monkeypatch.setattr(Link, "execute", execute)
        assert saver.get_head("t") is None
        deadline = time.monotonic() + 10
        while saver.acquire("t", "other", 60) is None:
            assert time.monotonic() < deadline


# -- connections that the caller brought


def test_a_connection_without_autocommit_is_refused(database: str) -> None:
    with psycopg.connect(database) as connection, pytest.raises(InvalidConfigError, match="autocommit"):
        PostgresSaver(connection)
    with ConnectionPool(database, min_size=0, max_size=2, open=True) as pool, PostgresSaver(pool) as saver:
        with pytest.raises(InvalidConfigError, match="autocommit"):
            saver.setup()
        assert pool.get_stats().get("pool_available", 0) == pool.get_stats()["pool_size"]  # nothing leaked


def test_a_connection_amid_a_transaction_is_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection, PostgresSaver(connection) as saver:
        saver.setup()
        with connection.transaction(), pytest.raises(UsageError, match="transaction"):
            saver.get_head("t")
        assert saver.get_head("t") is None


def test_a_pool_s_broken_connection_is_replaced(database: str, sql: Any) -> None:
    settings = {"autocommit": True, "application_name": "theirs"}
    with (
        ConnectionPool(database, min_size=1, max_size=2, kwargs=settings, open=True) as pool,
        PostgresSaver(pool) as saver,
    ):
        thread = Thread(saver)
        thread.step()
        for _ in range(3):
            sql(f"{_END} AND application_name = 'theirs'")
            thread.step()
        thread.check()


@pytest.mark.parametrize("kind", ["connection", "pool"])
@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_async_connections_keep_the_contract(database: str, case: conformance.Case, kind: str) -> None:
    async def run() -> None:
        if kind == "connection":
            async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
                await case.body(paint(AsyncPostgresSaver(connection), "async"))
            return
        settings = {"autocommit": True}
        async with AsyncConnectionPool(database, min_size=0, max_size=3, kwargs=settings, open=False) as pool:
            await case.body(paint(AsyncPostgresSaver(pool), "async"))

    asyncio.run(run())


async def test_an_async_connection_serves_async_callers_only(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        saver: Saver = PostgresSaver(connection)
        with pytest.raises(UsageError, match="from_conn_string"):
            saver.get_tuple(place())
    with pytest.raises(UsageError, match="closed"):
        await saver.aget_tuple(place())
    async with await psycopg.AsyncConnection.connect(database) as connection:
        with pytest.raises(InvalidConfigError, match="autocommit"):
            PostgresSaver(connection)


async def test_an_async_pool_s_broken_connection_is_replaced(database: str, sql: Any) -> None:
    settings = {"autocommit": True, "application_name": "theirs"}
    async with AsyncConnectionPool(database, min_size=1, max_size=2, kwargs=settings, open=False) as pool:
        saver: Saver = PostgresSaver(pool)
        thread = Thread(saver)
        await saver.acommit([thread.prepared()])
        for _ in range(3):
            sql(f"{_END} AND application_name = 'theirs'")
            await saver.acommit([thread.prepared()])
        found = await saver.aget_tuple(place())
        assert found is not None
        assert found.checkpoint["channel_values"]["items"] == thread.items


class _Pooler(Pool):
    """As behind PgBouncer in transaction mode: each use on another connection, of which nothing is left."""

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Link]:
        with super().lend(timeout) as link:
            self._idle.reverse()
            yield link
            link.execute([("DISCARD ALL", ())])


@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_nothing_is_kept_in_a_session(database: str, case: conformance.Case) -> None:
    for colour in conformance.COLOURS:
        pool = _Pooler(parameters_of(database), 3, None)
        with PostgresSaver(pool, schema=colour) as saver:
            conformance.run(case, saver, colour)


def test_a_saver_is_opened_by_its_url(database: str) -> None:
    with open_saver(database, schema="x") as saver, open_saver(database.replace("postgresql", "postgres")) as other:
        saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
        assert list(saver.threads()) == ["t"]
        assert list(other.threads()) == []  # another schema


# -- filters


class Colour(StrEnum):
    RED = "red"


VALUES: list[Any] = [
    *[1, 1.0, True, 0, False, -0.0, 0.1, 0.5, Decimal(1), Decimal("0.5"), None, [1], {"a": 1}],
    *["1", "", "red", Colour.RED, "a\x00b", "ü", "\u2028", "x" * 600],
    *[2**53, float(2**53), 2**53 + 1, 1e22, 10**22, 10**17, 1e17, 2**63 - 1, -(2**63), 1e300],
    *[1.2345678901234567e25, int(1.2345678901234567e25), float("inf"), float("nan")],
]


def test_what_is_searched_never_misses_what_python_finds_equal(sql: Any) -> None:
    for stored in VALUES:
        for wanted in VALUES:
            for key in ("k", "", "a' OR 1=1 --", "source"):
                if not matches({key: stored}, {key: wanted}):
                    continue
                held, asked = searched_of({key: stored, "z": 1}), search_for({key: wanted})
                if asked is not None:
                    found = sql("SELECT %s::jsonb @> %s::jsonb OR %s::jsonb @> '{\"\": 0}'", (held, asked, held))
                    assert found.fetchone() == (True,), (stored, wanted, held, asked)


def test_what_is_searched_leaves_out_what_differs(saver: Saver, trips: list[list[str]]) -> None:
    for n in range(30):
        saver.put(place(f"t{n}"), checkpoint({"x": n}), {"user": f"u{n}", "n": n}, {"x": 1})  # type: ignore[typeddict-unknown-key]
    assert len(list(saver.list(None, filter={"user": "u7"}))) == 1
    assert len(list(saver.list(None, filter={"user": "u7", "n": 8}))) == 0
    assert len(list(saver.list(None, filter={"n": 7.0}))) == 1
    assert len(list(saver.list(place("t7"), filter={"user": "u8"}))) == 0


def test_filters_and_pages_use_an_index(saver: Saver, sql: Any) -> None:
    row = "i, i::text, NULL, NULL, jsonb_build_object('user', i % 5000), ''"
    sql(f"INSERT INTO perdure_checkpoints SELECT {row} FROM generate_series(1, 20000) AS i")
    sql("INSERT INTO perdure_namespaces SELECT i, i::text, '', i::text FROM generate_series(1, 20000) AS i")
    row = "7, (10 * i)::text, NULL, NULL, NULL, ''"
    sql(f"INSERT INTO perdure_checkpoints SELECT {row} FROM generate_series(1, 5000) AS i")
    sql("ANALYZE")

    def plan(name: str, *values: Any) -> str:
        cursor = psycopg.RawCursor(sql.__self__)
        cursor.execute("EXPLAIN " + saver._dialect.sql[name], values)
        return "\n".join(row[0] for row in cursor)

    found = plan("page_of_all_filtered", None, None, None, 0, 8, '{"user": 17}')
    assert "perdure_checkpoints_by_metadata" in found
    found = plan("page_of_namespace", "7", "", None, "9", 8, None)
    assert "Sort" not in found
    assert "perdure_checkpoints_pkey" in found
    for name, values in {
        "append": ("t", "h", 1, 7, "a", 0, "b", 1, *[[]] * 11),
        "one_checkpoint": ("7", "", None),
        "pieces": (7, [1, 2]),
        "known": ("7", ""),
    }.items():
        scanned = re.findall(r"Seq Scan on perdure_(\w+)", plan(name, *values))
        assert not {"namespaces", "checkpoints"} & set(scanned), name  # the others are empty here


# -- space, and damage


def test_deleting_gives_all_space_back(saver: Saver, sql: Any) -> None:
    config = place()
    for step in range(20):
        value = [os.urandom(100).hex() for _ in range(step + 5)]
        made = checkpoint({"x": value}, {"x": step}, after=config["configurable"].get("checkpoint_id"))
        config = saver.put(config, made, {"run_id": f"r{step % 2}"}, {"x": step})
        saver.put_writes(config, [("x", os.urandom(2_000))], "task")
    saver.copy_thread("t", "copy")
    before = sql("SELECT count(*) FROM perdure_pieces").fetchone()[0]
    saver.delete_for_runs(["r0"])
    assert sql("SELECT count(*) FROM perdure_pieces").fetchone()[0] < before
    assert saver.get_head("t") == config["configurable"]["checkpoint_id"]
    saver.prune(["t", "copy"])
    assert saver.get_tuple(place()) == saver.get_tuple(config)
    saver.delete_thread("t")
    saver.delete_for_runs(["r1"])
    for table in ("namespaces", "checkpoints", "pieces", "writes", "leases"):
        assert sql(f"SELECT count(*) FROM perdure_{table}").fetchone() == (0,)


def test_the_head_follows_what_is_deleted(saver: Saver) -> None:
    config = saver.put(place(), checkpoint({"x": 1}), {"run_id": "a"}, {"x": 1})
    made = checkpoint({"x": 2}, {"x": 2}, after=config["configurable"]["checkpoint_id"])
    saver.put(config, made, {"run_id": "b"}, {"x": 2})
    saver.delete_for_runs(["b"])
    assert saver.get_head("t") == config["configurable"]["checkpoint_id"]
    thread = Thread(saver)
    thread.head = config["configurable"]["checkpoint_id"]
    thread.step()
    assert saver.get_head("t") == thread.head


def test_stored_bytes_grow_with_what_changes(saver: Saver, sql: Any) -> None:
    thread = Thread(saver)
    for _ in range(300):
        thread.step()
    total = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'perdure_%' AND relkind = 'r'"
    assert sql(total).fetchone()[0] < 1_000_000  # whole values would take 18 MB


def test_a_flipped_byte_is_found_and_named(saver: Saver, other: Saver, sql: Any) -> None:
    config = saver.put(place(), checkpoint({"x": "y" * 400}), {}, {"x": 1})
    saver.put_writes(config, [("x", 1)], "task")
    for table, column, named in (
        ("perdure_pieces", "data", "'x'"),
        ("perdure_writes", "data", "writes"),
        ("perdure_checkpoints", "record", "record"),
    ):
        flip = f"UPDATE {table} SET {column} = set_byte({column}, length({column}) / 2, get_byte({column}, 20) # 77)"
        good = sql(f"SELECT {column} FROM {table}").fetchone()[0]
        sql(flip)
        with pytest.raises(CorruptCheckpointError, match=named) as caught:
            other.get_tuple(place())
        assert caught.value.thread_id == "t"
        assert caught.value.checkpoint_id == config["configurable"]["checkpoint_id"]
        sql(f"UPDATE {table} SET {column} = %s", (good,))
    assert other.get_tuple(place()) is not None


def test_a_piece_that_is_deleted_amid_a_read_is_no_damage(
    saver: Saver, other: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Link.execute
    for read in (lambda: other.get_tuple(place()), lambda: next(other.list(place()), None)):
        thread = Thread(saver)
        for _ in range(5):
            thread.step()
        deleted: list[bool] = []

        def execute(self: Link, batch: Any) -> Any:
            if any("perdure_pieces WHERE ns" in text for text, _ in batch) and not deleted:  # noqa: B023
                deleted.append(True)  # noqa: B023
                saver.delete_thread("t")
            return original(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Link, "execute", execute)
            assert read() is None
        assert deleted


def test_a_missing_piece_is_found_and_named(saver: Saver, other: Saver, sql: Any) -> None:
    saver.put(place(), checkpoint({"x": "y" * 400}), {}, {"x": 1})
    sql("DELETE FROM perdure_pieces")
    with pytest.raises(CorruptCheckpointError, match="'x'"):
        other.get_tuple(place())
    with pytest.raises(CorruptCheckpointError, match="'x'"):
        list(other.list(place()))


# -- tables


def test_a_newer_schema_is_refused(saver: Saver, database: str, sql: Any) -> None:
    sql("INSERT INTO perdure_migrations VALUES (9999, 'future', 'x')")
    with PostgresSaver.from_conn_string(database) as other, pytest.raises(SchemaVersionError, match="9999"):
        other.get_tuple(place())


def test_a_changed_migration_is_refused(saver: Saver, database: str, sql: Any) -> None:
    sql("UPDATE perdure_migrations SET checksum = 'other'")
    with PostgresSaver.from_conn_string(database) as other, pytest.raises(StorageError, match="migration 1"):
        other.setup()


def test_current_tables_need_no_rights_but_to_use_them(saver: Saver, database: str, sql: Any) -> None:
    role = f"plain_{os.getpid()}"
    sql(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    address = database.partition("@")[2]
    try:
        with PostgresSaver.from_conn_string(f"postgresql://{role}:p@{address}") as plain:
            plain.setup()
            assert plain.get_tuple(place()) is None
            with pytest.raises(StorageError, match="permission") as caught:
                plain.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
            assert "grant" in str(caught.value)
        sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        with PostgresSaver.from_conn_string(f"postgresql://{role}:p@{address}") as plain:
            plain.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
            assert plain.acquire("t", "me", 1) is not None
        with (
            PostgresSaver.from_conn_string(f"postgresql://{role}:p@{address}", schema="not_there") as plain,
            pytest.raises(StorageError, match="permission") as caught,
        ):
            plain.setup()
    finally:
        sql(f"DROP OWNED BY {role}")
        sql(f"DROP ROLE {role}")


def test_tables_can_be_partitioned(database: str, sql: Any) -> None:
    with PostgresSaver.from_conn_string(database) as saver:
        with pytest.raises(InvalidConfigError, match="partitions"):
            saver.setup(partitions=0)
        saver.setup(partitions=4)
        threads = [Thread(saver, f"t{n}") for n in range(8)]
        for thread in threads:
            thread.step()
            thread.step()
            thread.check()
    parts = [row[0] for row in sql("SELECT count(*) > 0 FROM perdure_pieces GROUP BY tableoid")]
    assert len(parts) > 1


def _set_up(url: str, has_locks: bool, start: Any, results: Any) -> None:
    if not has_locks:

        def no_locks() -> Any:
            yield []
            return False

        schema.has_advisory_locks = no_locks
    start.wait()
    try:
        with PostgresSaver.from_conn_string(url, schema="fresh") as saver:
            saver.setup()
            saver.put(place(f"t{os.getpid()}"), checkpoint({"x": 1}), {}, {"x": 1})
        results.put(None)
    except Exception as e:
        results.put(repr(e))


@pytest.mark.parametrize(("count", "has_locks"), [(20, True), (8, False)])
@pytest.mark.timeout(120)
def test_many_processes_set_up_at_once(database: str, count: int, has_locks: bool) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=_set_up, args=(database, has_locks, start, results)) for _ in range(count)]
    for process in processes:
        process.start()
    time.sleep(3)
    start.set()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert outcomes == [None] * count
    with PostgresSaver.from_conn_string(database, schema="fresh") as saver:
        assert len(list(saver.threads())) == count
