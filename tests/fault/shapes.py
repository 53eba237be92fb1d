"""The graphs that are killed. Each node's label is in the state exactly once when all is well."""

import operator
import time
from collections.abc import Callable
from typing import Annotated, Any

from typing_extensions import TypedDict

from perdure.checkpoint.serde.types import SCHEDULED
from perdure.constants import RETURN
from perdure.func import task
from perdure.graph import END, START, StateGraph
from perdure.runtime import Runtime
from perdure.types import Command, Send, interrupt

CONFIG = {"configurable": {"thread_id": "t"}}
INPUT = {"items": ["in"]}
PAUSE = 0.002


class State(TypedDict):
    items: Annotated[list, operator.add]


Note = Callable[[str], None]


def node(note: Note, label: str, pause: float = PAUSE) -> Callable[[Any], dict[str, Any]]:
    def run(state: Any) -> dict[str, Any]:
        time.sleep(pause)
        note(label)
        return {"items": [label]}

    return run


def row(note: Note, *labels: str) -> Any:
    """Return a builder of nodes one after the other."""
    builder = StateGraph(State)
    for label in labels:
        builder.add_node(label, node(note, label))
    for first, second in zip((START, *labels), (*labels, END), strict=True):
        builder.add_edge(first, second)
    return builder


def chain(saver: Any, note: Note) -> Any:
    return row(note, "a", "b", "c", "d").compile(checkpointer=saver)


def fan_out(saver: Any, note: Note) -> Any:
    def work(state: dict[str, int]) -> dict[str, Any]:
        time.sleep(PAUSE * state["n"])
        note(f"work{state['n']}")
        return {"items": [f"work{state['n']}"]}

    builder = StateGraph(State)
    builder.add_node("plan", node(note, "plan"))
    builder.add_node("work", work)
    builder.add_node("collect", node(note, "collect"))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda state: [Send("work", {"n": n}) for n in range(4)], ["work"])
    builder.add_edge("work", "collect")
    return builder.compile(checkpointer=saver)


def siblings(saver: Any, note: Note) -> Any:
    builder = StateGraph(State)
    for place, label in enumerate(("quick", "slow", "slower")):
        builder.add_node(label, node(note, label, PAUSE * 2 * place))
        builder.add_edge(START, label)
    builder.add_node("join", node(note, "join"))
    builder.add_edge(["quick", "slow", "slower"], "join")
    return builder.compile(checkpointer=saver)


def question(saver: Any, note: Note) -> Any:
    def ask(state: State) -> dict[str, Any]:
        answer = interrupt("go on?")
        note(f"ask {answer}")
        return {"items": [f"ask {answer}"]}

    builder = StateGraph(State)
    builder.add_node("before", node(note, "before"))
    builder.add_node("beside", node(note, "beside"))
    builder.add_node("ask", ask)
    builder.add_node("after", node(note, "after"))
    builder.add_edge(START, "before")
    builder.add_edge("before", "ask")
    builder.add_edge("before", "beside")
    builder.add_edge(["ask", "beside"], "after")
    return builder.compile(checkpointer=saver)


def nested(saver: Any, note: Note) -> Any:
    graph = row(note, "x", "y").compile()

    def call(state: State) -> dict[str, Any]:
        return {"items": graph.invoke({"items": []})["items"]}

    builder = StateGraph(State)
    builder.add_node("first", node(note, "first"))
    builder.add_node("inner", call)
    builder.add_node("last", node(note, "last"))
    builder.add_edge(START, "first")
    builder.add_edge("first", "inner")
    builder.add_edge("inner", "last")
    return builder.compile(checkpointer=saver)


def calls(saver: Any, note: Note) -> Any:
    """Return a graph whose node calls tasks side by side, and steps one after the other."""

    @task
    def called(label: str, pause: float) -> str:
        time.sleep(pause)
        note(label)
        return label

    def step(label: str) -> str:
        note(label)
        return label

    def work(state: Any, runtime: Runtime) -> dict[str, Any]:
        futures = [called(f"call{n}", PAUSE * n) for n in range(3)]
        first = runtime.step("first", step, "step0")
        found = [future.result() for future in futures]
        return {"items": [*found, first, runtime.step("second", step, "step1")]}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_node("last", node(note, "last"))
    builder.add_edge(START, "work")
    builder.add_edge("work", "last")
    return builder.compile(checkpointer=saver)


def handled(saver: Any, note: Note) -> Any:
    """Return a graph whose node fails, and whose handler goes on."""

    def risky(state: State) -> dict[str, Any]:
        time.sleep(PAUSE)
        note("tried")
        raise ValueError("no")

    def handler(state: State) -> Any:
        note("handled")
        return Command(update={"items": ["tried", "handled"]}, goto="last")

    builder = StateGraph(State)
    builder.add_node("risky", risky, error_handler=handler)
    builder.add_node("last", node(note, "last"))
    builder.add_edge(START, "risky")
    return builder.compile(checkpointer=saver)


SHAPES = {
    "chain": chain,
    "fan_out": fan_out,
    "siblings": siblings,
    "question": question,
    "nested": nested,
    "calls": calls,
    "handled": handled,
}
LABELS = {
    "chain": {"a", "b", "c", "d"},
    "fan_out": {"plan", "collect", *(f"work{n}" for n in range(4))},
    "siblings": {"quick", "slow", "slower", "join"},
    "question": {"before", "beside", "ask yes", "after"},
    "nested": {"first", "x", "y", "last"},
    "calls": {"call0", "call1", "call2", "step0", "step1", "last"},
    "handled": {"tried", "handled", "last"},
}


def labels_of(channel: str, value: Any) -> list[str]:
    """Return the labels of what a write says is done."""
    if channel == SCHEDULED:
        return ["tried"]  # the node has failed, and its handler goes on
    return value if channel == "items" else [value] if channel == RETURN else []
