"""What is particular to the savers on stores of rows, whatever the store: on the one of docs/adding-a-saver.md."""

import asyncio
import sqlite3
import threading
from contextlib import closing

import pytest
from tests.contract.shown import open_table

from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.rows import BlockingDriver, RowBackend, together
from perdure.checkpoint.rows.keys import encoded, number_of, opened_state
from perdure.errors import CorruptCheckpointError, StorageError, TransientStorageError, UsageError


@pytest.fixture
def saver(tmp_path):
    with open_table(tmp_path / "rows.db") as opened:
        yield opened


class Steps:
    """A thread of commits, each on top of the last."""

    def __init__(self, saver, thread_id="t", lease=None):
        self.saver, self.thread_id, self.lease, self.ids = saver, thread_id, lease, []

    def step(self, run_id="r"):
        n, parent = len(self.ids), self.ids[-1] if self.ids else None
        made = checkpoint({"x": n}, {"x": n}, after=parent)
        self.ids.append(made["id"])
        writes = [TaskWrites(f"task {n}", "", [("x", n)])] if parent else []
        metadata = {"step": n, "run_id": run_id}
        one = Commit(self.thread_id, "", parent, writes, made, metadata, {"x": n}, parent, self.lease)
        return self.saver.commit([self.saver.prepare(one)])


@pytest.fixture
def asked(saver, monkeypatch):
    """The primitives that are asked for."""
    found = []

    def noting(name, primitive):
        def noted(*args, **options):
            found.append((name, args))
            return primitive(*args, **options)

        return noted

    saver.setup()
    for name in RowBackend.__abstractmethods__:
        monkeypatch.setattr(saver._backend, name, noting(name, getattr(saver._backend, name)))
    return found


def names(asked):
    return [name for name, _ in asked]


def test_a_superstep_is_one_apply(saver, asked):
    steps = Steps(saver, lease=saver.acquire("t", "h", 10))
    steps.step()
    for _ in range(3):
        del asked[:]
        steps.step()
        assert names(asked) == ["apply"]
    [(_, ([change], _))] = asked
    assert change.lease == steps.lease
    assert set(change.guards) >= {b"n"}


def test_a_lease_that_is_asked_to_stop_is_told_at_each_commit(saver):
    steps = Steps(saver, lease=saver.acquire("t", "h", 10))
    assert steps.step() is False
    saver.request_stop("t")
    assert [steps.step(), steps.step()] == [True, True]
    other = Steps(saver)
    other.ids = list(steps.ids)
    assert other.step() is False  # it holds no lease


# -- looks of one moment


def look(saver, between):
    """Read the head, and do something before each of the batches."""
    exchange = saver._backend.checkpoint("t", "", None)
    doing = iter(between)
    replies = None
    try:
        while True:
            batch = exchange.send(replies)
            next(doing, lambda: None)()
            replies = saver._driver._send(batch)
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize("at", range(4))
def test_a_look_at_a_checkpoint_is_of_one_moment_whatever_happens_in_between(saver, at):
    steps = Steps(saver)

    def begin_anew():
        saver.delete_thread("t")
        steps.ids.clear()
        steps.step()

    for change in (steps.step, steps.step, begin_anew):
        steps.step()
        sight = look(saver, [lambda: None] * at + [change])
        assert sight.checkpoint_id == encoded(opened_state(sight.state).head) == encoded(steps.ids[-1])
        assert sight.row is not None
        assert sight.following == (b"", None)
    assert look(saver, [lambda: None] * at + [lambda: saver.delete_thread("t")]) is None


def test_a_look_that_is_disturbed_for_ever_gives_up(saver):
    steps = Steps(saver)
    steps.step()
    with pytest.raises(TransientStorageError, match="each of many looks"):
        look(saver, [steps.step] * 1000)


class Counting(BlockingDriver):
    """Answers each command by ten times as much."""

    def __init__(self):
        super().__init__("nowhere")
        self.sent = []

    def _send(self, batch):
        self.sent.append(list(batch))
        return [10 * command for command in batch]


