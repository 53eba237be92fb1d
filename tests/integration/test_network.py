"""What a network may do to commits on a server: each is stored once, whatever the client heard of it."""

import asyncio
import random
import threading
from urllib.parse import urlsplit

import pytest
from tests.servers.proxy import Proxy

from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.registry import open_saver
from perdure.errors import ConflictError


@pytest.fixture(params=["postgres", "redis"])
def database(request):
    if request.param == "redis":
        return request.getfixturevalue("empty_valkey").url
    return request.getfixturevalue("database")


@pytest.fixture
def proxy(database):
    with Proxy(("127.0.0.1", urlsplit(database).port)) as opened:
        yield opened


@pytest.fixture(params=["sync", "async"])
def commit(request):
    """Commit in one colour or the other."""
    if request.param == "sync":
        return lambda saver, prepared: saver.commit(prepared)
    return lambda saver, prepared: asyncio.run(saver.acommit(prepared))


@pytest.fixture
def saver(database, proxy):
    with open_saver(database.replace(f":{urlsplit(database).port}/", f":{proxy.address[1]}/")) as it:
        it.setup()
        yield it


class Thread:
    def __init__(self, saver):
        self.saver = saver
        self.ids = []
        self.values = []

    def prepared(self):
        n = len(self.ids)
        parent = self.ids[-1] if self.ids else None
        self.values = [*self.values, f"{n} " + "x" * 300]
        made = checkpoint({"x": self.values}, {"x": n}, after=parent)
        writes = [TaskWrites(f"task {n}", "", [("x", self.values[-1])])] if parent else []
        self.ids.append(made["id"])
        return self.saver.prepare(Commit("t", "", parent, writes, made, {"step": n}, {"x": n}, parent))

    def check(self, database):
        with open_saver(database) as plain:
            found = list(plain.list(place()))
        assert [f.checkpoint["id"] for f in reversed(found)] == self.ids
        assert found[0].checkpoint["channel_values"] == {"x": self.values}
        assert [len(f.pending_writes) for f in found[1:]] == [1] * (len(self.ids) - 1)


@pytest.mark.parametrize("step", [0, 1, 5])  # that makes the namespace, the first that goes on, a prepared statement
def test_a_commit_whose_reply_is_lost_is_recognised(saver, proxy, database, commit, step):
    thread = Thread(saver)
    for _ in range(step):
        commit(saver, [thread.prepared()])
    prepared = thread.prepared()
    proxy.lose_reply_to(thread.ids[-1].encode())
    commit(saver, [prepared])
    assert len(proxy.struck) == 1
    commit(saver, [thread.prepared()])
    thread.check(database)


def test_a_stale_commit_whose_reply_is_lost_is_still_refused(saver, proxy, database, commit):
    thread = Thread(saver)
    commit(saver, [thread.prepared()])
    rival = Thread(saver)
    rival.ids, rival.values = list(thread.ids), list(thread.values)
    commit(saver, [thread.prepared()])
    stale = rival.prepared()
    proxy.lose_reply_to(rival.ids[-1].encode())
    with pytest.raises(ConflictError):
        commit(saver, [stale])
    thread.check(database)


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_connections_that_are_cut_anywhere(saver, proxy, database, commit, direction):
    chance = random.Random(7)
    thread = Thread(saver)
    for _ in range(40):
        replies = 30 if database.startswith("redis") else 400
        proxy.cut_after(chance.randrange(1, 2500 if direction == "to_server" else replies), direction)
        commit(saver, [thread.prepared()])
    assert len(proxy.struck) >= 10
    thread.check(database)


@pytest.mark.parametrize("fault", ["stall", "refuse"])
def test_a_network_that_comes_back(saver, proxy, database, commit, fault):
    thread = Thread(saver)
    commit(saver, [thread.prepared()])
    getattr(proxy, fault)()
    healing = threading.Timer(0.5, proxy.heal)
    healing.start()
    commit(saver, [thread.prepared()])
    healing.join()
    commit(saver, [thread.prepared()])
    thread.check(database)
