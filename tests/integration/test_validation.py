"""States that are checked before they are stored."""

import asyncio
import dataclasses
import operator
import threading
from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator
from typing_extensions import TypedDict

from perdure.errors import InvalidUpdateError
from perdure.graph import START, StateGraph
from perdure.types import Command, RetryPolicy

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Item(BaseModel):
    n: int


class State(TypedDict, total=False):
    count: int
    item: Item
    items: Annotated[list[int], operator.add]
    lock: NotRequired[Any]


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    if request.param == "sync":
        return lambda graph, *args: graph.invoke(*args)
    return lambda graph, *args: asyncio.run(graph.ainvoke(*args))


def graph_of(saver: Any, *updates: Any, **options: Any) -> Any:
    builder = StateGraph(State)
    for at, update in enumerate(updates):
        builder.add_node(f"n{at}", lambda state, update=update: update() if callable(update) else update)
        builder.add_edge(START if at == 0 else f"n{at - 1}", f"n{at}")
    return builder.compile(checkpointer=saver, validate_state=True, **options)


WRONG = [
    ({"count": "3"}, "'count' would not be valid after node 'n1': Input should be a valid integer"),
    ({"item": {"n": 1}}, "'item' would not be valid after node 'n1': "),
    ({"items": ["x"]}, r"'items' would not be valid after node 'n1': 1: Input should be a valid integer"),
]


@pytest.mark.parametrize(("update", "told"), WRONG, ids=["value", "model", "reducer"])
def test_what_is_wrong_is_not_stored(invoke, saver, update, told):
    updates = [update]
    graph = graph_of(saver, {"count": 1, "items": [1]}, lambda: updates[-1])
    with pytest.raises(InvalidUpdateError, match=told):
        invoke(graph, {}, THREAD)
    state = graph.get_state(THREAD)
    assert (state.values, state.next) == ({"count": 1, "items": [1]}, ("n1",))
    updates.append({"count": 2})
    assert invoke(graph, None, THREAD) == {"count": 2, "items": [1]}


def test_what_is_right_is_stored_as_it_is(invoke, saver):
    graph = graph_of(saver, {"count": 1, "item": Item(n=1), "items": [1]}, {"items": [2]})
    assert invoke(graph, {"lock": None}, THREAD) == {"count": 1, "item": Item(n=1), "items": [1, 2], "lock": None}


def test_inputs_and_updates_by_hand_are_checked_too(invoke, saver):
    graph = graph_of(saver, {"count": 1})
    with pytest.raises(ValidationError, match="Input should be a valid integer"):
        invoke(graph, {"count": "1"}, THREAD)
    invoke(graph, {"count": 0}, THREAD)
    with pytest.raises(InvalidUpdateError, match="'count' would not be valid"):
        graph.update_state(THREAD, {"count": None})
    assert graph.get_state(THREAD).values["count"] == 1


def test_retries_and_siblings(invoke, saver):
    tries = []

    def shaky(state: State) -> Any:
        tries.append(1)
        return {"count": 3 if len(tries) > 1 else "3"}

    policy = RetryPolicy(retry_on=InvalidUpdateError, initial_interval=0, jitter=False)
    builder = StateGraph(State).add_node("shaky", shaky, retry_policy=policy).add_edge(START, "shaky")
    builder.add_node("beside", lambda state: {"items": [1]}).add_edge(START, "beside")
    graph = builder.compile(checkpointer=saver, validate_state=True)
    assert invoke(graph, {}, THREAD) == {"count": 3, "items": [1]}
    assert len(tries) == 2


def test_schemas_of_all_kinds():
    @dataclasses.dataclass
    class Data:
        count: int = 0
        lock: Any = None

    class Model(BaseModel):
        count: int = 0

    for schema in (Data, Model, int):
        key = {} if schema is int else {"count": "x"}
        builder = StateGraph(schema).add_node("n", lambda state, key=key: key or "x").add_edge(START, "n")
        with pytest.raises(InvalidUpdateError, match="would not be valid"):
            builder.compile(validate_state=True).invoke(5 if schema is int else {"count": 1})
    lock = threading.Lock()
    graph = (
        StateGraph(Data).add_node("n", lambda state: {"lock": lock}).add_edge(START, "n").compile(validate_state=True)
    )
    assert graph.invoke({"count": 1})["lock"] is lock


class Order(BaseModel):
    count: int = Field(0, ge=0)
    names: Annotated[list[str], operator.add] = []
    loose: str = ""

    @field_validator("loose", mode="before")
    @classmethod
    def _text(cls, value: Any) -> str:
        return str(value)


def ordering(saver: Any, update: Any, **options: Any) -> Any:
    builder = StateGraph(Order).add_node("n", lambda state: update).add_node("then", lambda state: {"names": ["then"]})
    builder.add_edge(START, "n").add_edge("n", "then")
    return builder.compile(checkpointer=saver, **options)


@pytest.mark.parametrize("update", [{"count": "three"}, {"count": -1}, {"count": None}])
def test_what_a_model_refuses_is_not_stored_unasked(invoke, saver, update):
    graph = ordering(saver, update)
    with pytest.raises(InvalidUpdateError, match="'count' would not be valid after node 'n': Input should be "):
        invoke(graph, {"count": 1}, THREAD)
    state = graph.get_state(THREAD)
    assert (state.values["count"], state.next) == (1, ("n",))
    with pytest.raises(InvalidUpdateError, match="'count' would not be valid"):
        graph.update_state(THREAD, {"count": "x"}, as_node="n")
    assert invoke(ordering(saver, {"count": 2}), None, THREAD)["count"] == 2


def test_what_a_model_takes_is_taken(invoke, saver):
    graph = ordering(saver, {"count": "7", "names": ["n"], "loose": 5})
    assert invoke(graph, {"count": 1}, THREAD) == {"count": "7", "names": ["n", "then"], "loose": 5}


def test_an_input_that_a_model_refuses_raises_what_the_model_would(invoke, saver):
    graph = ordering(saver, {"count": 2})
    with pytest.raises(ValidationError, match="Input should be a valid integer"):
        invoke(graph, {"count": "x"}, THREAD)
    assert invoke(graph, {"count": 1}, THREAD)["count"] == 2
    with pytest.raises(InvalidUpdateError, match="'count' would not be valid"):
        invoke(graph, Command(update={"count": "x"}, goto="n"), THREAD)
    assert graph.get_state(THREAD).values["count"] == 2


def test_a_state_that_its_schema_refuses_can_be_looked_at_and_mended(saver):
    """It may be of an earlier version of the code."""
    careless = ordering(saver, {"count": "x"}, validate_state=False)
    with pytest.raises(ValidationError):
        careless.invoke({"count": 1}, THREAD)
    state = careless.get_state(THREAD)
    assert (state.values["count"], state.next) == ("x", ("then",))
    assert [one.values.get("count") for one in careless.get_state_history(THREAD)] == ["x", 1, None]
    careless.update_state(THREAD, {"count": 3}, as_node="n")
    assert careless.invoke(None, THREAD)["count"] == 3
    with pytest.raises(ValidationError):
        careless.invoke({"count": 1}, THREAD)
    assert ordering(saver, {"count": 4}).invoke({"count": 2}, THREAD)["count"] == 4
