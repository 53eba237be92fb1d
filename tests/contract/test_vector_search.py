"""Every way to find what is nearest finds the same as comparing everything does."""

import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

import perdure.store.tablestore as store_tables
from perdure.errors import StorageError, UsageError
from perdure.store.base import BaseStore, PutOp, SearchOp
from perdure.store.memory import InMemoryStore
from perdure.store.postgres import PostgresStore
from perdure.store.postgres.base import get_distance_operator
from perdure.store.sqlite import SqliteStore

DIMS = 8
DISTANCES = ("cosine", "inner_product", "l2")


def vector_of(text: str) -> list[float]:
    """Return the same vector for a text each time; one of another length each time."""
    rng = random.Random(text)
    return [rng.uniform(-1, 1) * 2 for _ in range(DIMS)] if text != "nothing" else [0.0] * DIMS


def embed(texts: list[str]) -> list[list[float]]:
    return [vector_of(text) for text in texts]


def index(**options: Any) -> Any:
    return {"dims": DIMS, "embed": embed, "fields": ["text", "tags[*]"], **options}


def fill(store: BaseStore, count: int = 60) -> None:
    puts = []
    for n in range(count):
        value = {"text": f"text {n}", "tags": [f"tag {n} {i}" for i in range(n % 4)], "even": n % 2 == 0, "n": n}
        puts.append(PutOp(("docs", "old" if n % 3 else "new"), f"{n:03}", value))
    puts.append(PutOp(("docs", "new"), "not indexed", {"text": "text 1", "even": True}, index=False))
    puts.append(PutOp(("docs", "new"), "no text", {"even": True}))
    puts.append(PutOp(("other",), "elsewhere", {"text": "text 1", "even": True}))
    store.batch(puts)


SEARCHES = [
    SearchOp(("docs",), query="text 1", limit=5),
    SearchOp(("docs",), query="tag 7 2", limit=3),
    SearchOp(("docs",), query="text 1", limit=5, offset=7),
    SearchOp(("docs", "new"), query="text 1", limit=10),
    SearchOp(("docs",), query="text 1", limit=8, filter={"even": True}),
    SearchOp(("docs",), query="text 1", limit=8, filter={"n": 17}),
    SearchOp(("docs",), query="text 1", limit=8, filter={"n": {"$gte": 40}}),
    SearchOp(("docs",), query="text 1", limit=100),
    SearchOp((), query="text 1", limit=4),
    SearchOp(("nowhere",), query="text 1", limit=4),
    SearchOp(("docs",), query="text 1", limit=0),
]


def shown(found: list[Any]) -> list[Any]:
    return [(hit.namespace, hit.key, None if hit.score is None else round(hit.score, 2)) for hit in found]


@contextmanager
def without_package(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, None)
        yield


@pytest.fixture(params=[
    "sqlite", "sqlite-python", "sqlite-sqlite3",
    "postgres", "postgres-flat", "postgres-hnsw", "postgres-ivfflat", "postgres-halfvec",
])  # fmt: skip
def opened(request, tmp_path):
    """Return what opens a store of a kind with an index."""
    kind = request.param
    path = str(tmp_path / "store.db")

    @contextmanager
    def on_sqlite3(index: Any) -> Iterator[BaseStore]:
        with (
            closing(sqlite3.connect(path, check_same_thread=False)) as connection,
            SqliteStore(connection, index=index) as store,
        ):
            yield store

    @contextmanager
    def in_python(index: Any) -> Iterator[BaseStore]:
        with without_package("sqlite_vec"), SqliteStore.from_conn_string(path, index=index) as store:
            yield store
            assert store._near is None

    if kind == "sqlite":
        return lambda **options: SqliteStore.from_conn_string(path, index=index(**options))
    if kind == "sqlite-python":
        return lambda **options: in_python(index(**options))
    if kind == "sqlite-sqlite3":
        return lambda **options: on_sqlite3(index(**options))
    url = request.getfixturevalue("database")
    settings: dict[str, Any] = {
        "postgres": {},
        "postgres-flat": {"ann_index_config": {"kind": "flat"}},
        "postgres-hnsw": {"ann_index_config": {"kind": "hnsw", "m": 8, "ef_construction": 32, "ef_search": 200}},
        "postgres-ivfflat": {"ann_index_config": {"kind": "ivfflat", "nlist": 2, "probes": 2}},
        "postgres-halfvec": {"ann_index_config": {"vector_type": "halfvec"}},
    }[kind]
    return lambda **options: PostgresStore.from_conn_string(url, index=index(**settings, **options))


