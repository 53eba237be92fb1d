"""Names of the engine beside graphs: a saver brought by config, managers of handlers, protocols, a dict in a file."""

import asyncio
from importlib import import_module
from typing import Any

import pytest
from typing_extensions import TypedDict

PACKAGES = ("langgraph", "perdure")


class State(TypedDict):
    n: int


def counting(package: str, **options: Any) -> Any:
    graph = import_module(f"{package}.graph")
    inner = graph.StateGraph(State).add_node("add", lambda state: {"n": state["n"] + 1})
    inner = inner.add_edge("__start__", "add").compile()
    builder = graph.StateGraph(State).add_node("inner", inner).add_node("double", lambda state: {"n": state["n"] * 2})
    return builder.add_edge("__start__", "inner").add_edge("inner", "double").compile(**options)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("package", PACKAGES)
def test_a_saver_of_the_config(package, own):
    """It takes the place of the graph's own, for runs and for looking at threads."""
    key = import_module(f"{package}.constants").CONFIG_KEY_CHECKPOINTER
    memory = import_module(f"{package}.checkpoint.memory").InMemorySaver
    its_own, brought = memory(), memory()
    graph = counting(package, checkpointer=its_own if own else None)
    config: Any = {"configurable": {"thread_id": "t", key: brought}}
    assert graph.invoke({"n": 1}, config) == {"n": 4}
    assert graph.get_state(config).values == {"n": 4}
    graph.update_state(config, {"n": 10})
    assert graph.get_state(config).values == {"n": 10}
    assert asyncio.run(graph.aget_state(config)).values == {"n": 10}
    assert {found.config["configurable"]["thread_id"] for found in brought.list(None)} == {"t"}
    assert list(its_own.list(None)) == []
    assert not any("checkpointer" in str(found.metadata) for found in brought.list(None))


@pytest.mark.parametrize("package", PACKAGES)
def test_managers_of_handlers(package):
    callbacks = import_module(f"{package}.callbacks")
    told: list[Any] = []

    class Handler(callbacks.GraphCallbackHandler):
        def on_interrupt(self, event: Any) -> None:
            told.append(event)

        def on_resume(self, event: Any) -> None:
            told.append(event)

    class Waits(callbacks.GraphCallbackHandler):
        async def on_resume(self, event: Any) -> None:
            await asyncio.sleep(0)
            told.append("waited")

    stops = callbacks.GraphInterruptEvent("run", "pending", "id", (), ())
    goes_on = callbacks.GraphResumeEvent("run", "pending", "id", ())
    manager = callbacks.get_sync_graph_callback_manager_for_config({"callbacks": [Handler(), object()]}, run_id="run")
    assert (len(manager.handlers), manager.run_id) == (1, "run")
    manager.on_interrupt(stops)
    manager.on_resume(goes_on)
    assert told == [stops, goes_on]
    told.clear()
    manager = callbacks.get_async_graph_callback_manager_for_config({"callbacks": [Handler(), Waits()]})
    asyncio.run(manager.on_interrupt(stops))
    asyncio.run(manager.on_resume(goes_on))
    assert told == [stops, goes_on, "waited"]
    callbacks.get_sync_graph_callback_manager_for_config({}).on_interrupt(stops)


def test_graphs_and_workflows_keep_the_protocol():
    from perdure.checkpoint.memory import InMemorySaver
    from perdure.func import entrypoint
    from perdure.pregel.protocol import PregelProtocol

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(n: int) -> int:
        return n

    graph = counting("perdure")
    assert isinstance(graph, PregelProtocol)
    assert isinstance(workflow, PregelProtocol)
    assert not isinstance(object(), PregelProtocol)
    assert list(asyncio.run(graph.aget_graph()).nodes) == list(graph.get_graph().nodes)
    inherited = import_module("langgraph.pregel.protocol").PregelProtocol
    assert [name for name in inherited.__abstractmethods__ if not hasattr(PregelProtocol, name)] == []


def test_a_sink_takes_events_by_the_protocol():
    from perdure.pregel.protocol import StreamProtocol
    from perdure.pregel.stream import Sink

    sink = Sink(["values"])
    assert isinstance(sink, StreamProtocol)
    assert sink.modes == {"values"}
    sink(((), "values", {"n": 1}))
    assert list(sink.drain()) == [((), "values", {"n": 1})]


def test_a_running_task_is_what_its_name_says():
    from perdure.pregel.types import PregelExecutableTask
    from perdure.runtime import scope_var

    seen: list[Any] = []

    def look(state: State) -> State:
        scope = scope_var.get()
        assert scope is not None
        seen.append(scope.task)
        return {"n": 2}

    graph = import_module("perdure.graph").StateGraph(State).add_node("look", look).add_edge("__start__", "look")
    graph.compile().invoke({"n": 1})
    [task] = seen
    assert isinstance(task, PregelExecutableTask)
    assert (task.name, task.input, dict(task.writes)["n"], task.path[-1]) == ("look", {"n": 1}, 2, "look")
    assert not isinstance(object(), PregelExecutableTask)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_dict_in_a_file(package, tmp_path):
    made = import_module(f"{package}.checkpoint.memory").PersistentDict
    path = str(tmp_path / "dict")
    with made(list, filename=path) as one:
        one["a"].append((1, 2))
        one.sync()
        one["b"] = {"deep": b"bytes"}
    assert dict(one) == {}
    other = made(list, filename=path)
    other.load()
    assert dict(other) == {"a": [(1, 2)], "b": {"deep": b"bytes"}}
    assert other["new"] == []
    assert [file.name for file in tmp_path.iterdir()] == ["dict"]
    with pytest.raises(FileNotFoundError):
        made(filename=str(tmp_path / "none")).load()


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    from perdure.checkpoint.memory import PersistentDict
    from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
    from perdure.errors import PerdureError

    path = tmp_path / "dict"
    kind, data = JsonPlusSerializer().dumps_typed([1])
    for content in (b"", b"cos\nsystem\n(S'echo no'\ntR.", b"msgpack\n\xff", kind.encode() + b"\n" + data):
        path.write_bytes(content)
        with pytest.raises(PerdureError):
            PersistentDict(filename=str(path)).load()
