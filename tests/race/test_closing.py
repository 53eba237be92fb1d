"""Closing a saver while others use it: what is under way ends well, what comes later is told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import apsw
import pytest
from tests.race.graphs import THREAD, Gate, one

from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import StorageError, UsageError
from perdure.pregel import turns


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("owns", [True, False])
def test_it_waits_for_what_is_under_way(tmp_path, pool, owns):
    path = str(tmp_path / "closing.db")
    entered, opened = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert opened.wait(10)
        [[(found,)]] = yield [("SELECT 42", ())]
        return found

    with closing(apsw.Connection(path)) as connection:
        saver = SqliteSaver.open(path) if owns else SqliteSaver(connection)
        saver.setup()
        running = pool.submit(saver._driver.run, slow)
        assert entered.wait(10)
        waiting = pool.submit(saver._driver.run, slow)
        while not saver._driver._queue:
            threading.Event().wait(0.001)
        closed = pool.submit(saver.close)
        threading.Event().wait(0.1)
        was_closed = closed.done()
        opened.set()
        assert not was_closed
        closed.result(10)
        assert (running.result(0), waiting.result(0)) == (42, 42)
        with pytest.raises(UsageError, match="closed"):
            saver.get_head("t")


@pytest.mark.timeout(20)
def test_a_connection_that_its_owner_closes_leaves_nobody_waiting(tmp_path, pool):
    entered, opened = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert opened.wait(10)
        yield [("SELECT 42", ())]

    connection = apsw.Connection(str(tmp_path / "owned.db"))
    saver = SqliteSaver(connection)
    saver.setup()
    running = pool.submit(saver._driver.run, slow)
    assert entered.wait(10)
    waiting = pool.submit(saver._driver.run, slow)
    while not saver._driver._queue:
        threading.Event().wait(0.001)
    connection.close()
    opened.set()
    for future in (running, waiting):
        with pytest.raises((StorageError, apsw.Error), match=r"closed|interrupted"):
            future.result(10)
    saver.close()


def test_the_renewal_of_a_closed_savers_lease_leaves_the_others_alone(tmp_path, pool, monkeypatch):
    monkeypatch.setattr(turns, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(turns, "_keeper", turns._Keeper())  # the other may be waiting by the clock of longer leases
    saver = SqliteSaver.open(str(tmp_path / "closed.db"))
    with SqliteSaver.from_conn_string(str(tmp_path / "other.db")) as other:
        gates = [Gate(saver), Gate(other)]
        running = [pool.submit(gate.graph.invoke, one("in"), THREAD) for gate in gates]
        assert all(gate.entered.wait(10) for gate in gates)
        saver.close()
        threading.Event().wait(2.5)
        assert other.acquire("t", "somebody", 1) is None, "the lease of the running thread was not renewed"
        for gate in gates:
            gate.opened.set()
        with pytest.raises(UsageError, match="closed"):
            running[0].result(10)
        assert running[1].result(10)["items"] == ["in", "wait", "after"]