def test_things_that_do_not_need_each_other_are_asked_side_by_side():
    def asking(*batches):
        replies = []
        for batch in batches:
            replies += yield batch
        return replies

    driver = Counting()
    exchanges = [asking([1], [2, 3]), asking(), asking([4, 5], [], [6])]
    assert driver.run(lambda: together(exchanges)) == [[10, 20, 30], [], [40, 50, 60]]
    assert driver.sent == [[1, 4, 5], [2, 3], [6]]


# -- several threads


def test_a_store_whose_changes_span_one_thread_gets_one_at_a_time(saver, asked):
    saver._backend.spans_threads = False
    for thread_id in ("a", "b"):
        Steps(saver, thread_id).step()
    saver.copy_thread("a", "c")
    saver.delete_for_runs(["r"])
    changes = [args[0] for name, args in asked if name == "apply"]
    assert len(changes) >= 5
    assert all(len(one) == 1 for one in changes)
    assert list(saver.list(None)) == list(saver.threads()) == []


def test_threads_that_the_store_has_forgotten_are_taken_off_the_lists(saver, tmp_path):
    for thread_id in ("a", "b", "c"):
        Steps(saver, thread_id).step()
    with closing(sqlite3.connect(tmp_path / "rows.db")) as db, db:
        db.execute("DELETE FROM rows WHERE part = ?", (b"thread b",))
    assert list(saver.threads()) == ["a", "c"]
    assert asyncio.run(saver.aforget_expired()) == 1
    assert saver.forget_expired() == 0
    with closing(sqlite3.connect(tmp_path / "rows.db")) as db:
        listed = db.execute("SELECT count(*) FROM rows WHERE part IN (?, ?)", (b"threads", b"runs")).fetchall()
    assert listed == [(4,)]


# -- rows that are damaged


@pytest.mark.parametrize("data", [b"12345678", b"12345678x head", b"12345678\xff", b""])
def test_a_damaged_state_is_named(data):
    with pytest.raises(CorruptCheckpointError, match="damaged"):
        opened_state(data)


def test_an_id_that_is_no_text(saver):
    with pytest.raises(UsageError, match="Unicode"):
        saver.get_tuple(place("\ud800"))
    with pytest.raises(CorruptCheckpointError, match="number"):
        number_of(b"\xff")


# -- drivers


class Failing(BlockingDriver):
    """Fails as often as it is told."""

    def __init__(self, *errors, retry_for=5.0):
        super().__init__("nowhere", retry_for)
        self.errors = list(errors)
        self.hung_up = 0

    def _send(self, batch):
        if self.errors:
            raise self.errors.pop(0)
        return batch

    def _hang_up(self):
        self.hung_up += 1


def one():
    return (yield [1])[0]


def test_what_passes_is_tried_anew_and_what_does_not_is_raised():
    driver = Failing(TransientStorageError("away"), TransientStorageError("away"))
    assert driver.run(one) == 1
    driver.errors = [StorageError("full")]
    with pytest.raises(StorageError, match="full"):
        driver.run(one)
    cause = OSError("the network")
    driver.errors = [TransientStorageError("away")]
    driver.errors[0].__cause__ = cause
    driver._retry_for = 0
    with pytest.raises(TransientStorageError, match="away") as told:
        asyncio.run(driver.arun(one))
    assert told.value.__cause__ is cause


def test_an_error_of_the_exchange_itself_is_final():
    driver, begun = Failing(), []

    def giving_up():
        begun.append(1)
        yield [1]
        raise TransientStorageError("others were in the way")

    with pytest.raises(TransientStorageError, match="others"):
        driver.run(giving_up)
    assert begun == [1]


def test_what_a_finalizer_asks_for_in_the_middle_of_an_exchange_is_done_aside():
    driver, where = Failing(), []

    def released():
        where.append(threading.current_thread())
        yield []

    def interrupted():
        driver.run_aside(released)
        return (yield [1])[0]

    assert driver.run(interrupted) == 1
    driver.run_aside(released)
    driver.close()
    assert [thread is threading.current_thread() for thread in where] == [False, True]
    assert driver.hung_up == 1
    with pytest.raises(UsageError, match="closed"):
        driver.run(one)
