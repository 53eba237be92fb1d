"""Messages that come piece by piece from plain generators: nodes that are generators, and `runtime.stream_message`."""

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import InvalidUpdateError, NodeTimeoutError, UsageError
from perdure.graph import START, MessagesState, StateGraph
from perdure.graph.message import push_message
from perdure.pregel.action import NoSyncActionError
from perdure.runtime import Runtime
from perdure.types import Command, RetryPolicy, TimeoutPolicy

THREAD: Any = {"configurable": {"thread_id": "t"}}
MOST = 64
"""Pieces that may be made and not read: a generator that is ahead of its reader waits."""

PIECES = ["Hel", "lo ", "you"]


def graph_of(node: Any, **options: Any) -> Any:
    builder = StateGraph(MessagesState).add_node("talk", node, **options).add_edge(START, "talk")
    return builder.compile(checkpointer=InMemorySaver())


def plain(state: MessagesState) -> Iterator[Any]:
    yield from PIECES


async def coroutine(state: MessagesState) -> AsyncIterator[Any]:
    for piece in PIECES:
        await asyncio.sleep(0)
        yield piece


def by_runtime(state: MessagesState, runtime: Runtime) -> Any:
    return {"messages": [runtime.stream_message(iter(PIECES))]}


async def by_async_runtime(state: MessagesState, runtime: Runtime) -> Any:
    async def pieces() -> AsyncIterator[str]:
        for piece in PIECES:
            await asyncio.sleep(0)
            yield piece

    return {"messages": [await runtime.astream_message(pieces(), id="mine")]}


async def of_a_plain_one(state: MessagesState, runtime: Runtime) -> Any:
    return {"messages": [await runtime.astream_message(PIECES)]}


class Callable_:
    """A node that is an object, whose call makes a generator."""

    def __call__(self, state: MessagesState, runtime: Runtime) -> Iterator[Any]:
        assert isinstance(runtime, Runtime)
        yield from PIECES


NODES = {
    "plain": (plain, "sync async"),
    "coroutine": (coroutine, "async"),
    "by_runtime": (by_runtime, "sync async"),
    "by_async_runtime": (by_async_runtime, "async"),
    "of_a_plain_one": (of_a_plain_one, "async"),
    "callable": (Callable_(), "sync async"),
}
COLOURED = [(name, colour) for name, (_, colours) in NODES.items() for colour in colours.split()]


def told(graph: Any, colour: str, **options: Any) -> list[Any]:
    async def run() -> list[Any]:
        return [part async for part in graph.astream({"messages": []}, THREAD, **options)]

    return asyncio.run(run()) if colour == "async" else list(graph.stream({"messages": []}, THREAD, **options))


@pytest.mark.parametrize(("name", "colour"), COLOURED)
def test_pieces_are_told_and_the_message_is_kept(name, colour):
    graph = graph_of(NODES[name][0])
    parts = told(graph, colour, stream_mode="messages")
    assert [chunk.content for chunk, _ in parts] == [*PIECES, ""]  # the last one says that it was the last
    assert parts[-1][0].chunk_position == "last"
    assert {metadata["langgraph_node"] for _, metadata in parts} == {"talk"}
    [message] = graph.get_state(THREAD).values["messages"]
    assert type(message) is AIMessage
    assert message.content == "Hello you"
    assert {chunk.id for chunk, _ in parts} == {message.id}
    assert name != "by_async_runtime" or message.id == "mine"


@pytest.mark.parametrize(("name", "colour"), COLOURED)
def test_without_a_listener(name, colour):
    graph = graph_of(NODES[name][0])
    result = (
        asyncio.run(graph.ainvoke({"messages": []}, THREAD))
        if colour == "async"
        else graph.invoke({"messages": []}, THREAD)
    )
    assert [message.content for message in result["messages"]] == ["Hello you"]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_node_may_yield_its_update_too(colour):
    def returns(state: MessagesState) -> Any:
        yield "thinking"
        return {"messages": [("ai", "returned")]}

    def yields(state: MessagesState) -> Any:
        yield "thinking"
        yield {"messages": [("ai", "no")]}
        yield {"messages": [("ai", "yielded")]}

    def goes(state: MessagesState) -> Any:
        yield Command(update={"messages": [("ai", "commanded")]})

    def nothing(state: MessagesState) -> Any:
        yield from ()

    for node, wanted in ((returns, ["returned"]), (yields, ["yielded"]), (goes, ["commanded"]), (nothing, [])):
        graph = graph_of(node)
        texts = [chunk.content for chunk, _ in told(graph, colour, stream_mode="messages")]
        assert [m.content for m in graph.get_state(THREAD).values.get("messages", [])] == wanted, node
        assert texts[:1] == (["thinking"] if node in (returns, yields) else wanted[:1])


