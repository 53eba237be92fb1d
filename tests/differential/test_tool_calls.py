"""The stream mode `tools` and `ToolCallTransformer`: the same calls on both packages."""

import asyncio
import re
import warnings
from importlib import import_module
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from typing_extensions import TypedDict

PACKAGES = ("langgraph", "perdure")


def graph_of(package: str, *, asks: bool = False, fails: bool = False) -> Any:
    graph = import_module(f"{package}.graph")
    prebuilt = import_module(f"{package}.prebuilt")
    types = import_module(f"{package}.types")
    saver = import_module(f"{package}.checkpoint.memory").InMemorySaver()

    class State(TypedDict):
        messages: Annotated[list, graph.add_messages]

    @tool
    def add(a: int, b: int, runtime: prebuilt.ToolRuntime) -> str:
        """Add."""
        for part in (a, b):
            runtime.emit_output_delta({"part": part})
        return str(a + b)

    @tool
    def move(runtime: prebuilt.ToolRuntime) -> Any:
        """Change the state."""
        return types.Command(update={"messages": [ToolMessage("moved", tool_call_id=runtime.tool_call_id)]})

    @tool
    def no() -> str:
        """Fail."""
        raise ValueError("no")

    @tool
    def ask() -> str:
        """Ask."""
        return types.interrupt("?")

    calls = [("add", {"a": 1, "b": 2}), ("move", {})]
    calls += [("no", {})] if fails else []
    calls += [("ask", {})] if asks else []
    message = AIMessage("", tool_calls=[{"name": n, "args": args, "id": f"call {n}"} for n, args in calls])
    builder = graph.StateGraph(State)
    builder.add_node("model", lambda _: {"messages": [message]})
    builder.add_node("tools", prebuilt.ToolNode([add, move, no, ask], handle_tool_errors=True))
    builder.add_edge("__start__", "model").add_edge("model", "tools")
    return builder.compile(checkpointer=saver)


def config() -> Any:
    return {"configurable": {"thread_id": "t"}}


def plain(value: Any) -> Any:
    """Show an event. A runtime is shown by its presence; the names and ids that a message is given later are not."""
    if isinstance(value, dict):
        return {key: key if key == "runtime" else plain(one) for key, one in value.items()}
    text = f"{type(value).__name__} {getattr(value, 'content', value)}"
    return re.sub(r"( name| id)='[^']*',", "", text)


def by_call(events: list[Any]) -> dict[str, list[Any]]:
    """Return events call by call: calls of one message run at once."""
    found: dict[str, list[Any]] = {}
    for event in events:
        found.setdefault(event["tool_call_id"], []).append(plain(event))
    return found


@pytest.mark.parametrize("options", [{}, {"fails": True}, {"asks": True}])
async def test_the_mode(options):
    told = []
    for package in PACKAGES:
        graph = graph_of(package, **options)
        events = list(graph.stream({"messages": []}, config(), stream_mode="tools"))
        graph = graph_of(package, **options)
        asynchronously = [event async for event in graph.astream({"messages": []}, config(), stream_mode="tools")]
        if package == "perdure" or "asks" not in options:  # there a call that asks ends its siblings, sooner or later
            assert by_call(asynchronously) == by_call(events)
        told.append(by_call(events))
    assert told[1] == told[0]
    assert [event["event"] for event in told[1]["call add"]] == [
        "str tool-started",
        "str tool-output-delta",
        "str tool-output-delta",
        "str tool-finished",
    ]
    assert len(told[1]) == 2 + len(options)


def shown(call: Any, deltas: list[Any]) -> Any:
    return call.tool_name, call.tool_call_id, plain(call.input), deltas, plain(call.output), call.error, call.completed


@pytest.mark.parametrize("options", [{}, {"fails": True}])
def test_the_projection(options):
    told = []
    for package in PACKAGES:
        transformer = import_module(f"{package}.prebuilt").ToolCallTransformer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reference calls this experimental
            run = graph_of(package, **options).stream_events(
                {"messages": []}, config(), version="v3", transformers=[transformer]
            )
            calls = [(call, list(call)) for call in run.tool_calls]
        told.append(sorted((shown(*call) for call in calls), key=repr))
    assert told[1] == told[0]
    [added] = [one for one in told[1] if one[0] == "add"]
    assert added[3:] == ([{"part": 1}, {"part": 2}], "str 3", None, True)


def test_asynchronously():
    async def run() -> list[Any]:
        from perdure.prebuilt import ToolCallTransformer

        run = graph_of("perdure", fails=True).astream_events(
            {"messages": []}, config(), transformers=[ToolCallTransformer]
        )
        return [(call, [delta async for delta in call]) async for call in run.tool_calls]

    found = {call.tool_name: (call, deltas) for call, deltas in asyncio.run(run())}
    assert found["add"][1] == [{"part": 1}, {"part": 2}]
    assert (found["no"][0].error, found["no"][0].completed) == ("no", True)


def test_a_call_that_asks_is_open_until_the_run_stops():
    from perdure.prebuilt import ToolCallTransformer
    from perdure.types import Command

    graph = graph_of("perdure", asks=True)
    run = graph.stream_events({"messages": []}, config(), transformers=[ToolCallTransformer])
    calls = {call.tool_name: call for call in run.tool_calls}
    assert [one.value for one in run.interrupts] == ["?"]
    assert (calls["ask"].completed, calls["ask"].output, calls["ask"].error) == (True, None, None)
    again = graph.stream_events(Command(resume="!"), config(), transformers=[ToolCallTransformer])
    assert [(call.tool_name, call.output) for call in again.tool_calls if list(call) == []] == [("ask", "!")]
