"""Plain functions under asynchronous callers: in threads, none behind another that blocks, and gone with their loop."""

import asyncio
import contextvars
import gc
import logging
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.race.graphs import State, one, two_steps

from perdure.checkpoint.memory import InMemorySaver
from perdure.graph import END, START, StateGraph
from perdure.pregel import crew
from perdure.types import RetryPolicy, Send

pytestmark = pytest.mark.timeout(30)


def of(node: Any, branch: Any = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("node", node, **options).add_edge(START, "node")
    if branch is not None:
        builder.add_conditional_edges("node", branch, [END])
    return builder.compile()


def fanned(node: Any, width: int) -> Any:
    builder = StateGraph(State).add_node("node", node)
    builder.add_conditional_edges(START, lambda _: [Send("node", one(i)) for i in range(width)], ["node"])
    return builder.compile()


async def many(graph: Any, count: int) -> list[Any]:
    return [out["items"] for out in await asyncio.gather(*(graph.ainvoke(one(n)) for n in range(count)))]


async def seen(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 20)


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("perdure-node")]


# -- side by side


@pytest.mark.parametrize("count", [2, crew.MOST])
async def test_nodes_that_block_run_side_by_side(count):
    meeting = threading.Barrier(count)

    def node(state: State) -> Any:
        meeting.wait(20)
        return one("met")

    assert await many(of(node), count) == [[n, "met"] for n in range(count)]
    assert (await fanned(node, count).ainvoke({"items": []}))["items"] == ["met"] * count


async def test_functions_that_wait_for_each_other_are_never_too_many():
    count = crew.MOST + 4
    meeting = threading.Barrier(count)

    def node(state: State) -> Any:
        meeting.wait(20)
        return one("met")

    assert await many(of(node), count) == [[n, "met"] for n in range(count)]


async def test_a_quick_node_does_not_wait_for_one_that_blocks():
    opened = threading.Event()

    def node(state: State) -> Any:
        if state["items"] == ["slow"]:
            assert opened.wait(20)
        return {"items": []}

    graph = of(node)
    slow = asyncio.create_task(graph.ainvoke(one("slow")))
    for n in range(50):
        assert (await graph.ainvoke(one(n)))["items"] == [n]
    await asyncio.gather(*(graph.ainvoke(one(n)) for n in range(50)))
    assert not slow.done()
    opened.set()
    assert (await slow)["items"] == ["slow"]


async def test_a_quick_node_handed_over_beside_one_that_blocks_does_not_wait_for_it():
    opened = threading.Event()

    def node(state: State) -> Any:
        if state["items"] == ["slow"]:
            assert opened.wait(20)
        return {"items": []}

    graph = of(node)
    runs = [asyncio.create_task(graph.ainvoke(one(item))) for item in ("before", "slow", "after", "last")]
    before, slow, after, last = runs
    await asyncio.gather(before, after, last)
    assert not slow.done()
    opened.set()
    await slow


async def test_quick_functions_share_a_thread_also_beside_one_that_blocks(monkeypatch):
    monkeypatch.setattr(crew, "PATIENCE", 0.2)
    opened, before = threading.Event(), set(threads())
    slow = asyncio.create_task(crew.in_thread(opened.wait, 20))
    await asyncio.sleep(0.5)  # it is known to block
    await asyncio.gather(*(crew.in_thread(time.sleep, 0.002) for _ in range(10)))
    assert len(set(threads()) - before) == 2
    opened.set()
    assert await slow


async def test_max_concurrency_is_obeyed():
    lock, now, most = threading.Lock(), 0, 0

    def node(state: State) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        return one(most)

    await fanned(node, 12).ainvoke({"items": []}, {"max_concurrency": 3})
    assert most == 3


async def test_the_loop_goes_on_meanwhile():
    entered, opened = threading.Event(), threading.Event()

    def node(state: State) -> Any:
        entered.set()
        assert opened.wait(20)
        return one("done")

    run = asyncio.create_task(of(node).ainvoke({"items": []}))
    await seen(entered)
    opened.set()
    assert (await run)["items"] == ["done"]


# -- outcomes


class Odd(BaseException):
    pass


