"""Through PgBouncer in transaction mode: each transaction may meet another session, and nobody notices."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from typing_extensions import TypedDict

from perdure.checkpoint import conformance
from perdure.checkpoint.conformance.case import checkpoint, paint, place
from perdure.checkpoint.postgres import PostgresSaver
from perdure.errors import StorageError
from perdure.graph import END, START, StateGraph
from perdure.store.postgres import PostgresStore

CALLERS, STEPS = 24, 15  # many more than the pooler's connections
THEIRS = {"autocommit": True, "prepare_threshold": 0}


class State(TypedDict):
    seen: Annotated[list, operator.add]


def loop(saver: Any) -> Any:
    builder = StateGraph(State).add_node("step", lambda state: {"seen": [len(state["seen"])]}).add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: END if len(state["seen"]) >= STEPS else "step")
    return builder.compile(checkpointer=saver)


def calls_of(n: int) -> tuple[Any, Any]:
    return {"seen": []}, {"configurable": {"thread_id": f"t{n}"}, "recursion_limit": STEPS + 10}


def is_whole(state: Any) -> bool:
    return state["seen"] == list(range(STEPS))


@pytest.fixture
def saver(pooled_database: str) -> Iterator[Any]:
    with PostgresSaver.from_conn_string(pooled_database) as opened:
        yield opened


def test_threads(saver: Any) -> None:
    graph = loop(saver)
    with ThreadPoolExecutor(CALLERS) as pool:
        found = list(pool.map(lambda n: graph.invoke(*calls_of(n), durability="sync"), range(CALLERS)))
    assert all(map(is_whole, found))
    assert all(len(list(graph.get_state_history(calls_of(n)[1]))) == STEPS + 2 for n in range(CALLERS))


async def test_tasks_that_share_commits(saver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    merge = saver._driver._merge
    monkeypatch.setattr(saver._driver, "_merge", lambda batch: sent.append(len(batch)) or merge(batch))
    graph = loop(saver)
    found = await asyncio.gather(*(graph.ainvoke(*calls_of(n), durability="sync") for n in range(CALLERS)))
    assert all(map(is_whole, found))
    assert max(sent) > 5


async def test_nothing_is_prepared_on_connections_that_a_caller_brings(pooled_database: str) -> None:
    """Else a session is met that has another statement under the same name, of another program."""
    with ConnectionPool(pooled_database, min_size=8, max_size=8, kwargs=THEIRS, open=True) as pool:
        graph = loop(PostgresSaver(pool))
        found = await asyncio.gather(*(asyncio.to_thread(graph.invoke, *calls_of(n)) for n in range(CALLERS)))
        assert all(map(is_whole, found))
    async with AsyncConnectionPool(pooled_database, min_size=8, max_size=8, kwargs=THEIRS, open=False) as pool:
        graph = loop(PostgresSaver(pool))
        found = await asyncio.gather(*(graph.ainvoke(*calls_of(CALLERS + n)) for n in range(CALLERS)))
        assert all(map(is_whole, found))
    with psycopg.connect(pooled_database, **THEIRS) as one, psycopg.connect(pooled_database, **THEIRS) as other:
        for connection in (one, other, one, other):
            assert PostgresSaver(connection).get_tuple(place("t0")) is not None


def test_what_is_prepared_all_the_same_is_told(pooled_database: str) -> None:
    """On a pooler that doesn't track prepared statements; PgBouncer does from 1.21 on, if it is configured so."""

    def use() -> None:
        with PostgresSaver.from_conn_string(pooled_database, prepare_threshold=0) as saver:
            saver.get_tuple(place())

    with PostgresSaver.from_conn_string(pooled_database) as saver:
        saver.setup()
    use()
    with pytest.raises(StorageError, match="prepare_threshold=None"):
        use()


def test_statements_are_prepared_where_no_pooler_is(database: str) -> None:
    with PostgresSaver.from_conn_string(database) as saver:
        for _ in range(10):
            saver.get_tuple(place())
        found = "SELECT count(*) FROM pg_prepared_statements"
        with saver._driver._source.lend(1) as link:
            assert link.execute([(found, ())])[0][0][0] > 0


@pytest.mark.parametrize("case", [case for case in conformance.cases() if "leases" in case.needs], ids=str)
async def test_leases_on_async_connections(pooled_database: str, case: conformance.Case) -> None:
    async with AsyncConnectionPool(pooled_database, min_size=2, max_size=4, kwargs=THEIRS, open=False) as pool:
        await case.body(paint(PostgresSaver(pool), "async"))


def test_a_store_of_many_callers(pooled_database: str) -> None:
    with PostgresStore.from_conn_string(pooled_database) as store, ThreadPoolExecutor(CALLERS) as pool:

        def work(n: int) -> list[Any]:
            for k in range(STEPS):
                store.put(("ns", str(n)), f"k{k}", {"n": n, "k": k})
            return [item.value["k"] for item in store.search(("ns", str(n)), filter={"n": n}, limit=100)]

        assert all(sorted(found) == list(range(STEPS)) for found in pool.map(work, range(CALLERS)))


def test_many_set_up_at_once(pooled_database: str) -> None:
    def use(n: int) -> None:
        with PostgresSaver.from_conn_string(pooled_database) as saver:
            saver.put(place(f"t{n}"), checkpoint({"x": n}), {}, {"x": 1})

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(use, range(CALLERS)))
    with PostgresSaver.from_conn_string(pooled_database) as saver:
        assert len(list(saver.threads())) == CALLERS
