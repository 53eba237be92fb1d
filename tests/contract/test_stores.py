"""The law of stores, on each of them and in both colours."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

import perdure.store.memory as store_memory
import perdure.store.tablestore as store_tables
from perdure.errors import SchemaVersionError, SerializationError, StorageError, UsageError
from perdure.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)
from perdure.store.base.batch import AsyncBatchedBaseStore
from perdure.store.memory import InMemoryStore
from perdure.store.postgres import PostgresStore
from perdure.store.postgres.aio import AsyncPostgresStore
from perdure.store.sqlite import SqliteStore
from perdure.store.sqlite.aio import AsyncSqliteStore

SOON = 1 / 60 / 20  # minutes: 50 ms


@pytest.fixture
def later(monkeypatch):
    """Let the clock of stores go ahead by minutes: no test of times depends on how fast the machine is."""
    ahead = [0.0]
    real = time.time
    clock = SimpleNamespace(time=lambda: real() + ahead[0])
    monkeypatch.setattr(store_memory, "time", clock)
    monkeypatch.setattr(store_tables, "time", clock)

    def go(minutes: float) -> None:
        ahead[0] += 60 * minutes

    return go


class Sync:
    """Calls a store's sync methods from coroutines."""

    def __init__(self, store: BaseStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(self.store, name)(*args, **kwargs)

        return call


class Async:
    """Calls a store's async methods."""

    def __init__(self, store: BaseStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name if name.startswith("sweep") else "a" + name)


@pytest.fixture(params=["memory", "sqlite", "postgres", "pgbouncer"])
def make(request, tmp_path):
    """Make stores of one backend; they share what they keep where the backend can."""
    made: list[Any] = []

    def new(**options: Any) -> BaseStore:
        if request.param == "memory":
            return InMemoryStore(**options)
        if request.param in {"postgres", "pgbouncer"}:
            url = request.getfixturevalue("database" if request.param == "postgres" else "pooled_database")
            made.append(PostgresStore.open(url, **options))
        else:
            made.append(SqliteStore.open(str(tmp_path / "store.db"), synchronous="NORMAL", **options))
        return made[-1]

    yield new
    for store in made:
        store.close()


@pytest.fixture(params=["sync", "async"])
def colour(request):
    return Sync if request.param == "sync" else Async


@pytest.fixture
def store(make, colour):
    return colour(make())


async def test_items_are_put_read_replaced_and_deleted(store):
    assert await store.get(("a",), "k") is None
    await store.put(("a",), "k", {"x": 1})
    first = await store.get(("a",), "k")
    assert (first.namespace, first.key, first.value) == (("a",), "k", {"x": 1})
    assert datetime.now(UTC) - first.created_at < timedelta(seconds=10)
    assert first.created_at == first.updated_at
    await store.put(("a",), "k", {"x": 2})
    second = await store.get(("a",), "k")
    assert (second.value, second.created_at) == ({"x": 2}, first.created_at)
    assert second.updated_at > first.updated_at
    await store.delete(("a",), "k")
    await store.delete(("a",), "k")
    assert await store.get(("a",), "k") is None
    assert await store.list_namespaces() == []


async def test_values_are_copies_and_keep_their_types(store):
    value = {"list": [1], "tuple": (1, 2), "decimal": Decimal("1.5"), "time": datetime.now(UTC), 3: "three"}
    await store.put(("a",), "k", value)
    value["list"].append(2)
    found = (await store.get(("a",), "k")).value
    assert found == {**value, "list": [1]}
    found["list"].append(3)
    assert (await store.get(("a",), "k")).value["list"] == [1]


STRANGE = ["a", "ab", "a%", "a_", "A", "a\x00", "a\x00b", "\x01", "ä", "\U0001f600", "'; DROP TABLE x; --", "*", "a\\"]


@pytest.mark.parametrize("label", STRANGE)
async def test_a_namespace_is_no_other_whatever_its_characters(store, label):
    for other in STRANGE:
        await store.put((other,), "k", {"label": other})
        await store.put(("x", other), "k", {"label": other})
        await store.put((other, "below"), "k", {"label": other})
    assert (await store.get((label,), "k")).value == {"label": label}
    found = await store.search((label,), limit=100)
    assert sorted(item.namespace for item in found) == [(label,), (label, "below")]
    assert [item.namespace for item in await store.search(("x", label))] == [("x", label)]
    listed = await store.list_namespaces(prefix=("x", label), limit=1000)
    assert listed == ([("x", label)] if label != "*" else sorted(("x", other) for other in STRANGE))


async def test_a_batch_reads_what_was_before_it_and_keeps_the_last_put(store):
    await store.put(("a",), "k", {"x": 1})
    results = await store.batch(
        [
            PutOp(("a",), "k", {"x": 2}),
            GetOp(("a",), "k"),
            PutOp(("a",), "k", {"x": 3}),
            SearchOp(("a",)),
            PutOp(("a",), "gone", {"x": 4}),
            PutOp(("a",), "gone", None),
            ListNamespacesOp(),
        ]
    )
    assert [results[0], results[1].value, results[2]] == [None, {"x": 1}, None]
    assert [item.value for item in results[3]] == [{"x": 1}]
    assert results[6] == [("a",)]
    assert [(item.key, item.value) for item in await store.search(("a",))] == [("k", {"x": 3})]
    assert await store.batch([]) == []


async def test_a_batch_is_done_as_a_whole_or_not_at_all(store):
    with pytest.raises(SerializationError):
        await store.batch([PutOp(("a",), "1", {"x": 1}), PutOp(("a",), "2", {"x": threading.Lock()})])
    with pytest.raises(InvalidNamespaceError):
        await store.batch([PutOp(("a",), "1", {"x": 1}), PutOp((), "2", {"x": 1})])
    assert await store.search(()) == []


async def test_search_tells_what_was_updated_last_first(store):
    for n in range(12):
        await store.put(("a", str(n % 3)), str(n), {"n": n})
        await asyncio.sleep(0.001)
    await store.put(("a", "0"), "3", {"n": 33})
    keys = [item.key for item in await store.search(("a",), limit=100)]
    assert keys == ["3", *[str(n) for n in range(11, -1, -1) if n != 3]]
    assert [item.key for item in await store.search(("a",))] == keys[:10]
    assert [item.key for item in await store.search(("a",), limit=4, offset=3)] == keys[3:7]
    assert [item.key for item in await store.search(("a",), limit=4, offset=11)] == keys[11:]
    assert await store.search(("a",), limit=0) == []
    found = await store.search(("a", "1"), filter={"n": {"$gte": 4, "$lt": 11}}, limit=2, offset=1)
    assert [item.value for item in found] == [{"n": 7}, {"n": 4}]
    assert all(type(item) is SearchItem and item.score is None for item in found)


VALUES: dict[str, dict[str, Any]] = {
    "int": {"n": 1, "in": {"x": {"y": 1}, "z": 2}},
    "float": {"n": 2.5},
    "text": {"n": "s"},
    "none": {"n": None},
    "list": {"n": [1, 2]},
    "missing": {},
    "injection": {"n": "' OR 1=1 --"},
}


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ({"n": 1}, {"int"}),
        ({"n": {"$eq": 1}}, {"int"}),
        ({"n": {"$ne": 1}}, {*VALUES} - {"int"}),
        ({"n": {"$gt": 1}}, {"float"}),
        ({"n": {"$gte": 1}}, {"int", "float"}),
        ({"n": {"$gte": 1, "$lt": 2}}, {"int"}),
        ({"n": {"$lte": "t"}}, {"text", "injection"}),
        ({"n": None}, {"none", "missing"}),
        ({"n": [1, 2]}, {"list"}),
        ({"n": "' OR 1=1 --"}, {"injection"}),
        ({"n') OR 1=1 --": 1}, set()),
        ({"in": {"x": {"y": 1}}}, {"int"}),
        ({"in": {"z": {"$gt": 1}}}, {"int"}),
        ({"in": {"z": {"$gt": 2}}}, set()),
        ({"n": 1, "in": {"z": 2}}, {"int"}),
        ({}, {*VALUES}),
    ],
)
async def test_filters(store, wanted, keys):
    await store.batch([PutOp(("a",), key, value) for key, value in VALUES.items()])
    assert {item.key for item in await store.search(("a",), filter=wanted, limit=100)} == keys


