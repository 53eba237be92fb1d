"""A value that can't be stored: the error names the place, and the thread stays at its last good checkpoint."""

import operator
import threading
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import SerializationError
from perdure.graph import START, StateGraph

CONFIG = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]
    data: Any


@pytest.fixture(params=["memory", "sqlite"])
def saver(request, tmp_path):
    if request.param == "memory":
        yield InMemorySaver()
        return
    with SqliteSaver.from_conn_string(str(tmp_path / "bad.db"), synchronous="NORMAL") as opened:
        yield opened


def graph_of(saver):
    """Return a graph whose second node writes what can't be stored, the first time."""
    attempts = []

    def bad(state):
        attempts.append(1)
        if len(attempts) == 1:
            return {"data": {"deep": [1, {"lock": threading.Lock()}]}}
        return {"data": "good", "items": ["bad"]}

    builder = StateGraph(State)
    builder.add_node("good", lambda state: {"items": ["good"]})
    builder.add_node("bad", bad)
    builder.add_edge(START, "good")
    builder.add_edge("good", "bad")
    return builder.compile(checkpointer=saver)


def check_error(text, *, knows_node):
    # With durability `exit` the values are stored long after the nodes that wrote them.
    for word in ("data", "deep", "1", "lock", *(["bad"] if knows_node else [])):
        assert word in text, f"{word!r} isn't in: {text}"


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_sync(saver, durability):
    graph = graph_of(saver)
    with pytest.raises(SerializationError) as caught:
        graph.invoke({"items": ["in"]}, CONFIG, durability=durability)
    check_error(str(caught.value), knows_node=durability != "exit")
    state = graph.get_state(CONFIG)
    if durability != "exit":
        assert state.values == {"items": ["in", "good"]}
        assert state.next == ("bad",)
        assert graph.invoke(None, CONFIG)["items"] == ["in", "good", "bad"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_async(saver, durability):
    graph = graph_of(saver)
    with pytest.raises(SerializationError) as caught:
        await graph.ainvoke({"items": ["in"]}, CONFIG, durability=durability)
    check_error(str(caught.value), knows_node=durability != "exit")
    if durability != "exit":
        assert (await graph.aget_state(CONFIG)).next == ("bad",)
        assert (await graph.ainvoke(None, CONFIG))["items"] == ["in", "good", "bad"]


def test_an_input(saver):
    graph = graph_of(saver)
    with pytest.raises(SerializationError, match="data"):
        graph.invoke({"items": ["in"], "data": threading.Lock()}, CONFIG)
    assert graph.get_state(CONFIG).values == {}


def test_an_update_by_hand(saver):
    graph = graph_of(saver)
    graph.update_state(CONFIG, {"items": ["fine"]}, as_node="good")
    with pytest.raises(SerializationError, match="data"):
        graph.update_state(CONFIG, {"data": threading.Lock()}, as_node="good")
    assert graph.get_state(CONFIG).values == {"items": ["fine"]}


def test_a_sibling_s_write_is_kept(saver):
    builder = StateGraph(State)
    builder.add_node("good", lambda state: {"items": ["good"]})
    builder.add_node("bad", lambda state: {"data": threading.Lock()})
    builder.add_edge(START, "good")
    builder.add_edge(START, "bad")
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(SerializationError, match="bad"):
        graph.invoke({"items": ["in"]}, CONFIG, durability="sync")
    assert graph.get_state(CONFIG).next == ("bad",)
