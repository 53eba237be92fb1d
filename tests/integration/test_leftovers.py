"""A run that is over leaves nothing behind for the garbage collector: what it held is freed at once."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.graph import END, START, StateGraph
from perdure.types import Command, Send, interrupt


@dataclass(eq=False)
class Large:
    """Something that is seen to be freed."""

    text: str


class State(TypedDict, total=False):
    large: Large
    n: int


@pytest.fixture(params=["none", "memory", "sqlite"])
def saver(request, tmp_path):
    if request.param == "sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "runs.db")) as opened:
            yield opened
    else:
        yield InMemorySaver() if request.param == "memory" else None


@pytest.fixture
def made():
    """The values that nodes have made; nobody collects garbage meanwhile."""
    made: list[weakref.ref[Large]] = []
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


def loop(made):
    def step(state):
        large = Large("x" * 1000)
        made.append(weakref.ref(large))
        return {"large": large, "n": state["n"] + 1}

    builder = StateGraph(State).add_node("step", step).add_edge(START, "step")
    return builder.add_conditional_edges("step", lambda state: "step" if state["n"] < 3 else END)


def fan(made):
    def give(state):
        made.append(weakref.ref(state["large"]))
        return {}

    def spread(_):
        return [Send("give", {"large": Large("y")}) for _ in range(3)]

    return StateGraph(State).add_node("give", give).add_conditional_edges(START, spread, ["give"])


def nested(made):
    inner = loop(made).compile()
    return StateGraph(State).add_node("inner", inner).add_edge(START, "inner")


GRAPHS = [loop, fan, nested]


def leaves_nothing(made):
    """Tell whether all that was made is freed."""
    assert made
    return [ref() for ref in made if ref() is not None] == []


CONFIG = {"configurable": {"thread_id": "t"}}


@pytest.mark.parametrize("build", GRAPHS)
def test_invoke(saver, made, build):
    build(made).compile(checkpointer=saver).invoke({"n": 0}, CONFIG)
    assert leaves_nothing(made)


@pytest.mark.parametrize("build", GRAPHS)
def test_ainvoke(saver, made, build):
    async def run():
        await build(made).compile(checkpointer=saver).ainvoke({"n": 0}, CONFIG)
        for _ in range(200):  # the thread of a plain node lets go a moment after it has told
            if leaves_nothing(made):
                break
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert leaves_nothing(made)


@pytest.mark.parametrize("build", GRAPHS)
def test_stream(saver, made, build):
    for _ in build(made).compile(checkpointer=saver).stream({"n": 0}, CONFIG, stream_mode=["values", "tasks"]):
        pass
    del _
    assert leaves_nothing(made)


def test_a_run_that_stops_to_ask(saver, made):
    if saver is None:
        saver = InMemorySaver()

    def ask(state):
        large = Large(interrupt("what?"))
        made.append(weakref.ref(large))
        return {"large": large}

    graph = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile(checkpointer=saver)
    graph.invoke({"n": 0}, CONFIG)
    graph.invoke(Command(resume="that"), CONFIG)
    assert leaves_nothing(made)


def test_a_run_itself(saver, made):
    """Nothing at all is left, not even small things."""
    graph = loop(made).compile(checkpointer=saver)
    graph.invoke({"n": 0}, CONFIG)  # what is made once for all runs
    gc.collect()
    graph.invoke({"n": 0}, CONFIG)
    assert gc.collect() == 0
