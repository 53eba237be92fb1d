"""What is particular to the saver on Redis and Valkey."""

import asyncio
import itertools
import json
import os
import random
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import warnings
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis.asyncio
from tests.contract.conftest import encrypting
from tests.contract.test_encryption import SECRET, run_with_secrets
from tests.servers.valkey import Valkey

import redis
from perdure.checkpoint import conformance
from perdure.checkpoint.base import Commit, Lease, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint, paint, place
from perdure.checkpoint.redis import RedisSaver
from perdure.checkpoint.redis.aio import AsyncRedisSaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.rules import Rules
from perdure.database.redis.driver import Driver
from perdure.errors import (
    ConflictError,
    CorruptCheckpointError,
    InvalidConfigError,
    PerdureError,
    StorageError,
    ThreadHeldError,
    TransientStorageError,
    UsageError,
)

PERDURE = [sys.executable, "-m", "perdure.cli"]
STRANGE = [
    "",
    "\x00",
    "\x00a",
    "\x01",
    "\x01\x01",
    "\x01\x02",
    "a",
    "a\x00",
    "a\x00b",
    "a b",
    "{",
    "}",
    "{}",
    "%7b",
    "*",
]
STRANGE += ["ü", "😀", "\n", ":l", "a:o", "a\xff"]


@pytest.fixture
def url(empty_valkey):
    return empty_valkey.url


@pytest.fixture
def saver(url):
    with RedisSaver.from_conn_string(url) as opened:
        yield opened


@pytest.fixture
def client(url):
    with redis.Redis.from_url(url) as opened:
        yield opened


