"""The time that a superstep may take."""

import asyncio
import operator
import time
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import StepTimeoutError
from perdure.graph import START, StateGraph

CONFIG: Any = {"configurable": {"thread_id": "t"}, "max_concurrency": 2}


class State(TypedDict):
    items: Annotated[list, operator.add]


class Nodes:
    def __init__(self) -> None:
        self.ran: list[str] = []
        self.slowness = 1.6

    def make(self, name: str, *, slow: bool = False) -> Any:
        def node(state: State) -> Any:
            self.ran.append(name)
            time.sleep(self.slowness if slow else 0)
            return {"items": [name]}

        return node

    def amake(self, name: str, *, slow: bool = False) -> Any:
        async def node(state: State) -> Any:
            self.ran.append(name)
            await asyncio.sleep(self.slowness if slow else 0)
            return {"items": [name]}

        return node


def graph_of(nodes: dict[str, Any], timeout: float | None = 1.0) -> Any:
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    graph = builder.compile(checkpointer=InMemorySaver())
    graph.step_timeout = timeout
    return graph


def test_threads_are_waited_for_and_what_they_finish_is_kept():
    made = Nodes()
    names = ["fast", "slow", "late"]
    graph = graph_of({name: made.make(name, slow=name != "fast") for name in names} | {"z": made.make("z")})
    with pytest.raises(StepTimeoutError, match=r"step_timeout of 1 s; not finished: z"):
        graph.invoke({"items": []}, CONFIG)
    assert sorted(made.ran) == ["fast", "late", "slow"]
    assert graph.get_state(CONFIG).next == ("z",)
    assert sorted(graph.invoke(None, CONFIG)["items"]) == ["fast", "late", "slow", "z"]
    assert sorted(made.ran) == ["fast", "late", "slow", "z"]


def test_the_only_task_is_kept_too():
    made = Nodes()
    graph = graph_of({"slow": made.make("slow", slow=True)})
    with pytest.raises(TimeoutError, match="longer than the graph's step_timeout"):
        graph.invoke({"items": []}, CONFIG)
    assert graph.invoke(None, CONFIG)["items"] == ["slow"]
    assert made.ran == ["slow"]


async def test_coroutines_are_cancelled():
    made = Nodes()
    made.slowness = 30
    graph = graph_of({"fast": made.amake("fast"), "slow": made.amake("slow", slow=True)})
    began = time.monotonic()
    with pytest.raises(StepTimeoutError, match="not finished: slow"):
        await graph.ainvoke({"items": []}, CONFIG)
    assert time.monotonic() - began < 10
    assert (await graph.aget_state(CONFIG)).next == ("slow",)
    made.slowness = 0
    assert (await graph.ainvoke(None, CONFIG))["items"] == ["fast", "slow"]
    assert made.ran == ["fast", "slow", "slow"]


async def test_the_only_coroutine_is_cancelled():
    made = Nodes()
    made.slowness = 30
    graph = graph_of({"slow": made.amake("slow", slow=True)})
    with pytest.raises(StepTimeoutError, match="not finished: slow"):
        await graph.ainvoke({"items": []}, CONFIG)


async def test_supersteps_that_are_quick_enough_go_on():
    made = Nodes()
    graph = graph_of({"a": made.amake("a"), "b": made.make("b")}, timeout=20)
    assert (await graph.ainvoke({"items": []}, CONFIG))["items"] == ["a", "b"]
    graph = graph_of({"a": made.make("a"), "b": made.make("b")}, timeout=20)
    assert graph.invoke({"items": []}, CONFIG)["items"] == ["a", "b"]