def test_pieces_of_all_kinds():
    def mixed(state: MessagesState, runtime: Runtime) -> Any:
        pieces = ["a", {"content": "b"}, AIMessageChunk("c"), AIMessageChunk([{"type": "text", "text": "d"}])]
        return {"messages": [runtime.stream_message(pieces)]}

    [message] = graph_of(mixed).invoke({"messages": []}, THREAD)["messages"]
    assert message.content == ["abc", {"type": "text", "text": "d"}]
    with pytest.raises(UsageError, match="no piece of a message"):
        graph_of(lambda state, runtime: runtime.stream_message([7])).invoke({"messages": []}, THREAD)
    assert graph_of(lambda state, runtime: runtime.stream_message([])).invoke({"messages": []}, THREAD) == {
        "messages": []
    }


@pytest.mark.parametrize(("name", "colour"), [("plain", "sync"), ("plain", "async"), ("coroutine", "async")])
def test_no_piece_is_lost_when_the_generator_fails(name, colour):
    def fails(state: MessagesState) -> Any:
        yield from PIECES
        raise ValueError("in the middle")

    async def afails(state: MessagesState) -> Any:
        for piece in PIECES:
            yield piece
        raise ValueError("in the middle")

    graph = graph_of(fails if name == "plain" else afails)
    parts: list[str] = []

    async def run() -> None:
        async for chunk, _ in graph.astream({"messages": []}, THREAD, stream_mode="messages"):
            parts.append(chunk.content)

    def run_sync() -> None:
        for chunk, _ in graph.stream({"messages": []}, THREAD, stream_mode="messages"):
            parts.append(chunk.content)

    with pytest.raises(ValueError, match="in the middle"):
        asyncio.run(run()) if colour == "async" else run_sync()
    assert parts == PIECES
    assert graph.get_state(THREAD).next == ("talk",)


def test_another_attempt_is_another_message():
    attempts = itertools.count()

    def fails_once(state: MessagesState) -> Any:
        yield "a piece"
        if next(attempts) == 0:
            raise ConnectionError

    graph = graph_of(fails_once, retry_policy=RetryPolicy(initial_interval=0.01, jitter=False))
    parts = told(graph, "sync", stream_mode="messages")
    assert [chunk.content for chunk, _ in parts] == ["a piece", "a piece", ""]
    assert parts[0][0].id != parts[1][0].id
    [message] = graph.get_state(THREAD).values["messages"]
    assert message.id == parts[1][0].id


class Source:
    """Makes pieces without end, and says how many, and whether it was told to stop."""

    def __init__(self, most: int = 5000) -> None:
        self.made = 0
        self.most = most
        self.is_closed = False

    def plain(self, state: MessagesState) -> Iterator[str]:
        try:
            while self.made < self.most:
                self.made += 1
                yield str(self.made)
        finally:
            self.is_closed = True

    async def coroutine(self, state: MessagesState) -> AsyncIterator[str]:
        try:
            while self.made < self.most:
                self.made += 1
                yield str(self.made)
        finally:
            self.is_closed = True


def settled(source: Source) -> int:
    """Return how many pieces were made, once no more are."""
    before = -1
    while before != source.made:
        before = source.made
        time.sleep(0.05)
    return before


