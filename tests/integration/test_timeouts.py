"""Time limits of coroutine nodes: of an attempt, and of its silence."""

import asyncio
import operator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.config import get_stream_writer
from perdure.errors import NodeTimeoutError
from perdure.func import entrypoint, task
from perdure.graph import START, StateGraph
from perdure.runtime import Runtime
from perdure.types import RetryPolicy, TimeoutPolicy

SILENCE = 0.3


class State(TypedDict):
    items: Annotated[list, operator.add]


async def run(node: Any, policy: Any, **options: Any) -> list[Any]:
    builder = StateGraph(State).add_node("node", node, timeout=policy, **options).add_edge(START, "node")
    return (await builder.compile().ainvoke({"items": []}))["items"]


@pytest.mark.parametrize("limit", [0.03, timedelta(milliseconds=30), TimeoutPolicy(run_timeout=0.03)])
async def test_an_attempt_has_an_end_whatever_it_does(limit):
    async def node(state: State, runtime: Runtime) -> Any:
        while True:
            runtime.heartbeat()
            await asyncio.sleep(0.005)

    with pytest.raises(NodeTimeoutError, match=r"'node' took longer than its timeout of 0\.03 s"):
        await run(node, limit)


async def test_silence_has_an_end():
    async def node(state: State) -> Any:
        await asyncio.sleep(10)

    with pytest.raises(NodeTimeoutError, match=f"gave no sign of life for {SILENCE} s") as failure:
        await run(node, TimeoutPolicy(idle_timeout=SILENCE, run_timeout=5))
    assert "heartbeat" in str(failure.value)


def beat(runtime: Runtime) -> None:
    runtime.heartbeat()


def write(runtime: Runtime) -> None:
    get_stream_writer()("chunk")


def beat_from_a_thread(runtime: Runtime) -> Any:
    return asyncio.to_thread(runtime.heartbeat)


@pytest.mark.parametrize("sign", [beat, write, beat_from_a_thread])
async def test_signs_of_life(sign):
    async def node(state: State, runtime: Runtime) -> Any:
        for _ in range(8):
            await asyncio.sleep(SILENCE / 3)
            if (waiting := sign(runtime)) is not None:
                await waiting
        return {"items": ["done"]}

    assert await run(node, TimeoutPolicy(idle_timeout=SILENCE)) == ["done"]


async def test_steps_are_signs_of_life():
    async def node(state: State, runtime: Runtime) -> Any:
        for n in range(6):
            await runtime.astep(str(n), asyncio.sleep, SILENCE / 2)
        return {"items": ["done"]}

    assert await run(node, TimeoutPolicy(idle_timeout=SILENCE)) == ["done"]


async def test_only_a_heartbeat_counts_if_asked_so():
    async def node(state: State) -> Any:
        writer = get_stream_writer()
        for _ in range(100):
            await asyncio.sleep(SILENCE / 10)
            writer("chunk")

    with pytest.raises(NodeTimeoutError, match="no sign of life"):
        await run(node, TimeoutPolicy(idle_timeout=SILENCE, refresh_on="heartbeat"))


async def test_another_attempt_has_its_own_time():
    tries = []

    async def node(state: State) -> Any:
        tries.append(1)
        await asyncio.sleep(10 if len(tries) < 3 else 0)
        return {"items": [len(tries)]}

    again = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=NodeTimeoutError)
    assert await run(node, TimeoutPolicy(idle_timeout=0.3), retry_policy=again) == [3]


async def test_a_nodes_own_timeout_error_is_its_own():
    async def node(state: State) -> Any:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as failure:
        await run(node, 5)
    assert not isinstance(failure.value, NodeTimeoutError)


async def test_tasks_have_timeouts_and_a_heartbeat_without_a_limit_does_nothing():
    @task(timeout=TimeoutPolicy(idle_timeout=0.02))
    async def slow() -> None:
        await asyncio.sleep(10)

    @entrypoint()
    async def flow(value: int, *, runtime: Runtime) -> str:
        runtime.heartbeat()
        try:
            await slow()
        except NodeTimeoutError as error:
            return str(error.node)
        return "?"

    assert await flow.ainvoke(1) == "slow"