@pytest.mark.parametrize("distance", DISTANCES)
async def test_all_find_the_same(opened, distance):
    exact = InMemoryStore(index=index(distance_type=distance))
    fill(exact)
    with opened(distance_type=distance) as store:
        fill(store)
        for op in SEARCHES:
            [wanted], [found] = exact.batch([op]), store.batch([op])
            assert shown(found) == shown(wanted), op
            assert shown((await store.abatch([op]))[0]) == shown(wanted), op
        # Several in one batch, among other operations.
        several = [
            found for found in store.batch([*SEARCHES, PutOp(("docs",), "x", {"text": "y"})]) if found is not None
        ]
        assert list(map(shown, several)) == [shown(exact.batch([op])[0]) for op in SEARCHES]


def test_the_best_of_an_items_texts_counts(opened):
    with opened() as store:
        fill(store)
        [best] = store.search(("docs",), query="tag 7 2", limit=1)
        assert (best.key, round(best.score, 3)) == ("007", 1.0)
        store.put(("docs", "old"), "007", {"text": "something else"})
        assert store.search(("docs",), query="tag 7 2", limit=1)[0].key != "007"
        store.delete(("docs", "old"), "001")
        assert "001" not in [hit.key for hit in store.search(("docs",), query="text 1", limit=100)]


def test_what_has_expired_is_not_found(opened, monkeypatch):
    from types import SimpleNamespace

    ahead = [1000.0]
    with opened() as store:
        monkeypatch.setattr(store_tables, "time", SimpleNamespace(time=lambda: ahead[0]))
        store.put(("docs",), "short", {"text": "text 1"}, ttl=1)
        store.put(("docs",), "read", {"text": "text 1"}, ttl=1)
        store.put(("docs",), "long", {"text": "text 2"})
        ahead[0] += 50
        found = store.search(("docs",), query="text 1", limit=1, refresh_ttl=True)
        assert [hit.key for hit in found] == ["short"] or [hit.key for hit in found] == ["read"]
        ahead[0] += 50
        kept = store.search(("docs",), query="text 1")
        assert [hit.key for hit in kept] == [found[0].key, "long"]


def test_a_vector_without_direction(opened):
    exact = InMemoryStore(index=index())
    with opened() as store:
        for one in (exact, store):
            one.put(("docs",), "none", {"text": "nothing"})
            one.put(("docs",), "some", {"text": "text 1"})
        assert shown(store.search(("docs",), query="text 1")) == shown(exact.search(("docs",), query="text 1"))
        found = store.search(("docs",), query="nothing")
        assert [hit.score for hit in found] == [0.0, 0.0]


def test_what_was_stored_otherwise_is_brought_in(database):
    """An index may be added to a store that has items, and writers without it may go on."""
    ann = index(ann_index_config={"kind": "hnsw"})
    exact = InMemoryStore(index=index())
    fill(exact)
    with PostgresStore.from_conn_string(database, index=index()) as plain:
        fill(plain, 40)
        with PostgresStore.from_conn_string(database, index=ann) as store:
            assert shown(store.search(("docs",), query="text 50", limit=3))
            fill(plain)
            for op in SEARCHES:
                assert shown(store.batch([op])[0]) == shown(exact.batch([op])[0]) == shown(plain.batch([op])[0]), op


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
def test_the_index_is_used(database, kind):
    config = index(ann_index_config={"kind": kind})
    rng = random.Random(0)
    with PostgresStore.from_conn_string(database, index=config, schema="its own") as store:
        texts = [f"text {rng.random()}" for _ in range(3000)]
        store.batch([PutOp(("docs",), text, {"text": text}) for text in texts])
        statement = store._near.statement
        found = store.search(("docs",), query=texts[7], limit=5)
        assert found[0].key == texts[7]
        bound = (store._near.bound(b"\0" * 4 * DIMS), b"", b"\xff", 0.0, 5)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ANALYZE")
        text = statement
        for n, value in reversed(list(enumerate(bound, 1))):
            text = text.replace(f"${n}", f"'\\x{value.hex()}'::bytea" if isinstance(value, bytes) else repr(value))
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {text}"))
        assert f"perdure_nearest_{kind}_vector8_cosine" in plan, plan


