"""`stream_events(version="v3")`: the same projections on both packages."""

import asyncio
import operator
import re
import warnings
from importlib import import_module
from typing import Annotated, Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from typing_extensions import TypedDict


class State(TypedDict):
    items: Annotated[list, operator.add]


def names(value: Any) -> Any:
    """Take task ids out of namespaces."""
    if isinstance(value, dict):
        return {key: names(one) for key, one in value.items() if key != "timestamp"}
    if isinstance(value, list | tuple):
        return [names(one) for one in value]
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", value) if isinstance(value, str) else value


def shown(event: Any) -> Any:
    data = event["params"]
    asked = [one.value for one in data.get("interrupts", ())]
    return event["type"], event["method"], names(data["namespace"]), names(data["data"]), asked


def graph_of(package: str, *, fails: bool = False, asks: bool = False) -> Any:
    graph = import_module(f"{package}.graph")
    writer = import_module(f"{package}.config").get_stream_writer
    interrupt = import_module(f"{package}.types").interrupt
    memory = import_module(f"{package}.checkpoint.memory").InMemorySaver()

    def a(state: State) -> State:
        writer()({"custom": "of a"})
        return {"items": ["a"]}

    def deep(state: State) -> State:
        if fails:
            raise ValueError("no")
        return {"items": ["deep"]}

    inner = graph.StateGraph(State).add_node("deep", deep).add_edge("__start__", "deep").compile()
    builder = graph.StateGraph(State).add_node("a", a).add_node("sub", inner)
    builder.add_edge("__start__", "a").add_edge("a", "sub")
    if asks:
        builder.add_node("ask", lambda state: {"items": [interrupt("?")]}).add_edge("sub", "ask")
    return builder.compile(checkpointer=memory)


def both(run: Any) -> Any:
    outcomes = []
    for package in ("langgraph", "perdure"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reference calls this experimental
            outcomes.append(run(package))
    assert outcomes[1] == outcomes[0]
    return outcomes[1]


def started(package: str, *transformers: str, **options: Any) -> Any:
    module = import_module(f"{package}.stream")
    made = [getattr(module, name) for name in transformers]
    config = {"configurable": {"thread_id": "t"}}
    return graph_of(package, **options).stream_events({"items": []}, config, version="v3", transformers=made)


@pytest.mark.parametrize("asks", [False, True])
def test_events(asks):
    """They are the same; but here a graph's beginning comes before what it tells."""

    def run(package: str) -> Any:
        events = [shown(event) for event in started(package, asks=asks)]
        begins = next(at for at, event in enumerate(events) if event[1] == "lifecycle")
        return events.pop(begins), events

    both(run)
    order = [(event["method"], len(event["params"]["namespace"])) for event in started("perdure")]
    assert order[2:4] == [("lifecycle", 0), ("values", 1)]


@pytest.mark.parametrize("asks", [False, True])
def test_output_and_questions(asks):
    def run(package: str) -> Any:
        stream = started(package, asks=asks)
        values = list(stream.values)
        return values, stream.output, stream.interrupted, [one.value for one in stream.interrupts]

    both(run)
    late = started("perdure")
    assert late.output == list(late.values)[-1]  # a projection keeps what came before it was read


def test_projections_of_transformers():
    def run(package: str) -> Any:
        made = ("CustomTransformer", "UpdatesTransformer")
        ordered = list(started(package, *made).interleave("values", "custom", "updates"))
        tasks = started(package, "TasksTransformer")
        return ordered, [one["name"] for one in tasks.tasks], sorted(tasks.extensions)

    both(run)


def test_graphs_within():
    def run(package: str) -> Any:
        return [
            (names(sub.path), sub.graph_name, list(sub.values)[-1], sub.output, sub.status, sub.interrupted)
            for sub in started(package).subgraphs
        ]

    both(run)


def test_failures():
    def run(package: str) -> Any:
        stream = started(package, fails=True)
        seen = []
        try:
            seen.extend(stream.values)
        except ValueError as error:
            seen.append(str(error))
        try:
            stream.output  # noqa: B018 - raises
        except ValueError as error:
            seen.append(str(error))
        return seen

    assert both(run)[-2:] == ["no", "no"]


def test_lifecycle():
    both(lambda package: [names(dict(one)) for one in started(package).lifecycle])


def test_messages():
    def run(package: str) -> Any:
        graph = import_module(f"{package}.graph")
        model = GenericFakeChatModel(messages=iter([AIMessage("hello you")]))
        builder = graph.StateGraph(graph.MessagesState)
        builder.add_node("m", lambda state: {"messages": [model.invoke(state["messages"])]}).add_edge("__start__", "m")
        stream = builder.compile().stream_events({"messages": [("user", "x")]}, version="v3")
        return [list(message.text) for message in stream.messages]

    both(run)


def test_asynchronous_runs():
    async def arun(package: str) -> Any:
        config = {"configurable": {"thread_id": "t"}}
        stream = graph_of(package, asks=True).astream_events({"items": []}, config, version="v3")
        if asyncio.iscoroutine(stream):
            stream = await stream
        values = [value async for value in stream.values]
        return values, await stream.output(), await stream.interrupted(), len(await stream.interrupts())

    both(lambda package: asyncio.run(arun(package)))
