"""A run that starts its own thread again from the inside fails at once; a subgraph of it works."""

import asyncio
from typing import Any

import pytest
from tests.race.graphs import THREAD, State, one, two_steps

from perdure.errors import ReentrantRunError
from perdure.graph import START, StateGraph
from perdure.types import StateUpdate


def around(saver, node):
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile(checkpointer=saver)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("busy", ["wait", "reject", "interrupt"])
def test_same_graph(saver, busy):
    def node(state: State) -> dict[str, Any]:
        return graph.invoke(one("inner"), {"configurable": {"thread_id": "t"}}, busy=busy)

    graph = around(saver, node)
    with pytest.raises(ReentrantRunError, match="'t'"):
        graph.invoke(one("in"), THREAD)
    assert graph.get_state(THREAD).next == ("node",)


@pytest.mark.timeout(20)
async def test_same_graph_async(saver):
    async def node(state: State) -> dict[str, Any]:
        return await graph.ainvoke(one("inner"), {"configurable": {"thread_id": "t"}})

    graph = around(saver, node)
    with pytest.raises(ReentrantRunError, match="'t'"):
        await graph.ainvoke(one("in"), THREAD)
    assert (await graph.aget_state(THREAD)).next == ("node",)


@pytest.mark.timeout(20)
def test_same_graph_streamed(saver):
    def node(state: State) -> dict[str, Any]:
        return list(graph.stream(one("inner"), {"configurable": {"thread_id": "t"}}))[-1]

    graph = around(saver, node)
    with pytest.raises(ReentrantRunError):
        graph.invoke(one("in"), THREAD)


@pytest.mark.timeout(20)
def test_another_graph_with_a_saver_of_its_own_on_the_same_thread(saver):
    other = two_steps(saver)

    def node(state: State) -> dict[str, Any]:
        return other.invoke(one("inner"), {"configurable": {"thread_id": "t"}})

    with pytest.raises(ReentrantRunError):
        around(saver, node).invoke(one("in"), THREAD)


@pytest.mark.timeout(20)
async def test_from_a_thread_that_a_node_started(saver):
    async def node(state: State) -> dict[str, Any]:
        return await asyncio.to_thread(graph.invoke, one("inner"), {"configurable": {"thread_id": "t"}})

    graph = around(saver, node)
    with pytest.raises(ReentrantRunError):
        await graph.ainvoke(one("in"), THREAD)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("call", ["update_state", "bulk_update_state"])
def test_an_update_of_the_own_thread(saver, call):
    def node(state: State) -> dict[str, Any]:
        if call == "update_state":
            graph.update_state({"configurable": {"thread_id": "t"}}, one("inner"), as_node="node")
        else:
            graph.bulk_update_state({"configurable": {"thread_id": "t"}}, [[StateUpdate(one("inner"), "node")]])
        return one("never")

    graph = around(saver, node)
    with pytest.raises(ReentrantRunError):
        graph.invoke(one("in"), THREAD)


@pytest.mark.timeout(20)
def test_another_thread_from_the_inside_works(saver):
    other = two_steps(saver)

    def node(state: State) -> dict[str, Any]:
        result = other.invoke(one("inner"), {"configurable": {"thread_id": "another"}})
        return one(len(result["items"]))

    assert around(saver, node).invoke(one("in"), THREAD)["items"] == ["in", 3]


@pytest.mark.timeout(20)
def test_as_a_subgraph_it_works(saver):
    inner = two_steps(None)

    def node(state: State, config: Any) -> dict[str, Any]:
        return one(len(inner.invoke(one("inner"), config)["items"]))

    def bare(state: State) -> dict[str, Any]:
        return one(len(inner.invoke(one("inner"))["items"]))

    assert around(saver, node).invoke(one("in"), THREAD)["items"] == ["in", 3]
    assert around(saver, bare).invoke(one("in"), {"configurable": {"thread_id": "bare"}})["items"] == ["in", 3]
    as_node = around(saver, inner)
    result = as_node.invoke(one("in"), {"configurable": {"thread_id": "node"}})
    assert result["items"][0] == "in"


@pytest.mark.timeout(20)
async def test_as_a_subgraph_it_works_async(saver):
    inner = two_steps(None)

    async def node(state: State, config: Any) -> dict[str, Any]:
        return one(len((await inner.ainvoke(one("inner"), config))["items"]))

    assert (await around(saver, node).ainvoke(one("in"), THREAD))["items"] == ["in", 3]


@pytest.mark.timeout(20)
def test_reading_the_own_thread_works(saver):
    def node(state: State) -> dict[str, Any]:
        return one(graph.get_state({"configurable": {"thread_id": "t"}}).next)

    graph = around(saver, node)
    assert graph.invoke(one("in"), THREAD, durability="sync")["items"] == ["in", ("node",)]


@pytest.mark.timeout(20)
def test_after_the_failure_the_thread_goes_on(saver):
    attempts = []

    def node(state: State) -> dict[str, Any]:
        attempts.append(1)
        if len(attempts) == 1:
            graph.invoke(one("inner"), {"configurable": {"thread_id": "t"}})
        return one("node")

    graph = around(saver, node)
    with pytest.raises(ReentrantRunError):
        graph.invoke(one("in"), THREAD)
    assert graph.invoke(None, THREAD)["items"] == ["in", "node"]