@pytest.mark.parametrize(
    "wanted",
    [{"n": {"$foo": 1}}, {"n": {"$in": [1]}}, {"n": {"x": {"$like": "a"}}}, "n = 1", {"n": {"$gt": 1, "$or": 2}}],
)
async def test_an_unknown_operator_is_refused_also_if_nothing_is_stored(store, wanted):
    with pytest.raises(UsageError) as failure:
        await store.search(("a",), filter=wanted)
    assert "filter" in str(failure.value) or "$eq" in str(failure.value)


async def test_namespaces_are_listed(store):
    spaces = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "bc"), ("x",), ("y", "b"), ("a", "b", "d", "e")]
    await store.batch([PutOp(space, "k", {}) for space in spaces])
    assert await store.list_namespaces() == sorted(spaces)
    assert await store.list_namespaces(prefix=("a", "b")) == [("a", "b"), ("a", "b", "c"), ("a", "b", "d", "e")]
    assert await store.list_namespaces(prefix=("*", "b"), max_depth=2) == [("a", "b"), ("y", "b")]
    assert await store.list_namespaces(suffix=("b",)) == [("a", "b"), ("y", "b")]
    assert await store.list_namespaces(prefix=("a",), suffix=("*", "c")) == [("a", "b", "c")]
    assert await store.list_namespaces(max_depth=1, limit=2, offset=1) == [("x",), ("y",)]
    with pytest.raises(UsageError):
        await store.batch([ListNamespacesOp((MatchCondition("middle", ("a",)),))])  # type: ignore[arg-type]


