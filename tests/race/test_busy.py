"""What a caller of a busy thread gets, by policy."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.race.graphs import THREAD, Gate, inputs_of, is_linear, one

from perdure.errors import GraphDrained, ThreadBusyError


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("way", ["call", "compile"])
def test_reject_fails_at_once_and_changes_nothing(saver, pool, way):
    gate = Gate(saver, **({"busy": "reject"} if way == "compile" else {}))
    running = pool.submit(gate.graph.invoke, one("in"), THREAD)
    assert gate.entered.wait(10)
    options = {"busy": "reject"} if way == "call" else {}
    with pytest.raises(ThreadBusyError, match="'t'"):
        gate.graph.invoke(one("rejected"), THREAD, **options)
    with pytest.raises(ThreadBusyError):
        list(gate.graph.stream(one("rejected"), THREAD, **options))
    gate.opened.set()
    assert running.result(10)["items"] == ["in", "wait", "after"]
    assert is_linear(gate.graph)
    assert gate.graph.invoke(one("later"), THREAD, **options)["items"][3:] == ["later", "wait", "after"]


async def test_reject_in_async_calls(saver):
    gate = Gate(saver)
    running = asyncio.create_task(gate.graph.ainvoke(one("in"), THREAD))
    await asyncio.to_thread(gate.entered.wait, 10)
    with pytest.raises(ThreadBusyError):
        await gate.graph.ainvoke(one("rejected"), THREAD, busy="reject")
    with pytest.raises(ThreadBusyError):
        _ = [chunk async for chunk in gate.graph.astream(one("rejected"), THREAD, busy="reject")]
    gate.opened.set()
    assert (await running)["items"] == ["in", "wait", "after"]


def test_wait_comes_after(saver, pool):
    gate = Gate(saver)
    running = pool.submit(gate.graph.invoke, one("in"), THREAD)
    assert gate.entered.wait(10)
    waiting = pool.submit(gate.graph.invoke, one("second"), THREAD, busy="wait")
    threading.Event().wait(0.1)
    assert not waiting.done()
    gate.opened.set()
    assert running.result(10)["items"] == ["in", "wait", "after"]
    assert waiting.result(10)["items"] == ["in", "wait", "after", "second", "wait", "after"]


def test_interrupt_stops_the_run_between_two_steps(saver, pool):
    gate = Gate(saver)
    running = pool.submit(gate.graph.invoke, one("in"), THREAD)
    assert gate.entered.wait(10)
    newcomer = pool.submit(gate.graph.invoke, one("urgent"), THREAD, busy="interrupt")
    threading.Event().wait(0.1)
    assert not newcomer.done()
    gate.opened.set()
    with pytest.raises(GraphDrained):
        running.result(10)
    assert newcomer.result(10)["items"] == ["in", "wait", "urgent", "wait", "after"]
    assert inputs_of(gate.graph).count("urgent") == 1
    assert is_linear(gate.graph)


async def test_interrupt_in_async_calls(saver):
    gate = Gate(saver)
    running = asyncio.create_task(gate.graph.ainvoke(one("in"), THREAD))
    await asyncio.to_thread(gate.entered.wait, 10)
    newcomer = asyncio.create_task(gate.graph.ainvoke(one("urgent"), THREAD, busy="interrupt"))
    await asyncio.sleep(0.1)
    gate.opened.set()
    with pytest.raises(GraphDrained):
        await running
    assert (await newcomer)["items"] == ["in", "wait", "urgent", "wait", "after"]


def test_a_run_that_was_interrupted_is_resumable(saver, pool):
    gate = Gate(saver)
    running = pool.submit(gate.graph.invoke, one("in"), THREAD)
    assert gate.entered.wait(10)
    # The newcomer resumes: it brings no input of its own.
    newcomer = pool.submit(gate.graph.invoke, None, THREAD, busy="interrupt")
    threading.Event().wait(0.1)
    gate.opened.set()
    with pytest.raises(GraphDrained):
        running.result(10)
    assert newcomer.result(10)["items"] == ["in", "wait", "after"]
    assert gate.ran == ["wait", "after"]


def test_an_unknown_policy_is_refused(saver):
    gate = Gate(saver)
    with pytest.raises(ValueError, match="busy"):
        gate.graph.invoke(one("in"), THREAD, busy="push in")
    with pytest.raises(ValueError, match="busy"):
        Gate(saver, busy="push in")


def test_reading_does_not_wait(saver, pool):
    gate = Gate(saver)
    running = pool.submit(gate.graph.invoke, one("in"), THREAD, durability="sync")
    assert gate.entered.wait(10)
    assert gate.graph.get_state(THREAD).next == ("wait",)
    assert [s.next for s in gate.graph.get_state_history(THREAD)] == [("wait",), ("__start__",)]
    gate.opened.set()
    running.result(10)


def test_an_update_by_hand_waits_its_turn(saver, pool):
    gate = Gate(saver)
    running = pool.submit(gate.graph.invoke, one("in"), THREAD)
    assert gate.entered.wait(10)
    update = pool.submit(gate.graph.update_state, THREAD, one("by hand"))
    threading.Event().wait(0.1)
    gate.opened.set()
    assert running.result(10)["items"] == ["in", "wait", "after"]
    update.result(10)
    assert gate.graph.get_state(THREAD).values["items"] == ["in", "wait", "after", "by hand"]
    assert is_linear(gate.graph)
