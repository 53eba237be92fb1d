"""What SqliteSaver promises beyond the contract: sharing commits, many processes, damage, and misuse."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.checkpoint.base import Commit
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.checkpoint.sqlite.aio import AsyncSqliteSaver
from perdure.errors import (
    ConflictError,
    CorruptCheckpointError,
    InvalidConfigError,
    SchemaVersionError,
    StorageError,
    TransientStorageError,
    UsageError,
)

Saver = SqliteSaver[Any]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.db")


@pytest.fixture
def saver(path: str) -> Iterator[Saver]:
    with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as opened:
        yield opened


def first(saver: Saver, thread_id: str, value: Any = 1, **more: Any) -> Any:
    made = checkpoint({"x": value})
    return saver.prepare(Commit(thread_id, "", None, (), made, {}, {"x": 1}, **more))


def trace(saver: Saver) -> list[str]:
    """Collect the statements that the saver's connection runs from now on."""
    seen: list[str] = []
    original = saver._connection.execute

    def execute(sql: str, values: Any = ()) -> Any:
        seen.append(sql)
        return original(sql, values)

    saver._connection.execute = execute  # type: ignore[method-assign]
    return seen


# -- sharing commits


async def test_tasks_of_one_tick_share_a_commit(saver: Saver) -> None:
    saver.setup()
    seen = trace(saver)
    await asyncio.gather(*(saver.acommit([first(saver, f"t{i}")]) for i in range(64)))
    assert seen.count("COMMIT") == 1
    assert len(list(saver.threads())) == 64


async def test_a_conflict_fails_alone_before_it_changed_anything(saver: Saver) -> None:
    saver.commit([first(saver, "taken")])
    seen = trace(saver)
    results = await asyncio.gather(
        saver.acommit([first(saver, "a")]),
        saver.acommit([first(saver, "taken", expected_head=None)]),
        saver.acommit([first(saver, "b")]),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [bool, ConflictError, bool]
    assert seen.count("COMMIT") == 1
    assert list(saver.threads()) == ["a", "b", "taken"]


async def test_a_conflict_fails_alone_after_it_changed_something(saver: Saver) -> None:
    saver.commit([first(saver, "taken")])
    half = [first(saver, "half"), first(saver, "taken", expected_head=None)]
    results = await asyncio.gather(
        saver.acommit([first(saver, "a")]),
        saver.acommit(half),
        saver.acommit([first(saver, "b")]),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [bool, ConflictError, bool]
    assert list(saver.threads()) == ["a", "b", "taken"]


async def test_of_two_that_expect_the_same_head_one_wins(saver: Saver) -> None:
    results = await asyncio.gather(
        *(saver.acommit([first(saver, "t", i, expected_head=None)]) for i in range(8)),
        return_exceptions=True,
    )
    assert sorted(type(r).__name__ for r in results) == ["ConflictError"] * 7 + ["bool"]
    assert len(list(saver.list(place()))) == 1


def test_threads_share_commits(saver: Saver) -> None:
    saver.setup()
    seen = trace(saver)
    errors: list[BaseException] = []
    start = threading.Barrier(16)

    def work(number: int) -> None:
        try:
            start.wait()
            for step in range(20):
                saver.commit([first(saver, f"t{number}-{step}", expected_head=None)])
        except Exception as e:
            errors.append(e)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert len(list(saver.threads())) == 320
    assert seen.count("COMMIT") < 320


async def test_both_colours_at_once_on_a_database_in_memory() -> None:
    with SqliteSaver.from_conn_string(":memory:") as saver:

        def work(number: int) -> None:
            for step in range(20):
                saver.put(place(f"sync{number}"), checkpoint({"x": step}), {}, {"x": step})

        async def awork(number: int) -> None:
            for step in range(20):
                await saver.aput(place(f"async{number}"), checkpoint({"x": step}), {}, {"x": step})

        await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(4)), *(awork(n) for n in range(4)))
        assert [len(list(saver.list(place(t)))) for t in saver.threads()] == [20] * 8


