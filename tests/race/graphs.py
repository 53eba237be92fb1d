"""Graphs and questions that the race tests share."""

import operator
import threading
import time
from typing import Annotated, Any

from typing_extensions import TypedDict

from perdure.graph import END, START, StateGraph

THREAD = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]


def one(item: Any) -> dict[str, Any]:
    return {"items": [item]}


def two_steps(saver: Any, seconds: float = 0.01) -> Any:
    """Return a graph of two nodes that take some time, so that runs would overlap if they could."""

    def first(state: State) -> dict[str, Any]:
        time.sleep(seconds)
        return {"items": [("first", len(state["items"]))]}

    def second(state: State) -> dict[str, Any]:
        time.sleep(seconds)
        return {"items": [("second", len(state["items"]))]}

    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile(checkpointer=saver)


class Gate:
    """A graph whose first node waits until it is let through."""

    def __init__(self, saver: Any, **options: Any) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.ran: list[str] = []
        builder = StateGraph(State)
        builder.add_node("wait", self._wait)
        builder.add_node("after", self._after)
        builder.add_edge(START, "wait")
        builder.add_edge("wait", "after")
        self.graph = builder.compile(checkpointer=saver, **options)

    def _wait(self, state: State) -> dict[str, Any]:
        self.ran.append("wait")
        self.entered.set()
        assert self.opened.wait(20)
        return {"items": ["wait"]}

    def _after(self, state: State) -> dict[str, Any]:
        self.ran.append("after")
        return {"items": ["after"]}


def inputs_of(graph: Any) -> list[Any]:
    """Return the inputs that the thread's state holds."""
    return [item for item in graph.get_state(THREAD).values["items"] if isinstance(item, str)]


def is_linear(graph: Any) -> bool:
    """Tell whether no checkpoint has two children and each continues the one before."""
    history = list(graph.get_state_history(THREAD))
    parents = [s.parent_config["configurable"]["checkpoint_id"] if s.parent_config else None for s in history]
    ids = [s.config["configurable"]["checkpoint_id"] for s in history]
    steps = [s.metadata["step"] for s in history]
    return parents == [*ids[1:], None] and steps == sorted(steps, reverse=True) and ids == sorted(ids, reverse=True)