def test_the_setup_of_many(database):
    from concurrent.futures import ThreadPoolExecutor

    config = index(ann_index_config={"kind": "hnsw"})

    def one(n: int) -> int:
        with PostgresStore.from_conn_string(database, index=config, pool_size=1) as store:
            store.put(("docs",), str(n), {"text": f"text {n}"})
            return len(store.search(("docs",), query="text 1"))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(8)))


def test_no_rights_are_needed_once_it_is_there(database):
    config = index(ann_index_config={"kind": "hnsw"})
    with PostgresStore.from_conn_string(database, index=config) as store:
        store.put(("docs",), "1", {"text": "text 1"})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'")
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader")
    reading = psycopg.conninfo.make_conninfo(database, user="reader", password="reads")
    with PostgresStore.from_conn_string(reading, index=config) as store:
        store.put(("docs",), "2", {"text": "text 2"})
        assert store.search(("docs",), query="text 2", limit=1)[0].key == "2"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")


@pytest.mark.parametrize(("config", "says"), [
    ({"ann_index_config": {"kind": "best"}}, "one of hnsw, ivfflat, flat"),
    ({"ann_index_config": {"vector_type": "bit"}}, "one of vector, halfvec"),
    ({"ann_index_config": {"kind": "hnsw", "nlist": 5}}, "has no nlist"),
    ({"ann_index_config": {"kind": "flat", "ef_search": 5}}, "has no ef_search"),
    ({"ann_index_config": {"kind": "ivfflat", "probes": 0}}, "whole number for 'probes'"),
    ({"ann_index_config": {"kind": "hnsw", "m": "16); DROP TABLE x"}}, "whole number for 'm'"),
    ({"ann_index_config": {}, "dims": None}, "whole number for 'dims'"),
    ({"distance_type": "hamming"}, "no distance_type 'hamming'"),
])  # fmt: skip
def test_what_there_isnt_is_refused(config, says):
    with pytest.raises(UsageError, match=says):
        PostgresStore.open("postgresql://localhost/nowhere", index={**index(), **config})


def test_a_server_without_the_extension_is_named(database, monkeypatch):
    from perdure.store.postgres import indexing

    texts = {**indexing._texts(), "available": "SELECT '0.7.4'"}
    monkeypatch.setattr(indexing, "_texts", lambda: texts)
    config = index(ann_index_config={})
    with PostgresStore.from_conn_string(database, index=config) as store:
        with pytest.raises(StorageError, match=r"pgvector 0\.8 or newer, which is of version 0\.7\.4"):
            store.put(("docs",), "1", {"text": "text 1"})
        texts["available"] = "SELECT '1' WHERE false"
        with pytest.raises(StorageError, match="isn't there"):
            store.put(("docs",), "1", {"text": "text 1"})
        texts["available"] = "SELECT '0.8.0'"
        store.put(("docs",), "1", {"text": "text 1"})
        assert [hit.key for hit in store.search(("docs",), query="text 1")] == ["1"]


def test_operators_of_distances():
    told = [get_distance_operator(InMemoryStore(index=index(distance_type=distance)))[0] for distance in DISTANCES]
    assert told == ["<=>", "<#>", "<->"]
    with pytest.raises(UsageError, match="no index"):
        get_distance_operator(InMemoryStore())


def test_a_pools_config(database):
    pool = {
        "min_size": 1,
        "max_size": 2,
        "kwargs": {"autocommit": True, "application_name": "known", "prepare_threshold": 0},
    }
    with PostgresStore.from_conn_string(database, pool_config=pool, pipeline=True) as store:
        store.put(("docs",), "1", {"a": 1})
        assert store._driver._source.size == 2
        with psycopg.connect(database) as connection:
            [names] = connection.execute("SELECT array_agg(DISTINCT application_name) FROM pg_stat_activity").fetchall()
            assert "known" in names[0]
