"""Answers that aren't what their question asks for."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from perdure.errors import InvalidResumeError, is_invalid_resume
from perdure.graph import START, StateGraph
from perdure.types import Command, RetryPolicy, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Order(BaseModel):
    n: int


class State(TypedDict):
    value: Any


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    if request.param == "sync":
        return lambda graph, value: graph.invoke(value, THREAD)
    return lambda graph, value: asyncio.run(graph.ainvoke(value, THREAD))


def test_a_wrong_answer_is_refused_and_the_question_stays_open(invoke, saver):
    tries = []

    def node(state: State) -> Any:
        tries.append(1)
        return {"value": interrupt("how many?", response_schema=Order)}

    handled = []
    builder = StateGraph(State).add_edge(START, "node")
    always = RetryPolicy(retry_on=Exception, initial_interval=0, jitter=False)
    builder.add_node("node", node, retry_policy=always, error_handler=lambda state, error: handled.append(error))
    graph = builder.compile(checkpointer=saver)
    (asked,) = invoke(graph, {"value": 0})["__interrupt__"]
    assert asked.response_schema["required"] == ["n"]
    with pytest.raises(
        InvalidResumeError, match="the answer to node 'node' isn't what its question asks for: n: "
    ) as got:
        invoke(graph, Command(resume={"n": "many"}))
    assert is_invalid_resume(got.value)
    assert not is_invalid_resume(ValueError())
    state = graph.get_state(THREAD)
    assert (state.next, state.interrupts) == (("node",), (asked,))
    assert invoke(graph, None)["__interrupt__"] == [asked]  # the wrong answer is not kept
    assert invoke(graph, Command(resume={"n": "12"}))["value"] == Order(n=12)
    assert (len(tries), handled) == (4, [])


def test_answers_are_validated_again_when_the_node_runs_again(invoke, saver):
    def node(state: State) -> Any:
        first = interrupt("first", response_schema=Order)
        return {"value": [first.n, interrupt("second")]}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile(checkpointer=saver)
    invoke(graph, {"value": 0})
    invoke(graph, Command(resume={"n": 1}))
    assert invoke(graph, Command(resume=2))["value"] == [1, 2]


def asking(saver: Any, *names: str) -> Any:
    """Make a graph whose nodes ask at once, each by its name."""
    builder = StateGraph(Answered)
    for name in names:
        builder.add_node(name, lambda _, name=name: {"got": {name: interrupt(name)}})
        builder.add_edge(START, name)
    return builder.compile(checkpointer=saver)


class Answered(TypedDict):
    got: Annotated[dict[str, Any], operator.or_]


def test_a_question_of_a_node_that_has_gone_stands_in_no_answers_way(invoke, saver):
    invoke(asking(saver, "kept", "gone"), {"got": {}})
    graph = asking(saver, "kept")
    assert [i.value for i in graph.get_state(THREAD).interrupts] == ["kept"]
    assert invoke(graph, Command(resume="yes")) == {"got": {"kept": "yes"}}
