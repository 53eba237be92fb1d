"""Streams that nobody reads to the end, and calls that are cancelled, give their turn back."""

import asyncio
import contextlib
import gc
import random
import threading
import time

import pytest
from tests.race.graphs import THREAD, State, is_linear, one, two_steps

from perdure.checkpoint.sqlite import SqliteSaver
from perdure.graph import START, StateGraph

QUICKLY = 5.0  # seconds; without the turn given back, a lease holds the thread for ten


class Ran(list):
    """The nodes that have run."""


def slow(saver, seconds):
    """Return a graph of asynchronous nodes, which can be cancelled anywhere."""
    ran = Ran()

    def node(name):
        async def run(state: State):
            ran.append(name)
            await asyncio.sleep(seconds)
            return {"items": [name]}

        return run

    builder = StateGraph(State)
    names = ("a", "b", "c")
    for name in names:
        builder.add_node(name, node(name))
    for first, second in zip((START, *names), names, strict=False):
        builder.add_edge(first, second)
    return builder.compile(checkpointer=saver), ran


@pytest.mark.timeout(30)
@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_stream_that_is_closed(saver, chunks):
    graph = two_steps(saver)
    stream = graph.stream(one("abandoned"), THREAD)
    for _ in range(chunks):
        next(stream)
    stream.close()
    check_goes_on(graph)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_stream_that_is_garbage(saver, chunks):
    graph = two_steps(saver)
    stream = graph.stream(one("abandoned"), THREAD)
    for _ in range(chunks):
        next(stream)
    del stream
    gc.collect()
    check_goes_on(graph)


def check_goes_on(graph):
    result = graph.invoke(one("next"), THREAD)
    assert "next" in result["items"]
    assert graph.get_state(THREAD).next == ()
    assert is_linear(graph)


@pytest.mark.parametrize("way", ["close", "garbage", "break"])
@pytest.mark.timeout(30)
async def test_an_async_stream(saver, way):
    graph, _ = slow(saver, 0.01)
    stream = graph.astream(one("abandoned"), THREAD)
    await anext(stream)
    if way == "close":
        await stream.aclose()
    elif way == "break":
        async for _ in stream:
            break
    del stream
    gc.collect()
    await asyncio.sleep(0)
    async with asyncio.timeout(QUICKLY):
        result = await graph.ainvoke(one("next"), THREAD)
    assert result["items"][-4:] == ["next", "a", "b", "c"]
    assert is_linear(graph)


@pytest.mark.timeout(30)
async def test_an_async_stream_never_started(saver):
    graph, ran = slow(saver, 0.01)
    stream = graph.astream(one("abandoned"), THREAD)
    del stream
    gc.collect()
    async with asyncio.timeout(QUICKLY):
        assert (await graph.ainvoke(one("next"), THREAD))["items"] == ["next", "a", "b", "c"]
    assert ran == ["a", "b", "c"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_cancelled_call(saver, durability):
    """Cancel at many moments: the thread is free at once, readable, and no finished node runs again."""
    chance = random.Random(7)
    for attempt in range(25):
        graph, ran = slow(saver, 0.004)
        config = {"configurable": {"thread_id": f"cancelled {attempt}"}}
        call = asyncio.create_task(graph.ainvoke(one("in"), config, durability=durability))
        await asyncio.sleep(chance.uniform(0, 0.03))
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        state = await graph.aget_state(config)
        finished = state.values.get("items", [])[1:]
        async with asyncio.timeout(QUICKLY):
            result = await graph.ainvoke(None if state.values or state.next else one("in"), config)
        assert result["items"] == ["in", "a", "b", "c"]
        for name in finished:
            assert ran.count(name) == 1


@pytest.mark.timeout(30)
async def test_a_cancelled_caller_in_the_queue(saver):
    graph, _ = slow(saver, 0.05)
    running = asyncio.create_task(graph.ainvoke(one("in"), THREAD))
    await asyncio.sleep(0.02)
    waiting = [asyncio.create_task(graph.ainvoke(one(f"waiting {n}"), THREAD)) for n in range(3)]
    await asyncio.sleep(0.02)
    waiting[1].cancel()
    done = await asyncio.wait_for(asyncio.gather(running, *waiting, return_exceptions=True), 10)
    assert isinstance(done[2], asyncio.CancelledError)
    items = (await graph.aget_state(THREAD)).values["items"]
    assert [item for item in items if item.startswith("waiting")] == ["waiting 0", "waiting 2"]
    assert is_linear(graph)


@pytest.mark.timeout(30)
async def test_a_call_that_times_out(saver):
    graph, ran = slow(saver, 0.2)

    async def call():
        async with asyncio.timeout(4 * QUICKLY) as clock:
            ran.append = lambda name: list.append(ran, name) or (name == "b" and clock.reschedule(0))
            await graph.ainvoke(one("in"), THREAD)

    with pytest.raises(TimeoutError):
        await call()
    del ran.append
    assert (await graph.aget_state(THREAD)).next == ("b",)
    async with asyncio.timeout(QUICKLY):
        assert (await graph.ainvoke(None, THREAD))["items"] == ["in", "a", "b", "c"]


@pytest.mark.timeout(60)
def test_a_loop_that_ends_with_callers_in_the_queue(saver):
    """A caller whose event loop is gone doesn't keep the turn from those behind it."""
    graph, _ = slow(saver, 0.05)

    async def leave_early():
        running = asyncio.create_task(graph.ainvoke(one("in"), THREAD))
        await asyncio.sleep(0.02)
        waiting = asyncio.create_task(graph.ainvoke(one("waiting"), THREAD))
        await asyncio.sleep(0.02)
        return running, waiting  # asyncio.run cancels both

    asyncio.run(leave_early())
    result = asyncio.run(asyncio.wait_for(graph.ainvoke(one("next"), THREAD), QUICKLY))
    assert result["items"][-4:] == ["next", "a", "b", "c"]


class SlowlyAcquiring(SqliteSaver):
    """Takes leases in a thread, which goes on whatever becomes of the caller."""

    async def aacquire(self, thread_id, holder, ttl):
        loop = asyncio.get_running_loop()
        taken = loop.create_future()

        def take():
            time.sleep(0.05)
            lease = self.acquire(thread_id, holder, ttl)
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(taken.set_result, lease)

        threading.Thread(target=take).start()
        return await taken


def test_a_lease_that_is_taken_when_its_caller_has_gone_is_released(tmp_path):
    with SlowlyAcquiring.from_conn_string(str(tmp_path / "x.db")) as saver:
        graph, _ = slow(saver, 0.0)

        async def leave_early():
            task = asyncio.create_task(graph.ainvoke(one("gone"), THREAD))
            await asyncio.sleep(0.02)
            return task  # asyncio.run cancels it, and the attempt within

        asyncio.run(leave_early())
        time.sleep(0.1)  # now the lease is taken, for nobody
        with SqliteSaver.from_conn_string(str(tmp_path / "x.db")) as other:
            result = asyncio.run(asyncio.wait_for(slow(other, 0.0)[0].ainvoke(one("next"), THREAD), QUICKLY))
        assert result["items"][-4:] == ["next", "a", "b", "c"]
