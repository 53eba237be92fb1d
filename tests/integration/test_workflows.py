"""Workflows, tasks and steps on every saver: what was returned is never asked for again."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.errors import PerdureError, SerializationError, UsageError
from perdure.func import entrypoint, task
from perdure.graph import START, StateGraph
from perdure.runtime import Runtime
from perdure.types import Command, RetryPolicy, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}
AGAIN = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=OSError)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Invoke a graph in either colour."""
    if request.param == "sync":
        return lambda graph, *args, **kwargs: graph.invoke(*args, **kwargs)
    return lambda graph, *args, **kwargs: asyncio.run(graph.ainvoke(*args, **kwargs))


class Counter:
    """Counts calls by label; safe from any thread."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, label: str) -> int:
        with self.lock:
            self.calls.append(label)
            return self.calls.count(label)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_failed_workflow_goes_on_where_it_was(saver, call, durability):
    ran = Counter()

    @task
    def work(label: str) -> str:
        ran(label)
        return label

    @entrypoint(checkpointer=saver)
    def flow(value: int) -> list[str]:
        done = [future.result() for future in [work(f"a{n}") for n in range(value)]]
        if ran("flow") == 1:
            raise ValueError("the first time")
        return [*done, work("b").result()]

    with pytest.raises(ValueError, match="the first time"):
        call(flow, 3, THREAD, durability=durability)
    assert call(flow, None, THREAD, durability=durability) == ["a0", "a1", "a2", "b"]
    assert sorted(ran.calls) == ["a0", "a1", "a2", "b", "flow", "flow"]


def test_a_retried_workflow_does_not_repeat_what_its_tasks_did(saver, call):
    ran = Counter()

    @task
    def work(value: int) -> int:
        ran("work")
        return value

    @entrypoint(checkpointer=saver, retry_policy=AGAIN)
    def flow(value: int) -> int:
        result = work(value).result()
        if ran("flow") < 3:
            raise OSError("not yet")
        return result

    assert call(flow, 7, THREAD) == 7
    assert ran.calls == ["work", "flow", "flow", "flow"]


class State(TypedDict):
    items: Annotated[list, lambda a, b: a + b]


def one_node(node, saver, **options) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node, **options)
    builder.add_edge(START, "node")
    return builder.compile(checkpointer=saver)


def test_steps_are_done_once_over_questions_retries_and_failures(saver, call):
    ran = Counter()

    def node(state: State, runtime: Runtime) -> dict[str, Any]:
        first = runtime.step("first", lambda x, y: ran("first") + x + y, 10, y=100)
        if ran("node") == 1:
            raise OSError("retry")
        answer = runtime.step("ask", lambda: interrupt("why?"))
        if len(ran.calls) == 4:
            raise ValueError("fail")
        return {"items": [first, answer, runtime.step("last", ran, "last")]}

    graph = one_node(node, saver, retry_policy=AGAIN)
    asked = call(graph, {"items": []}, THREAD)
    assert [i.value for i in asked["__interrupt__"]] == ["why?"]
    with pytest.raises(ValueError, match="fail"):
        call(graph, Command(resume="so"), THREAD)  # the answer is used, and kept
    assert call(graph, None, THREAD)["items"] == [111, "so", 1]
    assert ran.calls == ["first", "node", "node", "node", "node", "last"]


async def test_steps_of_coroutines(saver):
    ran = Counter()

    async def slow(label: str) -> str:
        await asyncio.sleep(0)
        return f"{label}{ran(label)}"

    async def node(state: State, runtime: Runtime) -> dict[str, Any]:
        both = [await runtime.astep("a", slow, "a"), await runtime.astep("b", ran, "b")]
        return {"items": [both, interrupt("?")]}

    graph = one_node(node, saver)
    await graph.ainvoke({"items": []}, THREAD)
    assert (await graph.ainvoke(Command(resume="!"), THREAD))["items"] == [["a1", 1], "!"]
    assert ran.calls == ["a", "b"]


def test_a_key_names_one_step_of_a_task(saver):
    def node(state: State, runtime: Runtime) -> dict[str, Any]:
        runtime.step("key", lambda: 1)
        runtime.step("key", lambda: 2)
        return {}

    with pytest.raises(UsageError, match="'key' of node 'node' was asked for twice") as failure:
        one_node(node, saver).invoke({"items": []}, THREAD)
    assert "key of its own" in str(failure.value)


def test_the_same_key_in_another_superstep_is_another_step(saver):
    ran = Counter()

    def node(state: State, runtime: Runtime) -> dict[str, Any]:
        return {"items": [runtime.step("key", ran, "step")]}

    graph = one_node(node, saver)
    graph.invoke({"items": []}, THREAD)
    assert graph.invoke({"items": []}, THREAD)["items"] == [1, 2]


def test_idempotency_keys_stay_over_attempts_and_differ_between_tasks(saver):
    seen: list[tuple[str, str]] = []

    def node(state: State, runtime: Runtime) -> dict[str, Any]:
        seen.append((runtime.idempotency_key(), runtime.idempotency_key("other")))
        if len(seen) == 1:
            raise OSError("retry")
        if len(seen) == 2:
            interrupt("why?")
        return {"items": [1]}

    graph = one_node(node, saver, retry_policy=AGAIN)
    graph.invoke({"items": []}, THREAD)
    graph.invoke(Command(resume="x"), THREAD)
    assert len(set(seen)) == 1
    graph.invoke({"items": []}, THREAD)
    assert len(set(seen)) == 2
    assert len({key for pair in seen for key in pair}) == 4


def test_a_result_that_cannot_be_stored_is_told_to_the_caller(saver, call):
    @task
    def lock() -> Any:
        return threading.Lock()

    @entrypoint(checkpointer=saver)
    def flow(value: int) -> int:
        lock().result()
        return value

    with pytest.raises(SerializationError, match="node 'lock' wrote what can't be stored"):
        call(flow, 1, THREAD)
    assert flow.get_state(THREAD).next == ("flow",)


def test_a_workflow_ends_when_all_it_began_has_ended(saver, call):
    ran = Counter()

    @task
    def slow() -> None:
        time.sleep(0.05)
        ran("slow")

    @entrypoint(checkpointer=saver)
    def flow(value: int) -> int:
        slow()
        return value

    assert call(flow, 1, THREAD) == 1
    assert ran.calls == ["slow"]


async def test_a_cancelled_workflow_cancels_its_calls(saver):
    begun, ended = asyncio.Event(), []

    @task
    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    @entrypoint(checkpointer=saver)
    async def flow(value: int) -> None:
        await slow()

    running = asyncio.create_task(flow.ainvoke(1, THREAD))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["slow"]
    assert (await flow.aget_state(THREAD)).next == ("flow",)


def test_questions_of_calls_side_by_side_are_asked_together(saver, call):
    @task
    def ask(what: str) -> Any:
        time.sleep(0.01)
        return interrupt(what)

    @entrypoint(checkpointer=saver)
    def flow(value: int) -> list[Any]:
        return [future.result() for future in [ask(f"q{n}") for n in range(value)]]

    asked = call(flow, 3, THREAD)["__interrupt__"]
    assert [i.value for i in asked] == ["q0", "q1", "q2"]
    assert call(flow, Command(resume={i.id: f"a{i.value}" for i in asked}), THREAD) == ["aq0", "aq1", "aq2"]


def test_max_concurrency_holds_for_calls():
    now, most, lock = 0, 0, threading.Lock()

    @task
    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    @entrypoint()
    def flow(value: int) -> None:
        for future in [work() for _ in range(value)]:
            future.result()

    flow.invoke(12, {"max_concurrency": 3})
    assert most == 3


def test_many_workflows_at_once(saver):
    @task
    def double(value: int) -> int:
        return 2 * value

    @entrypoint(checkpointer=saver)
    def flow(value: int) -> int:
        return sum(future.result() for future in [double(value + n) for n in range(4)])

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: flow.invoke(n, {"configurable": {"thread_id": str(n)}}), range(16)))
    assert results == [8 * n + 12 for n in range(16)]


def test_a_stream_tells_of_calls_while_the_workflow_runs():
    go_on = threading.Event()

    @task
    def quick() -> str:
        return "quick"

    @entrypoint(checkpointer=InMemorySaver())
    def flow(value: int) -> int:
        quick().result()
        assert go_on.wait(10)
        return value

    events = flow.stream(1, THREAD)
    assert next(events) == {"quick": "quick"}
    go_on.set()
    assert list(events) == [{"flow": 1}]


def test_a_stream_tells_of_nodes_not_of_their_steps():
    def node(state: State, runtime: Runtime) -> dict[str, Any]:
        return {"items": [runtime.step("step", lambda: 1)]}

    graph = one_node(node, InMemorySaver())
    events = list(graph.stream({"items": []}, THREAD, stream_mode=["updates", "tasks"]))
    assert {name for mode, payload in events if mode == "updates" for name in payload} == {"node"}
    assert {payload["name"] for mode, payload in events if mode == "tasks"} == {"node"}


def test_mistakes_are_told():
    @task
    def work() -> None: ...

    with pytest.raises(UsageError, match="the task 'work' was called outside"):
        work()
    with pytest.raises(PerdureError, match="takes no input"):

        @entrypoint()
        def nothing() -> None: ...

    with pytest.raises(NotImplementedError, match="is a generator function"):

        @task
        def many():
            yield 1

    @task
    async def coroutine() -> None: ...

    @entrypoint()
    def flow(value: int) -> None:
        coroutine().result()

    with pytest.raises(UsageError, match="'coroutine' is a coroutine function") as failure:
        flow.invoke(1)
    assert "ainvoke" in str(failure.value)


def test_the_types_of_a_workflow_are_read_back(tmp_path):
    import dataclasses

    @dataclasses.dataclass
    class Order:
        n: int

    globals()["Order"] = Order
    with open_saver(f"sqlite:///{tmp_path / 'x.db'}") as saver:

        @entrypoint(checkpointer=saver)
        def flow(order: Order) -> Order:
            return Order(order.n + 1)

        assert flow.invoke(Order(1), THREAD) == Order(2)
        assert flow.get_state(THREAD).values == Order(2)


def test_a_workflow_is_drawn_and_described():
    @entrypoint()
    def flow(value: int) -> str:
        """Say it."""
        return str(value)

    assert "flow" in flow.get_graph().draw_mermaid()
    assert [flow.get_input_jsonschema()["type"], flow.get_output_jsonschema()["type"]] == ["integer", "string"]
    assert (flow.name, flow.__doc__) == ("flow", "Say it.")

    @entrypoint()
    def counting(value: int) -> entrypoint.final[str, int]:
        return entrypoint.final(value=str(value), save=value)

    assert counting.invoke(3) == "3"
    assert counting.get_output_jsonschema()["type"] == "string"


def test_a_step_is_not_durable_before_the_checkpoint_that_it_belongs_to():
    """With durability `async` it must not overtake the commits behind the run's back: nobody would find it again."""
    order: list[str] = []

    class Slow(InMemorySaver):
        inline = False

        def commit(self, prepared):
            has_checkpoint = any(one.checkpoint_id is not None for one in prepared)
            if has_checkpoint:
                time.sleep(0.05)
            order.append("checkpoint" if has_checkpoint else "step")
            return super().commit(prepared)

    def node(state, runtime: Runtime):
        runtime.step("s", lambda: 1)

    async def coroutine(state, runtime: Runtime):
        await runtime.astep("s", lambda: 1)

    for run, made in (("invoke", node), ("ainvoke", coroutine)):
        order.clear()
        builder = StateGraph(dict).add_node("first", lambda state: None).add_node("second", made)
        graph = builder.add_edge(START, "first").add_edge("first", "second").compile(checkpointer=Slow())
        found = getattr(graph, run)({"x": 1}, {"configurable": {"thread_id": "t"}}, durability="async")
        if run == "ainvoke":
            asyncio.run(found)
        assert [order[0], *order[-2:]] == ["checkpoint", "step", "checkpoint"]