@pytest.mark.parametrize("namespace", [(), ("",), ("a", ""), ("a.b",), ("langgraph", "x"), ("a", 1), "a"])
async def test_namespaces_that_no_item_can_have(store, namespace):
    with pytest.raises(InvalidNamespaceError):
        await store.put(namespace, "k", {})
    with pytest.raises(ValueError, match=r"namespace|label"):
        await store.batch([PutOp(namespace, "k", {})])


async def test_what_is_no_operation_is_refused(store):
    for call in (
        store.put(("a",), "k", 5),
        store.put(("a",), "k", {}, ttl=0),
        store.put(("a",), "k", {}, ttl=-1),
        store.search(("a",), limit=-1),
        store.batch([5]),
    ):
        with pytest.raises(ValueError, match=r"dict|ttl|limit|operation"):
            await call


# -- time to live


async def test_what_has_expired_is_never_returned(store, later):
    await store.put(("a",), "short", {"n": 1}, ttl=10)
    await store.put(("a",), "long", {"n": 2}, ttl=60)
    await store.put(("b",), "ever", {"n": 3}, ttl=None)
    await store.put(("c",), "short", {"n": 4}, ttl=10)
    assert (await store.get(("a",), "short", refresh_ttl=False)).value == {"n": 1}
    later(11)
    assert await store.get(("a",), "short") is None
    assert {item.key for item in await store.search(())} == {"long", "ever"}
    assert await store.list_namespaces() == [("a",), ("b",)]
    assert await store.sweep_ttl() == 2 if isinstance(store, Sync) else store.store.sweep_ttl() == 2
    await store.put(("a",), "short", {"n": 5})
    again = await store.get(("a",), "short")
    assert again.value == {"n": 5}
    assert again.created_at == again.updated_at


async def test_reading_begins_the_time_anew(store, later):
    for key in ("got", "found", "left"):
        await store.put(("a",), key, {"key": key}, ttl=20)
    for _ in range(4):
        later(8)
        assert await store.get(("a",), "got")
        assert await store.search(("a",), filter={"key": "found"})
        await store.get(("a",), "left", refresh_ttl=False)
    assert {item.key for item in await store.search(("a",))} == {"got", "found"}