@pytest.mark.parametrize("kind", [ValueError, Odd, asyncio.CancelledError, TimeoutError])
async def test_what_a_node_raises_reaches_the_caller(kind):
    def node(state: State) -> Any:
        raise kind("mine")

    with pytest.raises((kind, Exception)) as failure:
        await of(node).ainvoke({"items": []})
    root = failure.value if isinstance(failure.value, kind) else failure.value.__cause__
    assert isinstance(root, kind)
    assert str(root) == "mine"


async def test_stop_iteration_reaches_the_caller():
    def node(state: State) -> Any:
        raise StopIteration("mine")

    with pytest.raises(RuntimeError, match="raised StopIteration") as failure:
        await of(node).ainvoke({"items": []})
    assert isinstance(failure.value.__cause__, StopIteration)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_reaches_its_caller(kind):
    def node(state: State) -> Any:
        raise kind

    with pytest.raises(kind):
        asyncio.run(of(node).ainvoke({"items": []}))


async def test_a_failed_attempt_is_repeated():
    attempts = []

    def node(state: State) -> Any:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError
        return one("done")

    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    assert (await of(node, retry_policy=policy).ainvoke({"items": []}))["items"] == ["done"]


async def test_what_a_function_raised_is_let_go():
    class Large:
        pass

    def function() -> None:
        large = Large()
        known.append(weakref.ref(large))
        raise ValueError

    known: list[Any] = []
    with pytest.raises(ValueError):
        await crew.in_thread(function)
    gc.disable()
    try:
        for _ in range(1000):
            if known[0]() is None:
                return
            await asyncio.sleep(0.001)  # the worker may still be leaving
    finally:
        gc.enable()
    raise AssertionError("kept by a cycle, or by an idle thread")


async def test_an_awaitable_that_a_plain_function_returns_is_awaited_on_the_loop():
    here = threading.get_ident()

    async def later() -> Any:
        await asyncio.sleep(0)
        return one(threading.get_ident() == here)

    assert (await of(lambda state: later()).ainvoke({"items": []}))["items"] == [True]


# -- context

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


async def test_each_node_has_the_callers_context_and_keeps_its_own():
    def node(state: State) -> Any:
        seen = where.get()
        where.set(f"node of {seen}")
        return one(seen)

    def branch(state: State) -> str:
        assert where.get() == f"node of {state['items'][-1]}"  # they share a thread, and its context
        return END

    async def caller(n: int) -> Any:
        where.set(f"caller {n}")
        out = await of(node, branch).ainvoke({"items": []})
        assert where.get() == f"caller {n}"
        return out["items"]

    assert await asyncio.gather(*(caller(n) for n in range(20))) == [[f"caller {n}"] for n in range(20)]
    assert where.get() == "nowhere"


# -- cancellation


async def test_a_cancelled_caller_goes_at_once_and_the_thread_ends_later():
    entered, opened, ended = threading.Event(), threading.Event(), threading.Event()

    def node(state: State) -> Any:
        entered.set()
        assert opened.wait(20)
        ended.set()
        return one("unseen")

    run = asyncio.create_task(of(node).ainvoke({"items": []}))
    await seen(entered)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not ended.is_set()
    opened.set()
    await asyncio.to_thread(ended.wait, 20)
    assert ended.is_set()


async def test_what_nobody_has_begun_when_its_caller_goes_is_left_out(monkeypatch):
    monkeypatch.setattr(crew, "PATIENCE", 20)
    ran, opened = [], threading.Event()
    first = asyncio.create_task(crew.in_thread(opened.wait, 20))
    others = [asyncio.create_task(crew.in_thread(ran.append, n)) for n in range(100)]
    await asyncio.sleep(0)  # all are queued up, behind the first
    for job in others[:50]:
        job.cancel()
    await asyncio.wait(others[:50])
    opened.set()
    assert await first
    await asyncio.gather(*others[50:])
    assert ran == list(range(50, 100))


def test_asyncio_run_ends_after_the_functions_it_has_left():
    entered, ended = threading.Event(), threading.Event()

    def node(state: State) -> Any:
        entered.set()
        time.sleep(0.2)
        ended.set()
        return one("unseen")

    async def main() -> None:
        run = asyncio.create_task(of(node).ainvoke({"items": []}))
        await seen(entered)
        run.cancel()

    asyncio.run(main())
    assert ended.is_set()


# -- loops