def test_a_slow_reader_is_waited_for():
    source = Source()
    stream = graph_of(source.plain).stream({"messages": []}, THREAD, stream_mode="messages")
    for _ in range(3):
        next(stream)
    assert settled(source) <= MOST
    for _ in range(200):
        next(stream)
    assert 200 < settled(source) <= 203 + MOST
    assert len([*stream]) == source.most - 203 + 1
    assert source.made == source.most


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_slow_asynchronous_reader_is_waited_for(kind):
    source = Source()
    stream = graph_of(getattr(source, kind)).astream({"messages": []}, THREAD, stream_mode="messages")
    for _ in range(3):
        await anext(stream)
    await asyncio.sleep(0.1)
    assert source.made <= MOST
    assert len([part async for part in stream]) == source.most - 3 + 1


def test_nobody_waits_for_a_reader_who_does_not_listen():
    """`updates` are told at the end of the superstep: nothing is read before, so nothing can be waited for."""
    source = Source()
    assert len(list(graph_of(source.plain).stream({"messages": []}, THREAD, stream_mode=["updates"]))) == 1
    assert source.made == source.most


def test_a_stream_that_is_left_ends():
    source = Source()
    stream = graph_of(source.plain).stream({"messages": []}, THREAD, stream_mode="messages")
    next(stream)
    stream.close()  # a thread can't be stopped: it is let go on to its end
    assert source.is_closed


async def test_an_asynchronous_stream_that_is_left_ends():
    source = Source(most=10**9)
    stream = graph_of(source.coroutine).astream({"messages": []}, THREAD, stream_mode="messages")
    await anext(stream)
    await stream.aclose()
    assert source.is_closed
    assert source.made <= MOST


def test_graphs_within_are_waited_for_too():
    source = Source(most=500)
    inner = StateGraph(MessagesState).add_node("talk", source.plain).add_edge(START, "talk").compile()
    outer = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner").compile()
    stream = outer.stream({"messages": []}, stream_mode="messages", subgraphs=True)
    namespace, (chunk, metadata) = next(stream)
    assert namespace[0].startswith("inner:")
    assert (chunk.content, metadata["langgraph_node"]) == ("1", "talk")
    assert settled(source) <= MOST
    assert len([*stream]) == source.most


def test_as_a_projection():
    run = graph_of(plain).stream_events({"messages": []}, THREAD)
    [message] = list(run.messages)
    assert list(message.text) == PIECES
    assert message.output.content == "Hello you"
    assert run.output["messages"][0].content == "Hello you"


def test_each_piece_is_a_sign_of_life():
    async def slow(state: MessagesState) -> Any:
        for piece in PIECES:
            await asyncio.sleep(0.15)
            yield piece

    async def silent(state: MessagesState) -> Any:
        yield "a piece"
        await asyncio.sleep(5)

    policy = TimeoutPolicy(idle_timeout=0.4)
    assert asyncio.run(graph_of(slow, timeout=policy).ainvoke({"messages": []}, THREAD))["messages"]
    with pytest.raises(NodeTimeoutError, match="no sign of life"):
        asyncio.run(graph_of(silent, timeout=policy).ainvoke({"messages": []}, THREAD))


def test_an_asynchronous_generator_needs_an_asynchronous_call():
    with pytest.raises(NoSyncActionError, match="ainvoke"):
        graph_of(coroutine).invoke({"messages": []}, THREAD)


def test_a_pushed_message_needs_an_id():
    def pushes(state: MessagesState) -> Any:
        push_message({"role": "ai", "content": "now", "id": "1"})
        push_message(("ai", "no id"))

    with pytest.raises(InvalidUpdateError, match="with an id"):
        graph_of(pushes).invoke({"messages": []}, THREAD)


WITHOUT_LANGCHAIN = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "langchain_core":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from perdure.graph import START, MessagesState, StateGraph

def talk(state):
    yield "Hel"
    yield "lo"

graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
parts = list(graph.stream({"messages": []}, stream_mode="messages"))
assert [chunk["content"] for chunk, _ in parts] == ["Hel", "lo"], parts
[message] = graph.invoke({"messages": []})["messages"]
assert {**message, "id": "?"} == {"role": "assistant", "content": "Hello", "id": "?"}, message
run = graph.stream_events({"messages": []})
[streamed] = run.messages
assert list(streamed.text) == ["Hel", "lo"] and streamed.output["content"] == "Hello"
print("done")
"""


def test_without_langchain_pieces_are_dicts():
    done = subprocess.run([sys.executable, "-c", WITHOUT_LANGCHAIN], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