async def test_a_store_has_a_default_ttl_and_sweeps(make, colour, later):
    inner = make(ttl={"default_ttl": 10, "refresh_on_read": False, "sweep_interval_minutes": 1})
    store = colour(inner)
    await store.put(("a",), "k", {})
    await store.put(("a",), "ever", {}, ttl=None)
    assert await store.get(("a",), "k")
    later(11)
    swept: list[int] = []
    has_swept = threading.Event()
    sweep = inner.sweep_ttl

    def sweep_and_tell() -> int:
        swept.append(sweep())
        has_swept.set()
        return swept[-1]

    inner.sweep_ttl = sweep_and_tell
    future = inner.start_ttl_sweeper(SOON)
    assert inner.start_ttl_sweeper() is future
    assert await asyncio.to_thread(has_swept.wait, 20)
    assert swept[0] == 1
    assert sweep() == 0
    assert await store.get(("a",), "k") is None
    assert await store.get(("a",), "ever")
    assert inner.stop_ttl_sweeper(5)
    assert future.done()
    assert inner.stop_ttl_sweeper()


# -- search by meaning


def embed(texts):
    """Count some letters: texts with the same letters are alike."""
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


async def embed_later(texts):
    return embed(texts)


class Model:
    def embed_documents(self, texts):
        return embed(texts)

    def embed_query(self, text):
        return embed([text])[0]

    async def aembed_documents(self, texts):
        return embed(texts)

    async def aembed_query(self, text):
        return embed([text])[0]


@pytest.mark.parametrize("how", [embed, Model()], ids=["function", "object"])
async def test_search_by_meaning(make, colour, how):
    store = colour(make(index={"dims": 3, "embed": how, "fields": ["text", "tags[*]"]}))
    await store.put(("d",), "a", {"text": "aaaa"})
    await store.put(("d",), "ab", {"text": "aabb"})
    await store.put(("d",), "tagged", {"text": "zzz", "tags": ["ccc", "bbb"]})
    await store.put(("d",), "hidden", {"text": "aaaa"}, index=False)
    await store.put(("d",), "other", {"text": "cc", "title": "bc"}, index=["title"])
    await store.put(("e",), "far", {"text": "aaaa"})
    found = await store.search(("d",), query="a")
    assert [item.key for item in found[:2]] == ["a", "ab"]
    assert [round(item.score, 4) for item in found[:2]] == [1.0, 0.7071]
    assert (found[-1].key, found[-1].score) == ("hidden", None)
    best = await store.search(("d",), query="b", limit=2, filter={"text": {"$ne": "aabb"}})
    assert [(item.key, round(item.score, 4)) for item in best] == [("tagged", 1.0), ("other", 0.7071)]
    await store.put(("d",), "a", {"text": "cccc"})
    assert (await store.search(("d",), query="c", limit=1))[0].key == "a"
    await store.delete(("d",), "a")
    assert "a" not in {item.key for item in await store.search(("d",), query="c")}
    assert all(item.score is None for item in await store.search(("d",)))


async def test_a_coroutine_embeds(make):
    store = make(index={"dims": 3, "embed": embed_later})
    await store.aput(("d",), "a", {"text": "aaa"})
    assert (await store.asearch(("d",), query="a"))[0].score > 0.5
    with pytest.raises(UsageError, match="coroutine function"):
        store.put(("d",), "b", {"text": "b"})


async def test_a_vector_of_another_length_is_refused(make, colour):
    store = colour(make(index={"dims": 4, "embed": embed}))
    with pytest.raises(StorageError, match="3 dimensions, and the index has 4"):
        await store.put(("d",), "a", {"text": "a"})
    assert await store.search(("d",)) == []


def test_what_can_not_embed_is_refused(make):
    with pytest.raises(UsageError, match="embed=5"):
        make(index={"dims": 3, "embed": 5})


# -- many at once


def test_many_threads_and_loops(make):
    store = make()

    def work(n: int) -> None:
        async def on_loop() -> None:
            await asyncio.gather(*[store.aput(("t", str(n)), str(i), {"i": i}) for i in range(20)])

        if n % 2:
            asyncio.run(on_loop())
        else:
            for i in range(20):
                store.put(("t", str(n)), str(i), {"i": i})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(store.search(("t",), limit=1000)) == 160


