"""Error handlers of nodes: what they see, what they do, and that a failed node doesn't run again."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.errors import NodeError
from perdure.graph import START, StateGraph
from perdure.runtime import Runtime
from perdure.types import Command, RetryPolicy, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}
TWICE = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=2, retry_on=OSError)


class State(TypedDict):
    items: Annotated[list, operator.add]


@pytest.fixture(params=["sync", "async"])
def call(request):
    if request.param == "sync":
        return lambda graph, *args, **kwargs: graph.invoke(*args, **kwargs)
    return lambda graph, *args, **kwargs: asyncio.run(graph.ainvoke(*args, **kwargs))


class Ran(list[str]):
    def failing(self, label: str = "node", error: type[Exception] = ValueError) -> Any:
        def node(state: State) -> Any:
            self.append(label)
            raise error(label)

        return node


def graph_of(node: Any, handler: Any, saver: Any = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("node", node, error_handler=handler, **options)
    builder.add_node("after", lambda state: {"items": ["after"]})
    builder.add_node("elsewhere", lambda state: {"items": ["elsewhere"]})
    return builder.add_edge(START, "node").add_edge("node", "after").compile(checkpointer=saver)


def test_a_handler_takes_the_place_of_the_node_but_not_of_its_edges(saver, call):
    ran = Ran()

    def handler(state: State, error: NodeError) -> Any:
        return {"items": [error.node, str(error.error), list(state["items"])]}

    graph = graph_of(ran.failing(), handler, saver)
    assert call(graph, {"items": ["in"]}, THREAD)["items"] == ["in", "node", "node", ["in"]]
    assert graph.get_state(THREAD).next == ()


def test_a_handler_goes_on_elsewhere(saver, call):
    def handler(state: State, what: NodeError) -> Any:
        return Command(update={"items": [type(what.error).__name__]}, goto="elsewhere")

    assert call(graph_of(Ran().failing(), handler, saver), {"items": []}, THREAD)["items"] == [
        "ValueError",
        "elsewhere",
    ]


def test_a_handler_runs_once_the_node_has_failed_for_good(saver, call):
    ran = Ran()
    graph = graph_of(ran.failing(error=OSError), lambda state: {"items": ["handled"]}, saver, retry_policy=TWICE)
    assert call(graph, {"items": []}, THREAD)["items"] == ["handled"]
    assert ran == ["node", "node"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_failed_node_does_not_run_again_when_its_handler_does(saver, call, durability):
    ran = Ran()

    def handler(state: State, error: NodeError) -> Any:
        ran.append("handler")
        if ran.count("handler") < 3:
            raise OSError("the handler itself")  # not tried again by the node's policy
        return {"items": [str(error.error), type(error.error).__name__]}

    graph = graph_of(ran.failing(), handler, saver, retry_policy=TWICE)
    for value in ({"items": []}, None):
        with pytest.raises(OSError, match="the handler itself"):
            call(graph, value, THREAD, durability=durability)
        state = graph.get_state(THREAD)
        assert state.next == ("node",)
        assert "the handler itself" in str(state.tasks[0].error)
    found = call(graph, None, THREAD, durability=durability)["items"]
    assert found == ["node", "StoredError"]  # read back: the error as data
    assert ran == ["node", "handler", "handler", "handler"]


def test_a_handler_may_ask_and_its_questions_come_after_the_nodes(saver, call):
    ran = Ran()

    def node(state: State) -> Any:
        ran.append("node")
        raise ValueError(interrupt("the node's question"))

    def handler(state: State, error: NodeError, runtime: Runtime) -> Any:
        ran.append("handler")
        note = runtime.step("note", lambda: ran.append("step") or "noted")  # type: ignore[func-returns-value]
        return {"items": [note, interrupt("the handler's question")]}

    graph = graph_of(node, handler, saver)
    assert [i.value for i in call(graph, {"items": []}, THREAD)["__interrupt__"]] == ["the node's question"]
    asked = call(graph, Command(resume="no"), THREAD)["__interrupt__"]
    assert [i.value for i in asked] == ["the handler's question"]
    assert graph.get_state(THREAD).interrupts == tuple(asked)
    assert call(graph, Command(resume="yes"), THREAD)["items"] == ["noted", "yes"]
    assert ran == ["node", "node", "handler", "step", "handler"]


def test_siblings_of_a_failed_node_are_not_disturbed(saver, call):
    ran = Ran()
    builder = StateGraph(State).add_node("node", ran.failing(), error_handler=lambda state: {"items": ["handled"]})
    for label in ("a", "b"):
        builder.add_node(label, lambda state, label=label: ran.append(label) or {"items": [label]})
    for label in ("node", "a", "b"):
        builder.add_edge(START, label)
    assert sorted(call(builder.compile(checkpointer=saver), {"items": []}, THREAD)["items"]) == ["a", "b", "handled"]
    assert sorted(ran) == ["a", "b", "node"]


async def test_handlers_and_nodes_that_are_coroutines(saver):
    async def node(state: State) -> Any:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def handler(state: State, error: NodeError) -> Any:
        await asyncio.sleep(0)
        return {"items": [repr(error.error)]}

    assert (await graph_of(node, handler, saver).ainvoke({"items": []}, THREAD))["items"] == ["ValueError('no')"]


def test_defaults_hold_for_nodes_that_do_not_say_otherwise(call):
    ran = Ran()
    builder = StateGraph(State).add_node("first", ran.failing("first", OSError))
    builder.add_node("second", ran.failing("second"), error_handler=lambda state: {"items": ["its own"]})
    builder.add_edge(START, "first").add_edge(START, "second")
    builder.set_node_defaults(retry_policy=TWICE, error_handler=lambda state, error: {"items": [error.node]})
    assert sorted(call(builder.compile(), {"items": []})["items"]) == ["first", "its own"]
    assert sorted(ran) == ["first", "first", "second"]


async def test_a_default_timeout_is_for_coroutines_only():
    async def slow(state: State) -> Any:
        await asyncio.sleep(10)

    builder = StateGraph(State).add_node(slow).add_node("plain", lambda state: {"items": ["plain"]})
    builder.add_edge(START, "slow").add_edge(START, "plain")
    builder.set_node_defaults(timeout=0.02, error_handler=lambda state, error: {"items": [type(error.error).__name__]})
    assert sorted((await builder.compile().ainvoke({"items": []}))["items"]) == ["NodeTimeoutError", "plain"]


def test_a_stream_tells_of_the_failure_and_of_the_handler():
    graph = graph_of(Ran().failing(), lambda state: {"items": ["handled"]})
    events = list(graph.stream({"items": []}, stream_mode=["updates", "tasks"]))
    assert ("updates", {"__error_handler__node": {"items": ["handled"]}}) in events
    results = [payload for mode, payload in events if mode == "tasks" and "error" in payload]
    assert [(r["name"], repr(r["error"])) for r in results] == [
        ("node", "ValueError('node')"),
        ("__error_handler__node", "None"),
    ]
