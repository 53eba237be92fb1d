"""Events that nodes wait for, and that others send."""

import asyncio
import operator
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.errors import EventTimeoutError, SerializationError, UsageError
from perdure.graph import START, StateGraph
from perdure.pregel import events, sleeping
from perdure.runtime import Runtime
from perdure.types import RetryPolicy, Send, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]


class Driven:
    """A graph in one colour."""

    def __init__(self, graph: Any, colour: str) -> None:
        self.graph, self.colour = graph, colour

    def __getattr__(self, name: str) -> Any:
        if self.colour == "sync":
            return getattr(self.graph, name)
        return lambda *args, **kwargs: asyncio.run(getattr(self.graph, "a" + name)(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def build(request, saver):
    """Make a graph of one node that waits for events, in each colour."""

    def make(*names: str, timeout: float | None = None, did: list[str] | None = None, **options: Any) -> Driven:
        def plain(state: State, runtime: Runtime) -> Any:
            if did is not None:
                did.append("began")
            return {"items": [runtime.wait_for(name, timeout=timeout) for name in names]}

        async def coroutine(state: State, runtime: Runtime) -> Any:
            if did is not None:
                did.append("began")
            return {"items": [await runtime.await_for(name, timeout=timeout) for name in names]}

        node = plain if request.param == "sync" else coroutine
        builder = StateGraph(State).add_node("node", node, **options).add_edge(START, "node")
        return Driven(builder.compile(checkpointer=saver), request.param)

    return make


def test_a_run_stops_until_the_event_comes(build):
    graph = build("paid")
    (asked,) = graph.invoke({"items": []}, THREAD)["__interrupt__"]
    assert asked.value == {"wait_for": "paid"}
    assert graph.get_state(THREAD).next == ("node",)
    assert graph.invoke(None, THREAD)["__interrupt__"] == [asked]  # nothing has come
    assert graph.resume_all() == []
    graph.send_event(THREAD, "other", 1)
    assert graph.resume_all() == []
    graph.send_event(THREAD, "paid", {"amount": 7})
    (taken,) = graph.resume_all()
    assert taken.output["items"] == [{"amount": 7}]
    assert graph.resume_all() == []


def test_an_event_may_come_first(build):
    graph = build("paid", "shipped", "paid")
    graph.send_event(THREAD, "paid", 1)
    graph.send_event(THREAD, "paid", 2)
    graph.send_event({"configurable": {"thread_id": "another"}}, "shipped", "no")
    assert graph.invoke({"items": []}, THREAD)["__interrupt__"][0].value == {"wait_for": "shipped"}
    graph.send_event(THREAD, "shipped")
    assert graph.invoke(None, THREAD)["items"] == [1, None, 2]
    assert graph.invoke({"items": []}, THREAD)["__interrupt__"][0].value == {"wait_for": "paid"}  # each comes once


def test_an_event_sent_twice_with_one_id_comes_once(build):
    graph = build("paid")
    assert graph.send_event(THREAD, "paid", 1, event_id="e") == "e"
    assert graph.invoke({"items": []}, THREAD)["items"] == [1]
    graph.send_event(THREAD, "paid", 1, event_id="e")
    assert "__interrupt__" in graph.invoke({"items": []}, THREAD)


def test_waiting_ends_when_its_time_is_over(build, monkeypatch):
    graph = build("paid", timeout=60)
    (asked,) = graph.invoke({"items": []}, THREAD)["__interrupt__"]
    assert asked.value.keys() == {"wait_for", "until"}
    assert graph.resume_all() == []
    hour, real = 3600.0, time.time
    monkeypatch.setattr(events, "time", SimpleNamespace(time=lambda: real() + hour))
    monkeypatch.setattr(sleeping, "now", lambda: datetime.fromtimestamp(real() + hour, UTC))
    (taken,) = graph.resume_all()
    assert isinstance(taken.error, EventTimeoutError)
    assert "'paid' didn't come in time" in str(taken.error)
    graph.send_event(THREAD, "paid", "too late")
    with pytest.raises(EventTimeoutError):
        graph.invoke(None, THREAD)


def test_an_event_in_time_wins(build):
    graph = build("paid", timeout=60)
    graph.invoke({"items": []}, THREAD)
    graph.send_event(THREAD, "paid", 1)
    assert graph.invoke(None, THREAD)["items"] == [1]


def test_what_was_taken_is_kept_over_retries(build, saver, request):
    did: list[str] = []
    graph = build("a", "b", did=did, retry_policy=RetryPolicy(initial_interval=0, jitter=False, retry_on=UsageError))
    graph.send_event(THREAD, "a", 1)
    graph.invoke({"items": []}, THREAD)
    graph.send_event(THREAD, "a", "of the next wait")
    graph.send_event(THREAD, "b", 2)
    assert graph.invoke(None, THREAD)["items"] == [1, 2]
    assert did == ["began", "began"]


def test_parallel_tasks_take_one_event_each(saver):
    def fan(state: State) -> list[Send]:
        return [Send("node", n) for n in range(4)]

    def node(n: int, runtime: Runtime) -> Any:
        return {"items": [runtime.wait_for("go")]}

    builder = StateGraph(State).add_node("node", node).add_conditional_edges(START, fan, ["node"])
    graph = builder.compile(checkpointer=saver)
    senders = [threading.Thread(target=graph.send_event, args=(THREAD, "go", n)) for n in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(graph.invoke({"items": []}, THREAD)["items"]) == [0, 1, 2, 3]


def test_a_person_who_is_asked_too_is_not_passed_over(saver):
    builder = StateGraph(State)
    builder.add_node("asks", lambda state: {"items": [interrupt("?")]}).add_edge(START, "asks")
    builder.add_node("waits", lambda state, runtime: {"items": [runtime.wait_for("go")]}).add_edge(START, "waits")
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"items": []}, THREAD)
    graph.send_event(THREAD, "go", 1)
    assert graph.resume_all() == []


def test_events_go_with_their_thread(saver):
    builder = StateGraph(State)
    builder.add_node("waits", lambda state, runtime: {"items": [runtime.wait_for("go")]}).add_edge(START, "waits")
    graph = builder.compile(checkpointer=saver)
    graph.send_event(THREAD, "go", 1)
    saver.delete_thread("t")
    assert "__interrupt__" in graph.invoke({"items": []}, THREAD)


def test_what_is_wrong_is_said(saver):
    builder = StateGraph(State)
    builder.add_node("waits", lambda state, runtime: {"items": [runtime.wait_for("go")]}).add_edge(START, "waits")
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(UsageError, match="an event's name is a text"):
        graph.send_event(THREAD, "")
    with pytest.raises(SerializationError):
        graph.send_event(THREAD, "go", threading.Lock())
    with pytest.raises(UsageError, match="no checkpointer: nobody could send it"):
        builder.compile().invoke({"items": []})
    assert "__interrupt__" in graph.invoke({"items": []}, THREAD)  # nothing was sent


PROGRAM = """
import os, sys
from test_events import THREAD, State
from perdure.checkpoint.registry import open_saver
from perdure.graph import START, StateGraph
from perdure.pregel import events

def node(state, runtime):
    return {"items": [runtime.wait_for("go")]}

builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
with open_saver(sys.argv[1]) as saver:
    graph = builder.compile(checkpointer=saver)
    if sys.argv[2] == "die":
        outcome = events.Wait._outcome
        def die(self, found):
            if found[0]:
                os._exit(9)
            return outcome(self, found)
        events.Wait._outcome = die
    if sys.argv[2] == "send":
        graph.send_event(THREAD, "go", "sent once")
    else:
        print(graph.invoke(None if sys.argv[3:] else {"items": []}, THREAD)["items"])
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_process_that_dies_with_an_event_in_its_hands_loses_nothing(kind, tmp_path, request):
    url = f"sqlite:///{tmp_path / 'x.db'}" if kind == "sqlite" else request.getfixturevalue("database")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(*args: str) -> Any:
        env = {"PYTHONPATH": str(request.path.parent)}
        return subprocess.run(
            [sys.executable, str(program), url, *args], env=env, capture_output=True, text=True, timeout=60, check=False
        )

    assert run("send").returncode == 0
    died = run("die")
    assert died.returncode == 9, died.stderr  # taken, and its result not yet durable
    assert run("go on", "resume").stdout.strip() == "['sent once']"