async def test_a_cancelled_caller_disturbs_nobody(saver: Saver) -> None:
    gone = asyncio.create_task(saver.acommit([first(saver, "gone")]))
    stays = asyncio.create_task(saver.acommit([first(saver, "stays")]))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays is False
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await saver.aget_head("stays") is not None


def test_readers_walk_while_a_writer_writes(saver: Saver) -> None:
    for step in range(50):
        saver.put(place(), checkpoint({"x": step}), {"step": step}, {"x": 1})
    walk = saver.list(place())
    steps = [next(walk).metadata["step"]]
    for step in range(50, 60):
        saver.put(place(), checkpoint({"x": step}), {"step": step}, {"x": 1})
    steps += [item.metadata["step"] for item in walk]
    assert steps == list(range(49, -1, -1))
    abandoned = saver.list(place())
    next(abandoned)
    del abandoned
    saver.delete_thread("t")
    assert list(saver.list(None)) == []


def test_a_finalizer_may_release_in_the_middle_of_a_commit(saver: Saver) -> None:
    lease = saver.acquire("t", "me", 60)
    assert lease is not None
    original = saver._connection.execute
    calls = 0

    def execute(sql: str, values: Any = ()) -> Any:
        nonlocal calls
        if "add_writes" not in sql and sql.startswith("INSERT INTO perdure_checkpoints"):
            calls += 1
            if calls == 1:
                saver.release(lease)  # as the garbage collector might
        return original(sql, values)

    saver._connection.execute = execute  # type: ignore[method-assign]
    saver.commit([first(saver, "t")])
    assert saver.acquire("t", "you", 60) is not None


def test_a_signal_in_the_middle_leaves_the_saver_usable(saver: Saver) -> None:
    saver.setup()
    original = saver._connection.execute

    def execute(sql: str, values: Any = ()) -> Any:
        if sql.startswith("INSERT INTO perdure_checkpoints"):
            raise KeyboardInterrupt
        return original(sql, values)

    saver._connection.execute = execute  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        saver.commit([first(saver, "t")])
    saver._connection.execute = original  # type: ignore[method-assign]
    assert list(saver.threads()) == []
    saver.commit([first(saver, "t")])
    assert list(saver.threads()) == ["t"]


# -- durability


