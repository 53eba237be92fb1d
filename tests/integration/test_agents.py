"""Agents whose tools ask, fail and die: what has returned isn't called again."""

import asyncio
import threading
from collections import Counter
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from perdure.errors import InvalidConfigError, UsageError
from perdure.graph import START, MessagesState, StateGraph
from perdure.prebuilt import InjectedStore, ToolNode
from perdure.types import Command, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}


def call(name: str, id: str, **args: Any) -> Any:
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    if request.param == "sync":
        return lambda graph, *args, **kwargs: graph.invoke(*args, **kwargs)
    return lambda graph, *args, **kwargs: asyncio.run(graph.ainvoke(*args, **kwargs))


def graph_of(node: Any, saver: Any) -> Any:
    return StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile(checkpointer=saver)


def answers(values: Any) -> list[Any]:
    return [message.content for message in values["messages"] if message.type == "tool"]


def test_calls_beside_one_that_asks_are_made_once(invoke, saver):
    made: Counter[str] = Counter()

    @tool
    def pay(to: str) -> str:
        """Pay."""
        made[to] += 1
        return f"paid {to}"

    @tool
    def ask(what: str) -> str:
        """Ask."""
        made[what] += 1
        return str(interrupt(what))

    graph = graph_of(ToolNode([pay, ask]), saver)
    calls = [
        call("pay", "1", to="ann"),
        call("ask", "2", what="a?"),
        call("ask", "3", what="b?"),
        call("pay", "4", to="bob"),
    ]
    stopped = invoke(graph, {"messages": [AIMessage("", tool_calls=calls)]}, THREAD)
    asked = {one.value: one.id for one in stopped["__interrupt__"]}
    assert asked.keys() == {"a?", "b?"}
    invoke(graph, Command(resume={asked["a?"]: "A"}), THREAD)
    done = invoke(graph, Command(resume={asked["b?"]: "B"}), THREAD)
    assert answers(done) == ["paid ann", "A", "B", "paid bob"]
    assert (made["ann"], made["bob"]) == (1, 1)


def test_calls_beside_one_that_fails_are_made_once(invoke, saver):
    made: Counter[str] = Counter()

    @tool
    def work(n: int) -> str:
        """Work."""
        made[str(n)] += 1
        if n == 2 and made["2"] == 1:
            raise ConnectionError("no")
        return str(n)

    graph = graph_of(ToolNode([work]), saver)
    asked = AIMessage("", tool_calls=[call("work", str(n), n=n) for n in range(4)])
    with pytest.raises(ConnectionError):
        invoke(graph, {"messages": [asked]}, THREAD)
    assert answers(invoke(graph, None, THREAD)) == ["0", "1", "2", "3"]
    assert made == {"0": 1, "1": 1, "2": 2, "3": 1}


def test_calls_run_at_once():
    meet = threading.Barrier(3, timeout=20)

    @tool
    def wait(n: int) -> str:
        """Wait for the others."""
        meet.wait()
        return str(n)

    graph = graph_of(ToolNode([wait]), None)
    asked = AIMessage("", tool_calls=[call("wait", str(n), n=n) for n in range(3)])
    assert answers(graph.invoke({"messages": [asked]})) == ["0", "1", "2"]


def test_what_is_wrong_is_said(invoke):
    @tool
    def wants_store(n: int, store: Annotated[Any, InjectedStore()]) -> str:
        """Store."""
        return ""

    with pytest.raises(UsageError, match="two tools are named 'wants_store'"):
        ToolNode([wants_store, wants_store])
    graph = graph_of(ToolNode([wants_store]), None)
    with pytest.raises(InvalidConfigError, match="wants a store, and the graph has none"):
        invoke(graph, {"messages": [AIMessage("", tool_calls=[call("wants_store", "1", n=1)])]})
