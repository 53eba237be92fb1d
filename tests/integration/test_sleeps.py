"""Sleeps that outlive the process."""

import asyncio
import operator
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import UsageError
from perdure.graph import START, StateGraph
from perdure.pregel import sleeping
from perdure.runtime import Runtime
from perdure.types import interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]


@pytest.fixture(params=["sync", "async"])
def colour(request):
    return request.param


def sleeper(colour, saver, *naps: Any, **until: Any) -> tuple[Any, Any, list[str]]:
    """Return a graph whose node sleeps, how to call it, and what the node has done."""
    did: list[str] = []

    def plain(state: State, runtime: Runtime) -> Any:
        did.append("awake")
        for nap in naps:
            runtime.sleep(nap)
            did.append(f"slept {nap}")
        if until:
            runtime.sleep(**until)
        return {"items": ["done"]}

    async def coroutine(state: State, runtime: Runtime) -> Any:
        did.append("awake")
        for nap in naps:
            await runtime.asleep(nap)
            did.append(f"slept {nap}")
        if until:
            await runtime.asleep(**until)
        return {"items": ["done"]}

    builder = StateGraph(State).add_node("node", plain if colour == "sync" else coroutine).add_edge(START, "node")
    graph = builder.compile(checkpointer=saver)
    if colour == "sync":
        return graph, lambda value: graph.invoke(value, THREAD), did
    return graph, lambda value: asyncio.run(graph.ainvoke(value, THREAD)), did


@pytest.fixture
def later(monkeypatch):
    """Let the clock of sleeps go ahead."""
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr(sleeping.time, "time", lambda: real() + ahead[0])

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(real() + ahead[0], tz)

    monkeypatch.setattr(sleeping, "datetime", Ahead)

    def go(seconds: float) -> None:
        ahead[0] += seconds

    return go


def test_a_short_sleep_is_waited_out(colour, saver):
    _, call, did = sleeper(colour, saver, 0.05, timedelta(milliseconds=50))
    begun = time.monotonic()
    assert call({"items": []})["items"] == ["done"]
    assert time.monotonic() - begun >= 0.1
    assert did.count("awake") == 1


def test_a_long_sleep_stops_the_run_and_wakes_when_its_time_has_come(colour, saver, later):
    graph, call, did = sleeper(colour, saver, 3600)
    (asleep,) = call({"items": []})["__interrupt__"]
    ends = datetime.fromisoformat(asleep.value["sleep_until"])
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    assert graph.get_state(THREAD).interrupts == (asleep,)
    assert call(None)["__interrupt__"] == [asleep]  # too early: the same sleep goes on
    assert graph.resume_all() == []
    later(3601)
    assert call(None)["items"] == ["done"]
    assert did == ["awake", "awake", "awake", "slept 3600"]


def test_sleeps_one_after_the_other(colour, saver, later):
    _, call, did = sleeper(colour, saver, 100, 200)
    call({"items": []})
    later(101)
    (second,) = call(None)["__interrupt__"]
    assert datetime.fromisoformat(second.value["sleep_until"]) > datetime.now(UTC) + timedelta(seconds=299)
    later(201)
    assert call(None)["items"] == ["done"]
    assert did.count("slept 100") == 2  # the node runs again, the sleep doesn't


def test_threads_whose_sleeps_are_over_are_taken_up(colour, saver, later):
    graph, call, _ = sleeper(colour, saver, 3600)
    call({"items": []})
    later(3601)
    [found] = graph.resume_all() if colour == "sync" else asyncio.run(graph.aresume_all())
    assert (found.thread_id, found.output["items"]) == ("t", ["done"])


def test_until_a_moment(colour, saver):
    _, call, _ = sleeper(colour, saver, until=datetime.now(UTC) + timedelta(days=1))
    assert "sleep_until" in call({"items": []})["__interrupt__"][0].value
    _, call, _ = sleeper(colour, InMemorySaver(), until=datetime.now(UTC) - timedelta(days=1))
    assert call({"items": []})["items"] == ["done"]


def test_who_waits_for_an_answer_too_is_not_taken_up(saver, later):
    builder = StateGraph(State).add_node("a", lambda state, runtime: runtime.sleep(3600))
    builder.add_node("b", lambda state: {"items": [interrupt({"sleep_until": "?"})]})
    graph = builder.add_edge(START, "a").add_edge(START, "b").compile(checkpointer=saver)
    assert len(graph.invoke({"items": []}, THREAD)["__interrupt__"]) == 2
    later(3601)
    assert graph.resume_all() == []


@pytest.mark.parametrize(
    "given", [{}, {"seconds": 1, "until": datetime.now(UTC)}, {"seconds": -1}, {"seconds": "1"}, {"until": 5}]
)
def test_sleeps_that_make_no_sense(given):
    graph = (
        StateGraph(State).add_node("a", lambda state, runtime: runtime.sleep(**given)).add_edge(START, "a").compile()
    )
    with pytest.raises(UsageError, match=r"sleep|until"):
        graph.invoke({"items": []})