def test_full_is_the_default_and_leases_are_soft(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
        assert saver._connection.execute("PRAGMA synchronous") == [(2,)]
        seen = trace(saver)
        saver.acquire("t", "me", 60)
        assert seen[0] == "PRAGMA synchronous = NORMAL"
        assert saver._connection.execute("PRAGMA synchronous") == [(2,)]
        del seen[:]
        saver.commit([first(saver, "t")])
        assert not any("synchronous" in sql for sql in seen)
        assert saver._connection.execute("PRAGMA journal_mode") == [("wal",)]


def test_a_superstep_is_one_transaction_of_few_statements(saver: Saver) -> None:
    from perdure.checkpoint.base import TaskWrites

    root = checkpoint({"x": 1})
    saver.commit([saver.prepare(Commit("t", "", None, (), root, {}, {"x": 1}))])
    made = checkpoint({"x": 2}, {"x": 2}, after=root["id"])
    tasks = [TaskWrites("task", "path", [("x", 2), ("y", 3)])]
    one = saver.prepare(Commit("t", "", root["id"], tasks, made, {}, {"x": 2}, root["id"]))
    seen = trace(saver)
    saver.commit([one])
    assert len(seen) == 3  # BEGIN, the checkpoint with its writes and pieces, COMMIT


def _steps(saver: Saver, thread_id: str, parent: str | None, count: int) -> str:
    for n in range(count):
        made = checkpoint({"x": n}, {"x": n}, after=parent)
        saver.commit([saver.prepare(Commit(thread_id, "", parent, (), made, {}, {"x": n}, parent))])
        parent = made["id"]
    assert parent is not None
    return parent


def test_what_a_namespace_was_is_asked_for_again_once_anything_else_has_changed(saver: Saver, path: str) -> None:
    head = _steps(saver, "t", None, 2)
    seen = trace(saver)
    head = _steps(saver, "t", head, 1)
    assert len(seen) == 3  # BEGIN, checkpoint, COMMIT: nobody else has changed anything

    with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as other:
        theirs = _steps(other, "t", head, 1)
    with pytest.raises(ConflictError):
        _steps(saver, "t", head, 1)
    mine = _steps(saver, "t", theirs, 1)

    saver.delete_thread("t")
    with pytest.raises(ConflictError):
        _steps(saver, "t", mine, 1)
    assert saver.get_tuple(place()) is None


def test_what_a_transaction_that_failed_would_have_made_is_forgotten(saver: Saver) -> None:
    head = _steps(saver, "t", None, 2)
    made = checkpoint({"x": 9}, {"x": 9}, after=head)
    good = saver.prepare(Commit("t", "", head, (), made, {}, {"x": 9}, head))
    bad = saver.prepare(Commit("t", "", None, (), checkpoint({"x": 1}), {}, {"x": 1}, None))
    with pytest.raises(ConflictError):
        saver.commit([good, bad])
    assert saver.get_head("t") == head
    with pytest.raises(ConflictError):
        _steps(saver, "t", made["id"], 1)
    _steps(saver, "t", head, 1)


def pieces(saver: Saver) -> int:
    return int(saver._connection.execute("SELECT count(*) FROM perdure_pieces")[0][0])


def test_nothing_is_left_of_what_was_deleted(saver: Saver) -> None:
    config = place()
    for step in range(20):
        value = [os.urandom(100).hex() for _ in range(step + 5)]
        made = checkpoint({"x": value}, {"x": step}, after=config["configurable"].get("checkpoint_id"))
        config = saver.put(config, made, {"run_id": f"r{step % 2}", "long": "x" * 3_000}, {"x": step})
        saver.put_writes(config, [("x", os.urandom(2_000))], "task")
    saver.copy_thread("t", "copy")
    before = pieces(saver)
    saver.delete_for_runs(["r0"])
    assert pieces(saver) < before
    saver.prune(["t", "copy"])
    assert pieces(saver) <= 2 * (1 + 3)  # of each: the writes, and few pieces of the value; not those of the others
    assert saver.get_tuple(place()) == saver.get_tuple(config)
    saver.delete_thread("t")
    saver.delete_for_runs(["r1"])
    for table in ("namespaces", "checkpoints", "pieces", "writes", "leases"):
        assert saver._connection.execute(f"SELECT count(*) FROM perdure_{table}") == [(0,)]


def test_stored_bytes_grow_with_what_changes(path: str) -> None:
    with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as saver:
        config, items = place(), []
        for step in range(300):
            items = [*items, {"role": "user", "content": os.urandom(500).hex()}]
            made = checkpoint({"x": items}, {"x": step}, after=config["configurable"].get("checkpoint_id"))
            config = saver.put(config, made, {}, {"x": step})
    assert Path(path).stat().st_size < 3 * 300 * 1_000  # whole values would take 45 MB


# -- damage and misuse


def test_a_flipped_byte_is_found_and_named(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        config = saver.put(place(), checkpoint({"x": "y" * 400}), {}, {"x": 1})
        saver.put_writes(config, [("x", 1)], "task")
    for table, column, named in (
        ("perdure_pieces", "data", "'x'"),
        ("perdure_writes", "data", "writes"),
        ("perdure_checkpoints", "record", "record"),
    ):
        with closing(sqlite3.connect(path)) as connection, connection:
            [(good,)] = connection.execute(f"SELECT {column} FROM {table}").fetchall()
            bad = bytearray(good)
            bad[len(bad) // 2] ^= 1
            connection.execute(f"UPDATE {table} SET {column} = ?", (bytes(bad),))
        with SqliteSaver.from_conn_string(path) as saver:
            with pytest.raises(CorruptCheckpointError, match=named) as caught:
                saver.get_tuple(place())
            assert caught.value.thread_id == "t"
            assert caught.value.checkpoint_id == config["configurable"]["checkpoint_id"]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {table} SET {column} = ?", (good,))
    with SqliteSaver.from_conn_string(path) as saver:
        assert saver.get_tuple(place()) is not None


def test_a_missing_piece_is_found_and_named(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.put(place(), checkpoint({"x": "y" * 400}), {}, {"x": 1})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM perdure_pieces")
    with SqliteSaver.from_conn_string(path) as saver, pytest.raises(CorruptCheckpointError, match="'x'"):
        saver.get_tuple(place())


def test_what_is_not_a_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes, " * 1000)
    opened = SqliteSaver.from_conn_string(str(file))
    with opened as saver, pytest.raises(CorruptCheckpointError, match=r"not a database"):
        saver.setup()
    assert file.read_text().startswith("these are")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no/such/x\.db") as caught:
        SqliteSaver.open(str(tmp_path / "no" / "such" / "x.db"))
    assert "folder" in str(caught.value)


def test_a_read_only_database_says_so(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
    with SqliteSaver.from_conn_string(f"file:{path}?mode=ro") as saver:
        assert saver.get_tuple(place()) is not None
        with pytest.raises(StorageError, match="read-only"):
            saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})


def test_a_busy_database_is_a_transient_error(path: str) -> None:
    with SqliteSaver.from_conn_string(path, timeout=0.05) as saver:
        saver.setup()
        with closing(apsw.Connection(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TransientStorageError):
                saver.commit([first(saver, "t")])
            assert list(saver.threads()) == []
            other.execute("COMMIT")
        saver.commit([first(saver, "t")])


def test_a_full_disk_keeps_what_was_acknowledged(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        config = saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
        [(pages,)] = saver._connection.execute("PRAGMA page_count")
        saver._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError, match="full") as caught:
            saver.put(config, checkpoint({"x": os.urandom(1_000_000)}), {}, {"x": 2})
        assert not isinstance(caught.value, TransientStorageError)
        found = saver.get_tuple(place())
        assert found is not None
        assert found.config == config


def test_a_newer_schema_is_refused(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
        saver._connection.execute("INSERT INTO perdure_migrations VALUES (9999, 'future', 'x')")
    with SqliteSaver.from_conn_string(path) as saver, pytest.raises(SchemaVersionError, match="9999"):
        saver.get_tuple(place())


def test_a_changed_migration_is_refused(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
        saver._connection.execute("UPDATE perdure_migrations SET checksum = 'other'")
    with SqliteSaver.from_conn_string(path) as saver, pytest.raises(StorageError, match="migration 1"):
        saver.setup()


def test_an_unclosed_saver_is_a_resource_warning(path: str) -> None:
    saver = SqliteSaver.open(path)
    saver.setup()
    with pytest.warns(ResourceWarning, match=r"x\.db"):  # noqa: PT031
        del saver
        gc.collect()


def test_a_closed_saver_says_so(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
    saver.close()
    with pytest.raises(UsageError, match="closed"):
        saver.get_tuple(place())


async def test_a_closed_saver_says_so_to_async_callers(path: str) -> None:
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        await saver.aget_tuple(place())
    with pytest.raises(UsageError, match="closed"):
        await saver.aget_tuple(place())


def test_other_connections_are_refused() -> None:
    with pytest.raises(UsageError, match="aiosqlite"):
        SqliteSaver(object())
    with pytest.raises(InvalidConfigError, match="OFF"):
        SqliteSaver.open(":memory:", synchronous="OFF")  # type: ignore[arg-type]


def test_a_connection_bound_to_a_thread_is_explained(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        saver = SqliteSaver(connection)
        saver.setup()

        async def use() -> None:
            await saver.aget_tuple(place())

        with pytest.raises(UsageError, match="check_same_thread"):
            asyncio.run(use())
        saver.close()


def test_an_id_that_is_not_unicode_is_the_callers_mistake(saver: Saver) -> None:
    with pytest.raises(UsageError, match="Unicode"):
        saver.get_tuple(place("\ud800"))


def test_a_config_without_a_thread_is_the_callers_mistake(saver: Saver) -> None:
    with pytest.raises(InvalidConfigError, match="thread"):
        saver.get_tuple({"configurable": {}})
    with pytest.raises(InvalidConfigError, match="checkpoint"):
        saver.put_writes(place(), [("x", 1)], "task")


# -- processes


def _in_child(work: Any, *args: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    return process


def test_a_fork_is_noticed(saver: Saver) -> None:
    saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
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
    assert saver.get_tuple(place()) is not None


def _set_up(path: str, start: Any, results: Any) -> None:
    start.wait()
    try:
        with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as saver:
            saver.setup()
            saver.put(place(f"t{os.getpid()}"), checkpoint({"x": 1}), {}, {"x": 1})
        results.put(None)
    except Exception as e:
        results.put(repr(e))


def test_twenty_processes_set_up_at_once(path: str) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    processes = [_in_child(_set_up, path, start, results) for _ in range(20)]
    time.sleep(0.5)
    start.set()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert outcomes == [None] * 20
    with SqliteSaver.from_conn_string(path) as saver:
        assert len(list(saver.threads())) == 20


def _count(path: str, steps: int, results: Any) -> None:
    """Add to one counter, with a compare-and-set."""
    conflicts = 0
    with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as saver:
        done = 0
        while done < steps:
            found = saver.get_tuple(place())
            head = found.checkpoint["id"] if found else None
            n = found.checkpoint["channel_values"]["n"] + 1 if found else 1
            made = checkpoint({"n": n}, {"n": n}, after=head)
            commit = Commit("t", "", head, (), made, {}, {"n": n}, head)
            try:
                saver.commit([saver.prepare(commit)])
                done += 1
            except ConflictError:
                conflicts += 1
    results.put(conflicts)


def test_processes_that_count_lose_no_update(path: str) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [_in_child(_count, path, 50, results) for _ in range(4)]
    for _ in processes:
        results.get(timeout=60)
    for process in processes:
        process.join()
    with SqliteSaver.from_conn_string(path) as saver:
        found = saver.get_tuple(place())
        assert found is not None
        assert found.checkpoint["channel_values"] == {"n": 200}


def _hold(path: str, ready: Any) -> None:
    from perdure.checkpoint.liveness import holder

    with SqliteSaver.from_conn_string(path) as saver:
        assert saver.acquire("t", holder("run"), 3600) is not None
        ready.set()
        time.sleep(3600)


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="liveness is told by /proc")
def test_the_lease_of_a_killed_process_is_taken_over_at_once(path: str) -> None:
    ready = multiprocessing.get_context("spawn").Event()
    process = _in_child(_hold, path, ready)
    try:
        assert ready.wait(30)
        with SqliteSaver.from_conn_string(path) as saver:
            assert saver.acquire("t", "other", 60) is None  # it is alive
            process.kill()
            deadline = time.monotonic() + 10
            while (lease := saver.acquire("t", "other", 60)) is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert lease.generation == 2
    finally:
        process.kill()
        process.join()


def _take_turns(path: str, name: str, results: Any) -> None:
    from perdure.checkpoint.liveness import holder

    with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as saver:
        for turn in range(10):
            me = holder(f"{name}-{turn}")
            while (lease := saver.acquire("t", me, 60)) is None:
                time.sleep(0.001)
            found = saver.get_tuple(place())
            n = found.checkpoint["channel_values"]["n"] + 1 if found else 1
            time.sleep(0.002)
            head = found.checkpoint["id"] if found else None
            made = checkpoint({"n": n}, {"n": n}, after=head)
            saver.commit([saver.prepare(Commit("t", "", head, (), made, {}, {"n": n}, lease=lease))])
            saver.release(lease)
    results.put(None)


def test_processes_hand_a_lease_over(path: str) -> None:
    results = multiprocessing.get_context("spawn").Queue()
    processes = [_in_child(_take_turns, path, name, results) for name in "abc"]
    for _ in processes:
        results.get(timeout=60)
    for process in processes:
        process.join()
    with SqliteSaver.from_conn_string(path) as saver:
        found = saver.get_tuple(place())
        assert found is not None
        assert found.checkpoint["channel_values"] == {"n": 30}