def test_debug_mode_has_nothing_to_say(caplog):
    with caplog.at_level(logging.WARNING, "asyncio"):
        out = asyncio.run(many(of(lambda state: one("done")), 20), debug=True)
    assert out == [[n, "done"] for n in range(20)]
    assert [r.message for r in caplog.records if "took" not in r.message] == []


def test_several_loops_in_several_threads():
    saver = InMemorySaver()
    graph = two_steps(saver, 0.001)

    async def runs(loop: int) -> list[int]:
        configs = [{"configurable": {"thread_id": f"{loop} {n}"}} for n in range(10)]
        return [len(out["items"]) for out in await asyncio.gather(*(graph.ainvoke(one(1), c) for c in configs))]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: asyncio.run(runs(n)), range(8))) == [[3] * 10] * 8


def ended(before: set[threading.Thread]) -> bool:
    """Wait for the threads that are none of those before."""
    for _ in range(50):
        gc.collect()  # what the last thread has let go may be part of a circle
        if not set(threads()) - before:
            return True
        time.sleep(0.05)
    return False


def test_threads_end_with_their_loop():
    before = set(threads())
    graph = of(lambda state: one("done"))
    for _ in range(30):
        asyncio.run(many(graph, 3))
    assert ended(before)


@pytest.mark.parametrize("is_told", [False, True])
def test_a_loop_that_is_closed_amid_a_run(is_told):
    before = set(threads())
    entered, opened = threading.Event(), threading.Event()

    def node(state: State) -> Any:
        entered.set()
        assert opened.wait(20)
        return one("unseen")

    loop = asyncio.new_event_loop()
    run = loop.create_task(of(node).ainvoke({"items": []}))
    loop.run_until_complete(seen(entered))
    run.cancel()
    loop.run_until_complete(asyncio.wait([run]))
    loop.run_until_complete(loop.shutdown_asyncgens())
    if is_told:  # of the end of the node, but not run again
        opened.set()
        while not loop._ready:
            time.sleep(0.001)
    loop.close()
    opened.set()
    closed = weakref.ref(loop)
    del loop, run
    assert asyncio.run(many(of(lambda state: one("done")), 3)) == [[n, "done"] for n in range(3)]
    assert ended(before)
    assert closed() is None


# -- graphs called from plain nodes


@pytest.mark.parametrize("count", [3, 40])
async def test_nodes_that_wait_for_runs_on_their_own_loop(count):
    loop = asyncio.get_running_loop()
    inner = of(lambda state: one("inner"))

    def node(state: State) -> Any:
        return one(asyncio.run_coroutine_threadsafe(inner.ainvoke({"items": []}), loop).result(20)["items"])

    assert await many(of(node), count) == [[n, ["inner"]] for n in range(count)]


async def test_nodes_that_call_graphs_of_plain_nodes():
    inner = fanned(lambda state: one("inner"), 3)

    def here(state: State) -> Any:
        return one(inner.invoke({"items": []})["items"])

    def in_a_loop_of_its_own(state: State) -> Any:
        return one(asyncio.run(inner.ainvoke({"items": []}))["items"])

    for node in (here, in_a_loop_of_its_own):
        assert await many(of(node), 10) == [[n, ["inner"] * 3] for n in range(10)]


# -- the end of the interpreter

LEFT = """
    import asyncio, threading, time
    from perdure.graph import START, StateGraph

    entered = threading.Event()

    def node(state: dict) -> dict:
        entered.set()
        time.sleep(0.3)
        print("ended")
        return {}

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()

    async def main():
        run = asyncio.create_task(graph.ainvoke({"a": 1}))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        run.cancel()
        await asyncio.wait([run])
"""


@pytest.mark.parametrize(
    "end",
    [
        "asyncio.run(main())",
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()",
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close(); del loop",
    ],
)
def test_the_interpreter_waits_for_functions_and_for_nothing_else(end):
    program = textwrap.dedent(LEFT) + end
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_idle_threads_do_not_keep_the_interpreter():
    program = textwrap.dedent(LEFT).replace("time.sleep(0.3)", "pass") + textwrap.dedent("""
        loop = asyncio.new_event_loop()
        loop.run_until_complete(graph.ainvoke({"a": 1}))
        loop.close()
    """)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")
