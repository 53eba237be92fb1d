"""`ShallowPostgresSaver` keeps the newest checkpoints only, and graphs run on it as on others, in both colours."""

import itertools
import operator
from typing import Annotated, Any, TypedDict

import psycopg
import pytest

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.postgres import BasePostgresSaver
from perdure.checkpoint.postgres.aio import AsyncShallowPostgresSaver
from perdure.checkpoint.postgres.shallow import ShallowPostgresSaver
from perdure.graph import START, StateGraph
from perdure.types import Command, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list[Any], operator.add]


def asks(state: State) -> State:
    return {"items": [interrupt("?")]}


def graph_of(saver: BaseCheckpointSaver[Any]) -> Any:
    inner = StateGraph(State).add_node("asks", asks).add_edge(START, "asks").compile()
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, lambda _, name=name: {"items": [name]})
    builder.add_node("inner", inner)
    path = [START, "a", "b", "inner", "c"]
    for before, after in itertools.pairwise(path):
        builder.add_edge(before, after)
    return builder.compile(checkpointer=saver)


def stored(saver: BaseCheckpointSaver[Any]) -> list[str]:
    return [found.config["configurable"]["checkpoint_ns"].partition(":")[0] for found in saver.list(THREAD)]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_one_checkpoint_a_namespace(database: str, durability):
    with ShallowPostgresSaver.from_conn_string(database) as saver:
        assert isinstance(saver, BasePostgresSaver)
        graph = graph_of(saver)
        graph.invoke({"items": [0]}, THREAD, durability=durability)
        assert sorted(stored(saver)) == ["", "inner"]
        assert graph.get_state(THREAD).next == ("inner",)
        graph.invoke(Command(resume="yes"), THREAD, durability=durability)
        assert stored(saver).count("") == 1
        assert [found.values["items"] for found in graph.get_state_history(THREAD)] == [
            [0, "a", "b", 0, "a", "b", "yes", "c"]
        ]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM perdure_checkpoints").fetchone() == (2,)


async def test_asynchronously(database: str):
    async with AsyncShallowPostgresSaver.from_conn_string(database) as saver:
        graph = graph_of(saver)
        await graph.ainvoke({"items": [0]}, THREAD)
        await graph.ainvoke(Command(resume="yes"), THREAD)
        await graph.ainvoke({"items": [1]}, THREAD)
        kept = [found async for found in saver.alist(THREAD)]
        assert [found.config["configurable"]["checkpoint_ns"] for found in kept].count("") == 1
        assert (await graph.aget_state(THREAD)).next == ("inner",)


def test_putting_by_hand(database: str):
    from perdure.checkpoint.base import empty_checkpoint

    with ShallowPostgresSaver.from_conn_string(database) as saver:
        config: Any = THREAD
        for _ in range(3):
            config = saver.put(config, empty_checkpoint(), {}, {})
            saver.put_writes(config, [("items", 1)], "task")
        [kept] = saver.list(THREAD)
        assert kept.config["configurable"]["checkpoint_id"] == config["configurable"]["checkpoint_id"]
        assert kept.pending_writes == [("task", "items", 1)]
