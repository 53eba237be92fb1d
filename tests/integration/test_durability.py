"""What each durability promises: how many commits, how far the storage may lag, where its failures show."""

import asyncio
import operator
import threading
import time
from typing import Annotated, TypedDict

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import SerializationError, TransientStorageError
from perdure.graph import END, START, StateGraph
from perdure.pregel.driver import MAX_LAG


class State(TypedDict):
    items: Annotated[list, operator.add]


class Slow(InMemorySaver):
    """A saver that does I/O, as far as the engine knows; counts, waits and fails on demand."""

    inline = False

    def __init__(self, *, delay=0.0, fail_at=None):
        super().__init__()
        self.delay, self.fail_at = delay, fail_at
        self.prepared = self.committed = self.calls = self.most = 0
        self.lock = threading.Lock()

    def prepare(self, commit):
        with self.lock:
            self.prepared += 1
            self.most = max(self.most, self.prepared - self.committed)
        return super().prepare(commit)

    def commit(self, prepared):
        time.sleep(self.delay)
        self.calls += 1
        if self.fail_at is not None and self.calls >= self.fail_at:
            raise TransientStorageError("the disk is full")
        stop = super().commit(prepared)
        with self.lock:
            self.committed += len(prepared)
        return stop

    async def acommit(self, prepared):
        return await asyncio.to_thread(self.commit, prepared)


def loop_of(steps, saver, node=lambda state: {"items": [1]}):
    builder = StateGraph(State).add_node("step", node).add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if len(state["items"]) < steps else END)
    return builder.compile(checkpointer=saver)


def slow_step(state):
    time.sleep(0.01)
    return {"items": [1]}


async def call(colour, graph, value, config, **options):
    if colour == "sync":
        return graph.invoke(value, config, **options)
    return await graph.ainvoke(value, config, **options)


CONFIG = {"configurable": {"thread_id": "t"}}
COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])


@COLOURS
async def test_sync_is_one_commit_a_superstep(colour):
    saver = Slow()
    await call(colour, loop_of(5, saver), {"items": []}, CONFIG, durability="sync")
    assert saver.calls == 6  # the input with the step that applies it, five steps
    assert saver.most == 2


@COLOURS
async def test_async_lags_but_never_more_than_the_limit(colour):
    saver = Slow(delay=0.02)
    steps = MAX_LAG * 2 + 20
    await call(colour, loop_of(steps, saver), {"items": []}, CONFIG, durability="async")
    assert saver.committed == saver.prepared == steps + 2, "all is durable when the call returns"
    assert 2 < saver.most <= MAX_LAG + 1
    assert saver.calls < steps, "commits that wait are made together"


@COLOURS
async def test_exit_is_one_commit(colour):
    saver = Slow()
    await call(colour, loop_of(5, saver), {"items": []}, CONFIG, durability="exit")
    assert saver.calls == 1
    assert len(list(saver.list(CONFIG))) == 1


@COLOURS
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_failing_storage_fails_the_run(colour, durability):
    saver = Slow(fail_at={"sync": 3, "async": 2, "exit": 1}[durability])
    with pytest.raises(TransientStorageError, match="the disk is full"):
        await call(colour, loop_of(5, saver, slow_step), {"items": []}, CONFIG, durability=durability)
    saver.fail_at = None
    graph = loop_of(5, saver)
    if durability != "exit":
        assert (await call(colour, graph, None, CONFIG))["items"] == [1] * 5


@COLOURS
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_value_that_cannot_be_stored_names_node_channel_and_path(colour, durability):
    saver = InMemorySaver()

    def bad(state):
        return {"items": [{"good": 1, "bad": threading.Lock()}] if len(state["items"]) == 2 else [1]}

    graph = loop_of(5, saver, bad)
    with pytest.raises(SerializationError, match=r"node 'step'.*'items'") as error:
        await call(colour, graph, {"items": []}, CONFIG, durability=durability)
    assert (error.value.node, error.value.channel) == ("step", "items")
    assert "bad" in error.value.path
    if durability != "exit":
        assert graph.get_state(CONFIG).values == {"items": [1, 1]}
        assert graph.get_state(CONFIG).next == ("step",)


@COLOURS
async def test_of_parallel_tasks_only_the_one_that_cannot_be_stored_fails(colour):
    saver = InMemorySaver()
    ran = []

    def good(state):
        ran.append("good")
        return {"items": ["good"]}

    def bad(state):
        ran.append("bad")
        return {"items": [threading.Lock() if ran.count("bad") == 1 else "bad"]}

    builder = StateGraph(State).add_node("good", good).add_node("bad", bad)
    graph = builder.add_edge(START, "good").add_edge(START, "bad").compile(checkpointer=saver)
    with pytest.raises(SerializationError, match="node 'bad'"):
        await call(colour, graph, {"items": []}, CONFIG)
    assert graph.get_state(CONFIG).next == ("bad",)
    assert await call(colour, graph, None, CONFIG) == {"items": ["bad", "good"]}
    assert ran.count("good") == 1


class Logging(Slow):
    """Is slow with the commits of the root graph; tells the order in which commits became durable."""

    def __init__(self):
        super().__init__()
        self.log = []

    def commit(self, prepared):
        self.delay = 0 if prepared[0].checkpoint_ns else 0.1
        stop = super().commit(prepared)
        self.log += ["inner" if one.checkpoint_ns else "root" for one in prepared]
        return stop


def calling(inner, calls):
    builder = StateGraph(State).add_node("first", lambda state: {"items": ["first"]}).add_node("inner", calls)
    builder.add_edge(START, "first").add_edge("first", "inner")
    assert inner.checkpointer is None
    return builder


@pytest.mark.parametrize("called", ["sync", "async"])
@pytest.mark.parametrize("colour", ["sync", "async"])
async def test_async_stores_nothing_of_a_called_graph_before_what_it_was_called_from(colour, called):
    inner = StateGraph(State).add_node("x", lambda state: {"items": ["x"]}).add_edge(START, "x").compile()

    def sync_call(state):
        if called == "sync":
            return {"items": inner.invoke({"items": []})["items"]}
        return {"items": asyncio.run(inner.ainvoke({"items": []}))["items"]}

    async def async_call(state):
        return {"items": (await inner.ainvoke({"items": []}))["items"]}

    saver = Logging()
    # A plain function of an asynchronous run is called in a thread: the two colours meet.
    node = async_call if (colour, called) == ("async", "async") else sync_call
    graph = calling(inner, node).compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "t"}}
    if colour == "sync":
        result = await asyncio.to_thread(graph.invoke, {"items": []}, config, durability="async")
    else:
        result = await graph.ainvoke({"items": []}, config, durability="async")
    assert result["items"] == ["first", "x"]
    begun = saver.log.index("inner")
    assert saver.log[:begun] == ["root"] * 3  # the input, START and `first`
