"""The only task of an asynchronous superstep runs within its caller's asyncio task: as if it had one of its own."""

import asyncio
import contextvars
import operator
from typing import Annotated, TypedDict

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.graph import END, START, StateGraph

CONFIG = {"configurable": {"thread_id": "t"}}
where = contextvars.ContextVar("where", default="caller")


class State(TypedDict):
    items: Annotated[list, operator.add]


def graph_of(*nodes, branch=None):
    builder = StateGraph(State).add_sequence([(f"n{at}", node) for at, node in enumerate(nodes)])
    builder.add_edge(START, "n0")
    if branch is not None:
        builder.add_conditional_edges(f"n{len(nodes) - 1}", branch)
    return builder.compile(checkpointer=InMemorySaver())


async def test_what_a_node_sets_stays_in_the_node():
    async def sets(state):
        where.set("node")
        await asyncio.sleep(0)
        return {"items": [where.get()]}

    async def reads(state):
        return {"items": [where.get()]}

    result = await graph_of(sets, reads).ainvoke({"items": []}, CONFIG)
    assert result["items"] == ["node", "caller"]
    assert where.get() == "caller"


async def test_a_run_that_never_waits_lets_others_go_on():
    passed = 0

    async def other():
        nonlocal passed
        while True:
            passed += 1
            await asyncio.sleep(0)

    async def step(state):
        return {"items": [len(state["items"])]}

    async def again(state):  # a plain function's hop to a thread would let others go on
        return "n0" if len(state["items"]) < 1000 else END

    graph = graph_of(step, branch=again)
    task = asyncio.create_task(other())
    await graph.ainvoke({"items": []}, CONFIG, durability="sync")
    task.cancel()
    assert passed > 3


async def test_a_node_cannot_keep_its_run_from_being_cancelled():
    begun, ran = asyncio.Event(), []

    async def stubborn(state):
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ran.append("stubborn")
        return {"items": ["kept"]}

    async def after(state):
        ran.append("after")
        return {"items": ["after"]}

    graph = graph_of(stubborn, after)
    task = asyncio.create_task(graph.ainvoke({"items": []}, CONFIG, durability="sync"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ran == ["stubborn"]
    result = await graph.ainvoke(None, CONFIG)
    assert result["items"] == ["kept", "after"]  # what it finished counts, and isn't run again
    assert ran == ["stubborn", "after"]


async def test_a_cancelled_node_is_told_and_its_finally_runs():
    begun, ended = asyncio.Event(), []

    async def node(state):
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    task = asyncio.create_task(graph_of(node).ainvoke({"items": []}, CONFIG))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_plain_functions_may_return_awaitables():
    async def answer(value):
        await asyncio.sleep(0)
        return value

    graph = graph_of(lambda state: answer({"items": ["node"]}), branch=lambda state: answer(END))
    assert (await graph.ainvoke({"items": []}, CONFIG))["items"] == ["node"]
