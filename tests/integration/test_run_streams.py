"""Runs as streams with projections, and transformers of one's own."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import InvalidConfigError
from perdure.graph import START, MessagesState, StateGraph
from perdure.stream import CustomTransformer, StreamChannel, StreamTransformer, UpdatesTransformer

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]


def graph_of(*names: str) -> Any:
    builder = StateGraph(State)
    before = START
    for name in names:
        builder.add_node(name, lambda state, name=name: {"items": [name]}).add_edge(before, name)
        before = name
    return builder.compile(checkpointer=InMemorySaver())


class Counting(StreamTransformer):
    """Counts updates, keeps those of one node from everybody after it, and says how it ended."""

    required_stream_modes = ("updates",)
    before_builtins = True

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self.counts: StreamChannel[int] = StreamChannel("counts")
        self.count = 0
        self.ended: list[str] = []

    def init(self) -> dict[str, Any]:
        return {"counts": self.counts, "ended": self.ended}

    def process(self, event: Any) -> bool:
        if event["method"] == "updates":
            self.count += 1
            self.counts.push(self.count)
            return "b" not in event["params"]["data"]
        return True

    def finalize(self) -> None:
        self.ended.append("well")

    def fail(self, err: BaseException) -> None:
        self.ended.append(repr(err))


def test_a_transformer_of_ones_own():
    run = graph_of("a", "b", "c").stream_events({"items": []}, THREAD, transformers=[Counting, UpdatesTransformer])
    assert list(run.counts) == [1, 2, 3]
    assert list(run.updates) == [{"a": {"items": ["a"]}}, {"c": {"items": ["c"]}}]
    assert run.output == {"items": ["a", "b", "c"]}
    assert run.ended == ["well"]


async def test_in_asynchronous_runs():
    class Async(Counting):
        requires_async = True

        async def aprocess(self, event: Any) -> bool:
            await asyncio.sleep(0)
            return self.process(event)

        async def afinalize(self) -> None:
            self.ended.append("asynchronously")

    graph = graph_of("a", "b")
    run = graph.astream_events({"items": []}, THREAD, transformers=[Async])
    one, two = run.counts.atee()
    assert [item async for item in one] == [item async for item in two] == [1, 2]
    assert await run.output() == {"items": ["a", "b"]}
    assert run.ended == ["asynchronously", "well"]
    with pytest.raises(InvalidConfigError, match="Async works in asynchronous runs only"):
        graph.stream_events({"items": []}, THREAD, transformers=[Async])


def test_nothing_happens_before_something_is_read():
    ran = []
    builder = StateGraph(State).add_node("a", lambda state: ran.append(1)).add_node("b", lambda state: ran.append(2))
    graph = builder.add_edge(START, "a").add_edge("a", "b").compile(checkpointer=InMemorySaver())
    run = graph.stream_events({"items": []}, THREAD)
    assert ran == []
    next(iter(run))
    run.abort()
    assert ran in ([], [1])
    assert list(run.subgraphs) == []
    assert graph.get_state(THREAD).next != ()
    assert graph.invoke(None, THREAD) == {"items": []}


def test_readers_that_are_behind_miss_what_is_not_kept():
    class Short(StreamTransformer):
        required_stream_modes = ("updates",)

        def init(self) -> dict[str, Any]:
            self.last: StreamChannel[Any] = StreamChannel("last", maxlen=2)
            return {"last": self.last}

        def process(self, event: Any) -> bool:
            if event["method"] == "updates":
                self.last.push(next(iter(event["params"]["data"])))
            return True

    run = graph_of("a", "b", "c", "d").stream_events({"items": []}, THREAD, transformers=[Short])
    assert run.output["items"] == ["a", "b", "c", "d"]
    assert list(run.last) == ["c", "d"]


def test_failures_reach_every_reader():
    builder = StateGraph(State).add_node("a", lambda state: 1 / 0).add_edge(START, "a")
    run = builder.compile().stream_events({"items": []}, transformers=[Counting])
    one, two = run.values.tee()
    for reader in (one, two):
        with pytest.raises(ZeroDivisionError):
            list(reader)
    with pytest.raises(ZeroDivisionError):
        _ = run.interrupted
    assert len(run.ended) == 1


def test_messages_of_graphs_within():
    model = GenericFakeChatModel(messages=iter([AIMessage("hello you", id="m")]))
    inner = StateGraph(MessagesState).add_node("talk", lambda state: {"messages": [model.invoke("hi")]})
    builder = StateGraph(MessagesState).add_node("sub", inner.add_edge(START, "talk").compile()).add_edge(START, "sub")
    run = builder.compile().stream_events({"messages": []})
    (sub,) = run.subgraphs
    (message,) = sub.messages
    assert (list(message.text), message.node, message.output.content) == (["hello", " ", "you"], "talk", "hello you")
    assert list(run.messages) == []


def test_what_is_wrong_is_said():
    graph = graph_of("a")
    with pytest.raises(InvalidConfigError, match="knows version 'v3', not 'v2'"):
        graph.stream_events({"items": []}, THREAD, version="v2")
    run = graph.stream_events({"items": []}, THREAD, transformers=[CustomTransformer])
    with pytest.raises(AttributeError, match="no projection 'updates'; it has custom, lifecycle, messages, subgraphs"):
        _ = run.updates
    with pytest.raises(InvalidConfigError, match="two transformers make the projection 'custom'"):
        graph.stream_events({"items": []}, THREAD, transformers=[CustomTransformer, CustomTransformer])