class Steps:
    """A thread of commits, each on top of the last."""

    def __init__(self, saver, thread_id="t", lease=None):
        self.saver, self.thread_id, self.lease = saver, thread_id, lease
        self.ids, self.values = [], []

    def prepared(self, size=600, **metadata):
        n = len(self.ids)
        parent = self.ids[-1] if self.ids else None
        self.values = [*self.values, random.Random(n).randbytes(size // 2).hex()]
        made = checkpoint({"x": self.values}, {"x": n}, after=parent)
        writes = [TaskWrites(f"task {n}", "", [("x", self.values[-1])])] if parent else []
        self.ids.append(made["id"])
        commit = Commit(self.thread_id, "", parent, writes, made, {"step": n} | metadata, {"x": n}, parent, self.lease)
        return self.saver.prepare(commit)

    def step(self, **options):
        return self.saver.commit([self.prepared(**options)])


@pytest.fixture
def batches(monkeypatch):
    """What is sent, by round trip."""
    sent = []
    send = Driver._send

    def noting(driver, batch):
        sent.append(batch)
        return send(driver, batch)

    monkeypatch.setattr(Driver, "_send", noting)
    return sent


# -- round trips


def test_a_superstep_is_one_round_trip(saver, batches):
    steps = Steps(saver, lease=saver.acquire("t", "h", 10))
    steps.step()
    for _ in range(5):
        del batches[:]
        steps.step()
        assert len(batches) == 1


def test_the_latest_state_is_two_round_trips_and_a_commit_after_it_is_one(saver, url, batches):
    steps = Steps(saver)
    for _ in range(40):
        steps.step()
    with RedisSaver.from_conn_string(url) as fresh:
        fresh.setup()
        del batches[:]
        assert fresh.get_tuple(place()).checkpoint["channel_values"]["x"] == steps.values
        assert len(batches) == 2
        steps.saver = fresh
        del batches[:]
        steps.step()
        assert len(batches) == 1


def test_what_is_stored_is_what_changed(saver, client):
    steps = Steps(saver)
    for _ in range(200):
        steps.step(size=1000)
    assert client.memory_usage("perdure:{t}", samples=0) + client.memory_usage("perdure:{t}:o", samples=0) < 2 * 200_000


# -- several writers


def test_a_belief_that_is_wrong_is_corrected(saver, url):
    steps = Steps(saver)
    steps.step()
    with RedisSaver.from_conn_string(url) as other:
        theirs = Steps(other)
        theirs.ids, theirs.values = list(steps.ids), list(steps.values)
        theirs.step()
    with pytest.raises(ConflictError):  # its head isn't any more
        steps.step()
    saver.put_writes(place(checkpoint_id=theirs.ids[-1]), [("x", 1)], "late")
    assert [w[0] for w in saver.get_tuple(place()).pending_writes] == ["late"]
    steps.ids, steps.values = theirs.ids, theirs.values
    steps.step()
    assert [t.checkpoint["id"] for t in saver.list(place())] == steps.ids[::-1]


def test_a_lease_that_changed_hands_stores_nothing(saver):
    steps = Steps(saver, lease=saver.acquire("t", "first", 0.01))
    steps.step()
    time.sleep(0.02)
    second = saver.acquire("t", "second", 10)
    assert second.generation == steps.lease.generation + 1
    with pytest.raises(ConflictError, match="lease"):
        steps.step()
    assert saver.get_head("t") == steps.ids[0]
    assert saver.renew([steps.lease, second], 10) == ["lost", "held"]


def test_writes_of_many_tasks_at_once(saver):
    steps = Steps(saver)
    steps.step()

    async def put_all():
        config = place(checkpoint_id=steps.ids[-1])
        await asyncio.gather(*(saver.aput_writes(config, [("x", n)], f"task {n % 25}") for n in range(50)))

    asyncio.run(put_all())
    assert len(saver.get_tuple(place()).pending_writes) == 25


def test_threads_that_are_made_and_deleted_at_once_are_listed_if_they_are_there(saver):
    def churn(chance):
        for _ in range(60):
            if chance.random() < 0.5:
                saver.delete_thread("t")
            else:
                Steps(saver).saver.put(place(), checkpoint({"x": 1}, {"x": 1}), {"run_id": "r"}, {"x": 1})

    workers = [threading.Thread(target=churn, args=(random.Random(n),)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert list(saver.threads()) == (["t"] if saver.get_tuple(place()) else [])
    saver.delete_for_runs(["r"])
    assert list(saver.list(None)) == list(saver.threads()) == []


# -- ids


def test_strange_ids_are_kept_apart(saver):
    for thread_id, namespace in itertools.product(STRANGE, ["", "\x00", "a|b:c"]):
        config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}
        made = checkpoint({"x": [thread_id, namespace]}, {"x": 1})
        written = saver.put(config, made, {"run_id": f"{STRANGE.index(thread_id)}"}, {"x": 1})
        for task_id in ("", "\x00", "a\x00b", "a"):
            saver.put_writes(written, [("x", task_id)], task_id)
    assert list(saver.threads()) == sorted(STRANGE)
    for thread_id, namespace in itertools.product(STRANGE, ["", "\x00", "a|b:c"]):
        config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}
        found = saver.get_tuple(config)
        assert found.checkpoint["channel_values"]["x"] == [thread_id, namespace]
        assert sorted(w[0] for w in found.pending_writes) == ["", "\x00", "a", "a\x00b"]
    for gone, thread_id in enumerate(STRANGE, 1):
        if gone % 2:
            saver.delete_thread(thread_id)
        else:
            saver.delete_for_runs([f"{gone - 1}"])
        assert list(saver.threads()) == sorted(STRANGE[gone:])


def test_strange_checkpoint_ids(saver):
    ids = sorted(text for text in STRANGE if text)
    for at, name in enumerate(ids):
        made = checkpoint({"x": at}, {"x": at}) | {"id": name}
        parent = place(checkpoint_id=ids[at - 1]) if at else place()
        saver.put_writes(saver.put(parent, made, {}, {"x": at}), [("x", at)], "task")
    found = list(saver.list(place()))
    assert [t.checkpoint["id"] for t in found] == ids[::-1]
    assert [t.pending_writes[0][2] for t in found] == list(range(len(ids)))[::-1]
    saver.prune(["t"])
    assert [t.checkpoint["id"] for t in saver.list(place())] == ids[-1:]


def test_an_id_that_is_no_text(saver):
    with pytest.raises(UsageError, match="Unicode"):
        saver.get_tuple({"configurable": {"thread_id": "\ud800"}})


# -- what is stored

GOLDEN = Path(__file__).with_name("golden") / "redis.json"


def golden_values(n):
    return {"items": [f"item {i} " + "and so on, " * 30 for i in range(n + 1)], "n": n}


def test_a_store_of_the_first_version_is_read(saver, client):
    """The file has what perdure 0.1.0 has made, hashes and members of sorted sets; it must be readable for ever."""
    for key, stored in json.loads(GOLDEN.read_text()).items():
        name = key.encode("latin-1")
        if isinstance(stored, dict):
            fields = {field.encode("latin-1"): data.encode("latin-1") for field, data in stored.items()}
            client.hset(name, mapping=fields)
        else:
            client.zadd(name, dict.fromkeys([member.encode("latin-1") for member in stored], 0))
    assert list(saver.threads()) == ["t", "u{1}\x00"]
    for thread, namespace in (("t", ""), ("u{1}\x00", "sub|x")):
        history = list(saver.list({"configurable": {"thread_id": thread, "checkpoint_ns": namespace}}))
        assert [one.checkpoint["channel_values"] for one in history] == [golden_values(n) for n in (2, 1, 0)]
        assert [[w[0] for w in one.pending_writes] for one in history] == [
            ["task of a stranger"],
            ["task of a stranger", "task 2"],
            ["task of a stranger", "task 1"],
        ]
        assert saver.check_thread(thread) == []
    assert list(saver.rules()) == [
        ("gone", Rules(timedelta(days=9), None)),
        ("t", Rules(timedelta(days=9), "case 12")),
    ]
    lease = Lease("t", "holder", 1)
    assert saver.renew([lease], 10) == ["held"]
    head = saver.get_tuple(place())
    steps = Steps(saver, lease=lease)
    steps.ids = [head.checkpoint["id"]]
    steps.step()
    assert len(list(saver.list(place()))) == 4
    with pytest.raises(ThreadHeldError):
        saver.delete_for_runs(["r1"])
    saver.keep("t", hold=None)
    saver.delete_for_runs(["r1"])
    assert list(saver.threads()) == ["t"]


# -- damage


def read_or_error(saver, config):
    try:
        return saver.get_tuple(config)
    except CorruptCheckpointError as e:
        return e


def test_a_flipped_byte_is_named_or_changes_nothing(saver, client, url, monkeypatch):
    steps = Steps(saver)
    for _ in range(6):
        steps.step(size=200)
    saver.put_writes(place(checkpoint_id=steps.ids[-1]), [("y", "z" * 100)], "task")
    truth = list(saver.list(place()))
    chance = random.Random(7)
    named = 0
    for field, data in client.hgetall("perdure:{t}").items():
        if field[:1] not in b"cpw":
            continue
        for _ in range(4):
            at = chance.randrange(len(data))
            bad = data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]
            client.hset("perdure:{t}", field, bad)
            for true in truth:
                with RedisSaver.from_conn_string(url) as fresh:
                    found = read_or_error(fresh, true.config)
                    if isinstance(found, CorruptCheckpointError):
                        assert (found.thread_id, found.checkpoint_id in steps.ids) == ("t", True)
                        named += 1
                    else:
                        # The parent's and the run's names have no checksum, as in the tables of other backends.
                        assert found.checkpoint == true.checkpoint
        client.hset("perdure:{t}", field, data)
    assert list(saver.list(place())) == truth
    assert named > 50


GARBAGE = [b"", b"\xff\xfe", b"\x93\xc0\xc0\xc4\x00", b"\xc7\x03\x05abc", b"\x91" * 2000, b"\xdd\xff\xff\xff\xff"]


@pytest.mark.parametrize("kind", ["n", "c", "p", "w", "u", "lease", "lists"])
def test_what_a_stranger_has_stored_is_refused_with_an_error_of_ours(saver, client, url, kind):
    chance = random.Random(kind)
    told = 0
    for n in range(24):
        client.flushall()
        with RedisSaver.from_conn_string(url, retry_for=0) as victim:
            steps = Steps(victim)
            for _ in range(3):
                steps.step(size=200, run_id="r")
            last = place(checkpoint_id=steps.ids[-1])
            victim.put_writes(last, [("y", "z")], "task")
            victim.acquire("t", "h", 10)
        garbage = GARBAGE[n % 6]
        if kind == "lease":
            client.hset("perdure:{t}:l", mapping=dict.fromkeys(["holder", "generation", "expires", "stop"], garbage))
        elif kind == "lists":
            client.zadd("perdure:threads", {garbage: 0})
            client.zadd("perdure:runs", {b"r\x00" + garbage: 0})
            client.zadd("perdure:{t}:o", {b"n" + garbage: 0, b"c12345678" + garbage: 0})
        else:
            field = chance.choice([field for field in client.hkeys("perdure:{t}") if field[:1] == kind.encode()])
            client.hset("perdure:{t}", field, garbage)
        new = checkpoint({"x": 1}, {"x": 9}, after=steps.ids[-1])
        for name, *arguments in (
            ("get_tuple", place()),
            ("get_tuple", place(checkpoint_id=steps.ids[0])),
            ("list", place()),
            ("list", None),
            ("threads",),
            ("acquire", "t", "other", 1),
            ("put_writes", last, [("q", 1)], "task"),
            ("put", last, new, {}, {"x": 9}),
            ("copy_thread", "t", "u"),
            ("prune", ["t"]),
            ("delete_for_runs", ["r"]),
        ):
            try:
                answer = getattr(saver, name)(*arguments)
                if name in {"list", "threads"}:
                    list(answer)
            except PerdureError:
                told += 1
        saver.delete_thread("t")
        assert not client.exists("perdure:{t}")
    assert told >= (0 if kind == "u" else 5)


def test_a_missing_row_or_piece_is_named(saver, client):
    steps = Steps(saver)
    for _ in range(3):
        steps.step()
    fields = client.hkeys("perdure:{t}")
    [piece] = [field for field in fields if field[:1] == b"p" and field.endswith(b"0")]
    kept = client.hget("perdure:{t}", piece)
    client.hdel("perdure:{t}", piece)
    with pytest.raises(CorruptCheckpointError, match="'x'"):
        saver.get_tuple(place(checkpoint_id=steps.ids[0]))
    client.hset("perdure:{t}", piece, kept)
    [head] = [field for field in fields if field[:1] == b"c" and field.endswith(steps.ids[-1].encode())]
    client.hdel("perdure:{t}", head)
    with pytest.raises(CorruptCheckpointError, match="head is missing"):
        saver.get_tuple(place())
    with pytest.raises(CorruptCheckpointError, match="is missing"):
        list(saver.list(place()))


def test_another_programs_keys(url, client):
    client.set("perdure:{t}", "mine")
    with RedisSaver.from_conn_string(url) as saver, pytest.raises(StorageError, match="prefix"):
        saver.put(place(), checkpoint({"x": 1}, {"x": 1}), {}, {"x": 1})
    assert client.get("perdure:{t}") == b"mine"


def test_a_server_tells_no_value(url, client):
    with RedisSaver.from_conn_string(url, serde=encrypting()) as saver:
        run_with_secrets(saver)
    everything = [client.dump(key) for key in client.keys("*")]
    assert everything
    assert SECRET.encode() not in b"".join(everything)


# -- how long threads last


def test_a_thread_lasts_so_long_after_its_last_write(url, client):
    with RedisSaver.from_conn_string(url, ttl=0.4) as saver:
        steps = Steps(saver, lease=saver.acquire("t", "h", 0.05))
        for _ in range(3):
            steps.step()
            time.sleep(0.02)
        assert all(0 < client.pttl(key) <= 400 for key in client.keys("perdure:{t}*"))
        assert list(saver.threads()) == ["t"]
        time.sleep(0.5)
        assert saver.get_tuple(place()) is None
        assert list(saver.threads()) == list(saver.list(None)) == []
        assert saver.forget_expired() == 1
        assert client.keys("*") == []
        steps.ids, steps.values, steps.lease = [], [], None
        steps.step()
        assert saver.get_tuple(place()) is not None


def test_a_thread_with_rules_of_its_own_is_not_forgotten_by_the_servers_time(url, client):
    with RedisSaver.from_conn_string(url, ttl=0.3, refresh_on_read=True) as saver:
        config = saver.put(place("held"), checkpoint({"x": 1}), {}, {"x": 1})
        saver.put(place("other"), checkpoint({"x": 1}), {}, {"x": 1})
        saver.keep("held", hold="case 12")
        saver.keep("unborn", ttl=timedelta(days=1))
        keys = ("perdure:{held}", "perdure:{held}:o")
        assert [client.pttl(key) for key in keys] == [-1, -1]
        saver.put_writes(config, [("x", 2)], "task")
        assert saver.get_tuple(config) is not None
        assert [client.pttl(key) for key in keys] == [-1, -1]
        time.sleep(0.4)
        assert list(saver.threads()) == ["held"]
        assert saver.rules_of("unborn").ttl == timedelta(days=1)
        saver.keep("held", hold=None)
        assert all(0 < client.pttl(key) <= 300 for key in keys)


def test_reading_makes_a_thread_last_if_it_shall(url, client):
    with RedisSaver.from_conn_string(f"{url}?ttl=100&prefix=p:") as plain:
        Steps(plain).step()
        client.pexpire("p:{t}", 5000)
        plain.get_tuple(place())
        assert client.pttl("p:{t}") <= 5000
        with RedisSaver.from_conn_string(url, ttl=100, prefix="p:", refresh_on_read=True) as saver:
            saver.get_tuple(place())
        assert client.pttl("p:{t}") > 90_000


# -- clients


def test_scripts_that_the_server_has_forgotten(saver, client):
    steps = Steps(saver)
    for _ in range(3):
        steps.step()
        client.script_flush()
        assert saver.get_tuple(place()).checkpoint["id"] == steps.ids[-1]


async def test_an_async_client(url):
    async with redis.asyncio.Redis.from_url(url) as client, AsyncRedisSaver(client) as saver:
        for case in conformance.cases():
            await case.body(paint(saver, "async"))
            await client.flushall()
        with pytest.raises(UsageError, match="async"):
            saver.get_head("t")
        assert await client.ping()  # the saver leaves it open


def test_a_forked_process_has_threads_of_its_own(saver):
    asyncio.run(saver.aget_head("t"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which is what is tested
        child = os.fork()
    if child == 0:
        try:
            signal.alarm(10)
            asyncio.run(Steps(saver).saver.aput(place(), checkpoint({"x": 1}, {"x": 1}), {}, {"x": 1}))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list(saver.list(place()))) == 1


def test_clients_that_cannot_be_used(url):
    with redis.Redis.from_url(url, decode_responses=True) as client, pytest.raises(InvalidConfigError, match="decode"):
        RedisSaver(client)
    with pytest.raises(UsageError, match="RedisSaver can use"):
        RedisSaver(object())
    for options in ({"ttl": 0}, {"refresh_on_read": True}, {"prefix": "{"}):
        with redis.Redis.from_url(url) as client, pytest.raises(InvalidConfigError):
            RedisSaver(client, **options)


def test_the_command_line(url, saver):
    Steps(saver).step()
    told = subprocess.run([*PERDURE, "threads", "--db", url], capture_output=True, text=True, timeout=60, check=True)
    assert re.search(r"^t +done", told.stdout, re.MULTILINE)


def test_urls(url):
    with open_saver(url.replace("redis:", "valkey:")) as saver:
        Steps(saver).step()
        assert list(saver.threads()) == ["t"]
    for wrong in ("redis://h:port", "http://h", f"{url}?ttl=soon", f"{url}?nonsense=1"):
        with pytest.raises(InvalidConfigError), RedisSaver.from_conn_string(wrong) as saver:
            saver.get_head("t")
    with pytest.raises(UsageError, match="closed"):
        saver.get_head("t")


@contextmanager
def cluster():
    """Three nodes that share the slots."""
    with ExitStack() as stack:
        nodes = []
        for _ in range(3):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                bus = str(probe.getsockname()[1])
            nodes.append((stack.enter_context(Valkey(**{"cluster-enabled": "yes", "cluster-port": bus})), bus))
        for (node, _), first, last in zip(nodes, (0, 5461, 10922), (5460, 10921, 16383), strict=True):
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            node.ask("CLUSTER", "MEET", "127.0.0.1", str(nodes[0][0].port), nodes[0][1])
        deadline = time.monotonic() + 20
        while not all(b"cluster_state:ok" in node.ask("CLUSTER", "INFO") for node, _ in nodes):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield [node for node, _ in nodes]


def test_a_cluster_keeps_a_threads_keys_together():
    with cluster() as nodes:
        with redis.RedisCluster("127.0.0.1", nodes[0].port) as client, RedisSaver(client) as saver:
            for case in conformance.cases():
                conformance.run(case, saver, "sync")
                for node in nodes:
                    node.ask("FLUSHALL")
            for n in range(9):
                Steps(saver, f"t{n}").step(run_id="r")
            assert all(node.ask("DBSIZE") > b":1" for node in nodes)
            saver.prune([f"t{n}" for n in range(9)])
            saver.delete_for_runs(["r"])
            assert list(saver.threads()) == []
        with RedisSaver.from_conn_string(nodes[0].url) as saver, pytest.raises(StorageError, match="RedisCluster"):
            [saver.get_head(f"t{n}") for n in range(9)]


# -- servers


class Old(socketserver.StreamRequestHandler):
    """Answers as a Redis of before."""

    def handle(self):
        for line in self.rfile:
            if line.strip().upper() == b"INFO":
                self.wfile.write(b"$19\r\nredis_version:6.2.1\r\n")
            elif line.startswith(b"*"):
                continue
            elif line.strip().upper() in {b"HELLO", b"CLIENT"}:
                self.wfile.write(b"-ERR unknown command\r\n" if line.strip().upper() == b"HELLO" else b"+OK\r\n")


def test_a_server_that_is_too_old():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Old) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"redis://127.0.0.1:{server.server_address[1]}?protocol=2"
        with RedisSaver.from_conn_string(url, retry_for=0) as saver, pytest.raises(StorageError, match="too old"):
            saver.get_head("t")
        server.shutdown()


def test_a_server_that_is_not_there():
    begun = time.monotonic()
    with RedisSaver.from_conn_string("redis://127.0.0.1:1", retry_for=0.2) as saver:
        with pytest.raises(TransientStorageError, match="does the server run"):
            saver.get_head("t")
        with pytest.raises(TransientStorageError, match="does the server run"):
            asyncio.run(saver.aget_head("t"))
    assert 0.4 <= time.monotonic() - begun < 5


def test_what_a_server_refuses():
    with Valkey(requirepass="secret") as server:
        good = server.url.replace("//", "//:secret@")
        for url in (server.url, server.url.replace("//", "//:wrong@"), server.url.replace("//", "//nobody:secret@")):
            with RedisSaver.from_conn_string(url) as saver, pytest.raises(StorageError, match="password") as told:
                saver.get_head("t")
            assert not isinstance(told.value, TransientStorageError)
        with redis.Redis.from_url(good) as client, RedisSaver.from_conn_string(good, retry_for=0.1) as saver:
            steps = Steps(saver)
            steps.step()
            _full(client, saver, steps)
            _a_replica(client, saver, steps)
            _a_user_without_rights(client, server)


def _full(client, saver, steps):
    client.config_set("maxmemory", "1")
    prepared = steps.prepared()
    with pytest.raises(StorageError, match="maxmemory") as told:
        saver.commit([prepared])
    assert not isinstance(told.value, TransientStorageError)
    assert saver.get_head("t") == steps.ids[0]
    client.config_set("maxmemory", "0")
    saver.commit([prepared])
    Steps(saver, "other").step()
    client.config_set("maxmemory", "1")
    saver.delete_thread("other")
    client.config_set("maxmemory", "0")
    assert list(saver.threads()) == ["t"]
    assert saver.get_head("t") == steps.ids[1]


def _a_replica(client, saver, steps):
    client.config_set("replica-serve-stale-data", "yes")
    client.replicaof("127.0.0.1", "1")
    prepared = steps.prepared()
    with pytest.raises(TransientStorageError, match="primary"):
        saver.commit([prepared])
    assert saver.get_head("t") == steps.ids[-2]
    client.replicaof("NO", "ONE")
    saver.commit([prepared])
    assert saver.get_head("t") == steps.ids[-1]


def _a_user_without_rights(client, server):
    client.acl_setuser("few", enabled=True, passwords=["+few"], keys=["perdure:*"], categories=["+@all", "-@dangerous"])
    with RedisSaver.from_conn_string(server.url.replace("//", "//few:few@")) as saver:
        assert len(list(saver.threads())) == 1  # it may not ask for the version, and that's fine
    others = RedisSaver.from_conn_string(server.url.replace("//", "//few:few@"), prefix="others:")
    with others as saver, pytest.raises(StorageError, match="grant"):
        saver.get_head("t")


@pytest.mark.parametrize(
    ("policy", "ttl", "warned"),
    [("noeviction", 9, False), ("allkeys-lru", None, True), ("volatile-ttl", 9, True), ("volatile-ttl", None, False)],
)
def test_a_server_that_drops_keys_is_warned_of(url, client, policy, ttl, warned):
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", policy)
    try:
        with warnings.catch_warnings(record=True) as caught, RedisSaver.from_conn_string(url, ttl=ttl) as saver:
            warnings.simplefilter("always")
            saver.setup()
        assert [str(w.message).count("noeviction") for w in caught] == [1] * warned
    finally:
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
