"""Mistakes in building a graph are refused with the node's name and a way out."""

import asyncio
import operator
from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

import pytest

from perdure.channels import BinaryOperatorAggregate, EphemeralValue, LastValue, Topic
from perdure.errors import GraphValidationError, InvalidConfigError, InvalidUpdateError, NodeTimeoutError
from perdure.graph import END, START, StateGraph
from perdure.graph.schema import parse_schema
from perdure.managed import IsLastStep, RemainingSteps
from perdure.types import Send, TimeoutPolicy


class State(TypedDict):
    items: Annotated[list, operator.add]
    n: int


def graph(*names):
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, lambda state: None)
    return builder


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: graph("a").add_node("a", print), "'a' is there already"),
        (lambda: graph().add_node(START, print), "is reserved"),
        (lambda: graph().add_node("a:b", print), "without"),
        (lambda: graph().add_node("a"), "'a' has no action"),
        (lambda: graph().add_node("a", 5), "callable"),
        (lambda: graph("a").add_edge(END, "a"), "start at END"),
        (lambda: graph("a").add_edge("a", START), "end at START"),
        (lambda: graph("a").add_edge(["a", "b"], "a"), "'b', which isn't a node"),
        (lambda: graph("a").compile(), "nothing starts the graph"),
        (lambda: graph("a").add_edge(START, "b").compile(), "'b', which isn't a node"),
        (lambda: graph("a").add_edge(START, "a").add_edge("c", "a").compile(), "'c', which isn't a node"),
        (lambda: graph("a").add_edge(START, "a").compile(interrupt_before=["x"]), "'x', which isn't a node"),
        (lambda: graph().add_sequence([]), "at least one"),
    ],
)
def test_a_mistake_is_named(build, message):
    with pytest.raises(GraphValidationError, match=message):
        build()


def test_a_branch_that_leads_nowhere_says_where_it_can_lead():
    builder = graph("a", "b").add_edge(START, "a").add_conditional_edges("a", lambda state: "c", ["b"])
    with pytest.raises(GraphValidationError, match="'c', which leads nowhere") as error:
        builder.compile().invoke({"items": []})
    assert "b" in error.value.hint


def test_a_class_or_context_manager_is_no_checkpointer():
    from perdure.checkpoint.memory import InMemorySaver

    with pytest.raises(InvalidConfigError, match="must be a saver") as error:
        graph("a").add_edge(START, "a").compile(checkpointer=InMemorySaver)
    assert "with SqliteSaver" in error.value.hint


def test_an_odd_node_result_is_named():
    builder = StateGraph(State).add_node("odd", lambda state: 5).add_edge(START, "odd")
    with pytest.raises(InvalidUpdateError, match="node 'odd' returned int 5"):
        builder.compile().invoke({"items": []})


def test_an_odd_input_is_named():
    with pytest.raises(InvalidUpdateError, match="the input must be a dict"):
        graph("a").add_edge(START, "a").compile().invoke("hello")


def test_a_schema_says_how_each_key_changes():
    class Rich(TypedDict):
        plain: NotRequired[int]
        added: Annotated[list[int], operator.add]
        topic: Annotated[str, Topic]
        brief: Annotated[int, EphemeralValue(int)]
        last: IsLastStep
        left: RemainingSteps

    schema = parse_schema(Rich)
    assert {key: type(channel) for key, channel in schema.channels.items()} == {
        "plain": LastValue,
        "added": BinaryOperatorAggregate,
        "topic": Topic,
        "brief": EphemeralValue,
    }
    assert set(schema.managed) == {"last", "left"}


def test_a_reducer_with_the_wrong_signature_is_refused():
    class Bad(TypedDict):
        items: Annotated[list, lambda value: value]

    with pytest.raises(GraphValidationError, match=r"reducer of 'items' must take two arguments"):
        StateGraph(Bad)


def test_two_rules_for_one_key_are_refused():
    class Other(TypedDict):
        items: Annotated[list, max]

    with pytest.raises(GraphValidationError, match="'items' has two different rules"):
        StateGraph(State, input_schema=Other)


def test_a_dataclass_state_reaches_the_nodes_as_itself():
    @dataclass
    class Data:
        n: int
        items: Annotated[list, operator.add]

    seen = []
    builder = StateGraph(Data).add_node("a", lambda state: seen.append(state) or {"items": [state.n]})
    out = builder.add_edge(START, "a").compile().invoke({"n": 3, "items": []})
    assert out == {"n": 3, "items": [3]}
    assert seen == [Data(3, [])]


async def slow(state):
    await asyncio.sleep(5)


async def test_a_coroutine_that_takes_too_long_is_stopped_and_named():
    builder = StateGraph(State).add_node("slow", slow, timeout=0.02).add_edge(START, "slow")
    with pytest.raises(NodeTimeoutError, match=r"'slow' took longer than its timeout of 0\.02 s"):
        await builder.compile().ainvoke({"items": []})


async def test_a_send_has_a_timeout_of_its_own():
    builder = StateGraph(State).add_node("slow", slow)
    builder.add_conditional_edges(START, lambda state: [Send("slow", {}, timeout=0.02)], ["slow"])
    with pytest.raises(NodeTimeoutError, match="'slow'"):
        await builder.compile().ainvoke({"items": []})


def test_timeouts_that_can_not_be_kept_are_refused():
    with pytest.raises(GraphValidationError, match="plain function"):
        StateGraph(State).add_node("a", lambda state: None, timeout=1)
    for wrong in ({"run_timeout": 0}, {"idle_timeout": -1}, {"idle_timeout": 1, "refresh_on": "never"}):
        with pytest.raises(InvalidConfigError, match=r"timeout|refresh_on"):
            TimeoutPolicy(**wrong)