async def test_a_store_in_a_node(make):
    from typing_extensions import TypedDict

    from perdure.config import get_store
    from perdure.graph import START, StateGraph
    from perdure.runtime import Runtime

    class State(TypedDict):
        seen: int

    def plain(state: State, store: BaseStore) -> Any:
        store.put(("users",), "ada", {"n": 1})
        return {"seen": 1}

    async def later(state: State, runtime: Runtime) -> Any:
        found = await runtime.store.aget(("users",), "ada")
        assert get_store() is runtime.store
        return {"seen": state["seen"] + found.value["n"]}

    builder = StateGraph(State).add_node(plain).add_node(later).add_edge(START, "plain").add_edge("plain", "later")
    assert (await builder.compile(store=make()).ainvoke({"seen": 0}))["seen"] == 2


# -- SQLite


def test_two_stores_share_a_file_and_a_saver_too(tmp_path):
    from perdure.checkpoint.sqlite import SqliteSaver

    path = str(tmp_path / "both.db")
    with SqliteSaver.from_conn_string(path) as saver, SqliteStore.from_conn_string(path) as one:
        saver.setup()
        with SqliteStore.from_conn_string(path) as two:
            one.put(("a",), "k", {"x": 1})
            assert two.get(("a",), "k") == one.get(("a",), "k")
    with SqliteStore.from_conn_string(path) as again:
        assert again.search(())[0].value == {"x": 1}


def test_a_connection_of_the_standard_library_is_accepted(tmp_path):
    import sqlite3

    connection = sqlite3.connect(tmp_path / "x.db", check_same_thread=False)
    try:
        store = SqliteStore(connection)
        store.put(("a",), "k", {"x": 1}, ttl=5)
        assert store.get(("a",), "k").value == {"x": 1}
        store.close()
        assert connection.execute("SELECT count(*) FROM perdure_store_items").fetchone() == (1,)
    finally:
        connection.close()


async def test_the_async_name(tmp_path):
    async with AsyncSqliteStore.from_conn_string(str(tmp_path / "x.db")) as store:
        await store.asetup()
        await store.aput(("a",), "k", {"x": 1})
        assert store.get(("a",), "k").value == {"x": 1}


@pytest.mark.parametrize("cls", [SqliteStore, PostgresStore])
def test_processes_set_up_and_write_at_once(cls, tmp_path, request):
    where = str(tmp_path / "x.db") if cls is SqliteStore else request.getfixturevalue("database")
    program = (
        f"import sys; from {cls.__module__} import {cls.__name__} as Store\n"
        "index = {'dims': 2, 'embed': lambda texts: [[1.0, 2.0] for _ in texts]}\n"
        "with Store.from_conn_string(sys.argv[1], index=index) as s:\n"
        "    for i in range(10):\n"
        "        s.put(('p', sys.argv[2]), str(i), {'i': i})\n"
        "        s.put(('same',), 'key', {'i': i})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, where, str(n)]) for n in range(6)]
    assert [one.wait(60) for one in running] == [0] * 6
    with cls.from_conn_string(where) as store:
        assert len(store.search(("p",), limit=100)) == 60
        assert len(store.search(("same",))) == 1


async def test_postgres_beside_a_saver_in_a_schema_of_its_own(database):
    from perdure.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(database) as saver:
        saver.setup()
        async with AsyncPostgresStore.from_conn_string(database, schema="the store's") as store:
            await store.aput(("a",), "k", {"x": 1})
            assert store.get(("a",), "k").value == {"x": 1}
        with PostgresStore.from_conn_string(database) as other:
            assert other.get(("a",), "k") is None


def test_a_newer_schema_is_refused(tmp_path):
    path = str(tmp_path / "x.db")
    with SqliteStore.from_conn_string(path) as store:
        store.setup()
        store._connection.execute("INSERT INTO perdure_store_migrations VALUES (99, 'future', 'x')")
    with SqliteStore.from_conn_string(path) as store, pytest.raises(SchemaVersionError, match="pip install -U"):
        store.get(("a",), "k")


def test_an_unclosed_store_warns(tmp_path):
    store = SqliteStore.open(str(tmp_path / "x.db"))
    store.setup()
    with pytest.warns(ResourceWarning, match="was not closed"):
        store.__del__()


def test_a_sweeper_ends_with_its_store():
    store = InMemoryStore()
    ended = store.start_ttl_sweeper(SOON)
    del store
    gc.collect()
    ended.result(5)


# -- gathering


class Gathering(AsyncBatchedBaseStore):
    def __init__(self) -> None:
        super().__init__()
        self.inner = InMemoryStore()
        self.calls: list[int] = []

    def batch(self, ops):
        return self.inner.batch(ops)

    async def abatch_now(self, ops):
        ops = list(ops)
        self.calls.append(len(ops))
        await asyncio.sleep(0)
        return self.inner.batch(ops)


async def test_what_is_asked_in_one_tick_is_one_batch():
    store = Gathering()
    await asyncio.gather(*[store.aput(("a",), str(n), {"n": n}) for n in range(20)])
    assert store.calls == [20]
    found = await asyncio.gather(*[store.aget(("a",), str(n)) for n in range(20)])
    assert [item.value["n"] for item in found] == [*range(20)]
    await asyncio.gather(*[store.aput(("a",), "same", {"n": n}) for n in range(3)])
    assert (await store.aget(("a",), "same")).value == {"n": 2}


async def test_callers_of_one_batch_do_not_fail_for_each_other():
    store = Gathering()
    results = await asyncio.gather(
        store.aput(("a",), "good", {"n": 1}),
        store.abatch([PutOp(("a.b",), "bad", {"n": 1})]),
        store.aput(("a",), "fine", {"n": 2}),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), InvalidNamespaceError, type(None)]
    assert len(store.inner.search(("a",))) == 2


def test_items_are_plain_data():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    item = Item(value={"x": 1}, key="k", namespace=["a"], created_at=now.isoformat(), updated_at=now)
    assert item.dict() == {
        "namespace": ["a"],
        "key": "k",
        "value": {"x": 1},
        "created_at": "2026-01-02T03:04:05+00:00",
        "updated_at": "2026-01-02T03:04:05+00:00",
    }
    assert item == Item(value={"x": 1}, key="k", namespace=("a",), created_at=now, updated_at=now)
    assert time.time() > 0


async def test_items_are_restored_with_the_times_that_they_had(make, colour, later):
    store, elsewhere = colour(make()), colour(InMemoryStore())
    await store.put(("a", "b"), "short", {"n": 1}, ttl=10)
    await store.put(("a",), "long", {"n": 2})
    await store.put(("a",), "older", {"n": 3}, ttl=1)
    later(2)
    keys = [(("a", "b"), "short"), (("a",), "long"), (("a",), "older"), (("no",), "such")]
    lives = await store.lives(keys)
    assert lives[2:] == [None, None]  # expired, and never there
    assert [life.ttl for life in lives[:2]] == [10, None]
    items = [(PutOp(*keys[0], {"n": 1}), lives[0]), (PutOp(*keys[1], {"n": 2}), lives[1])]
    for target in (elsewhere, store):  # into another, and over what is there
        await target.put(("a",), "long", {"n": 0}, ttl=1)
        later(1 / 2)
        await target.restore(items)
        await target.restore(items)
        assert await target.lives(keys[:2]) == lives[:2]
        assert (await target.get(("a",), "long")).value == {"n": 2}
        assert (await target.get(("a",), "long")).created_at.isoformat(timespec="microseconds") == lives[1].created_at
        await target.restore([])
    later(6)
    assert await elsewhere.get(("a", "b"), "short", refresh_ttl=False)
    later(2)
    assert await elsewhere.get(("a", "b"), "short", refresh_ttl=False) is None
    assert elsewhere.store.sweep_ttl() == 1
    assert await elsewhere.get(("a",), "long")
