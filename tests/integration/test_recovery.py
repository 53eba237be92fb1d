"""Taking up what was left: by killed processes, by drained and failed runs."""

import asyncio
import operator
import signal
import subprocess
import sys
import threading
import time
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.errors import GraphDrained, InvalidConfigError
from perdure.graph import START, StateGraph
from perdure.pregel import turns
from perdure.runtime import RunControl
from perdure.types import Command, interrupt


class State(TypedDict):
    items: Annotated[list, operator.add]


def config(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


@pytest.fixture(params=["sync", "async"])
def resume_all(request):
    if request.param == "sync":
        return lambda graph, *args, **kwargs: graph.resume_all(*args, **kwargs)
    return lambda graph, *args, **kwargs: asyncio.run(graph.aresume_all(*args, **kwargs))


class Ran(list[str]):
    def node(self, label: str) -> Any:
        def run(state: State) -> Any:
            self.append(label)
            return {"items": [label]}

        return run


def row(ran: Ran, saver: Any, **options: Any) -> Any:
    builder = StateGraph(State).add_node("a", ran.node("a")).add_node("b", ran.node("b"))
    return builder.add_edge(START, "a").add_edge("a", "b").compile(checkpointer=saver, **options)


def leave(graph: Any, thread_id: str) -> None:
    """Run a thread's first node and stop, as a process does that is told to end."""
    control = RunControl()
    events = graph.stream({"items": []}, config(thread_id), control=control, durability="sync")
    next(events)
    control.request_drain()
    with pytest.raises(GraphDrained):
        list(events)


def test_what_was_left_is_taken_up_and_nothing_else(saver, resume_all):
    ran = Ran()
    graph = row(ran, saver)
    for thread_id in ("left 1", "left 2"):
        leave(graph, thread_id)
    graph.invoke({"items": []}, config("done"))
    graph.update_state(config("edited"), {"items": ["by hand"]}, as_node="a")
    asking = StateGraph(State).add_node("a", lambda state: {"items": [interrupt("?")]}).add_edge(START, "a")
    asking.compile(checkpointer=saver).invoke({"items": []}, config("asks"))
    row(ran, saver, interrupt_before=["b"]).invoke({"items": []}, config("at a breakpoint"))
    other = StateGraph(State).add_node("other", ran.node("other")).add_node("b", ran.node("b"))
    leave(other.add_edge(START, "other").add_edge("other", "b").compile(checkpointer=saver), "of another graph")
    ran.clear()

    taken = resume_all(row(ran, saver, interrupt_before=["b"]))
    assert taken == []  # this graph has a breakpoint before what is left
    taken = resume_all(graph, ["left 1", "left 2", "done", "edited", "asks", "of another graph", "never was"])
    assert sorted((found.thread_id, found.output["items"], found.error) for found in taken) == [
        ("left 1", ["a", "b"], None),
        ("left 2", ["a", "b"], None),
    ]
    assert ran == ["b", "b"]
    assert resume_all(graph, ["left 1", "left 2"]) == []


def test_all_threads_of_the_saver_are_looked_at(saver, resume_all):
    ran = Ran()
    graph = row(ran, saver)
    for n in range(5):
        leave(graph, str(n))
    assert len(resume_all(graph, max_concurrency=2, durability="sync")) == 5
    assert ran.count("a") == ran.count("b") == 5


def test_failed_runs_are_taken_up_only_if_asked_for(saver, resume_all):
    ran = Ran()

    def fail(state: State) -> Any:
        ran.append("fail")
        if ran.count("fail") < 3:
            raise ValueError("no")
        return {"items": ["at last"]}

    graph = StateGraph(State).add_node("a", fail).add_edge(START, "a").compile(checkpointer=saver)
    with pytest.raises(ValueError, match="no"):
        graph.invoke({"items": []}, config("t"))
    assert resume_all(graph) == []
    [found] = resume_all(graph, failed=True)
    assert (found.thread_id, repr(found.error)) == ("t", "ValueError('no')")
    [found] = resume_all(graph, failed=True)
    assert (found.output["items"], found.error) == (["at last"], None)


def test_a_thread_that_somebody_runs_is_let_be(saver, resume_all):
    ran, go_on, inside = Ran(), threading.Event(), threading.Event()
    waits = []

    def wait(state: State) -> Any:
        if waits:
            inside.set()
            assert go_on.wait(20)
        return ran.node("b")(state)

    builder = StateGraph(State).add_node("a", ran.node("a")).add_node("b", wait)
    graph = builder.add_edge(START, "a").add_edge("a", "b").compile(checkpointer=saver)
    leave(graph, "t")
    waits.append(1)
    running = threading.Thread(target=graph.invoke, args=(None, config("t")))
    running.start()
    assert inside.wait(20)
    assert resume_all(graph) == []
    go_on.set()
    running.join(20)
    assert ran == ["a", "b"]


def test_what_another_finished_meanwhile_is_not_taken_up_again(saver, resume_all, monkeypatch):
    ran = Ran()
    graph = row(ran, saver)
    leave(graph, "t")
    take, atake, others = turns.take, turns.atake, [graph.resume_all]

    def meanwhile() -> None:
        while others:
            assert len(others.pop()()) == 1

    def take_late(*args):
        meanwhile()
        return take(*args)

    async def atake_late(*args):
        await asyncio.to_thread(meanwhile)
        return await atake(*args)

    monkeypatch.setattr(turns, "take", take_late)
    monkeypatch.setattr(turns, "atake", atake_late)
    assert resume_all(graph) == []
    assert ran.count("b") == 1


def test_a_run_that_asks_says_so(saver, resume_all):
    graph = (
        StateGraph(State)
        .add_node("a", lambda state: {"items": ["a"]})
        .add_node("b", lambda state: {"items": [interrupt("?")]})
        .add_edge(START, "a")
        .add_edge("a", "b")
        .compile(checkpointer=saver)
    )
    leave(graph, "t")
    [found] = resume_all(graph)
    assert [i.value for i in found.output["__interrupt__"]] == ["?"]
    assert resume_all(graph) == []
    assert graph.invoke(Command(resume="!"), config("t"))["items"] == ["a", "!"]


def test_a_graph_without_a_saver_has_nothing_to_take_up(resume_all):
    with pytest.raises(InvalidConfigError, match="no checkpointer"):
        resume_all(row(Ran(), None))


PROGRAM = """
import operator, sys, time
from typing import Annotated, TypedDict
from perdure.checkpoint.registry import open_saver
from perdure.graph import START, StateGraph

class State(TypedDict):
    items: Annotated[list, operator.add]

def node(label):
    def run(state):
        with open(sys.argv[2], "a") as log:
            print(label, flush=True, file=log)
        if label == "b" and sys.argv[3] == "hang":
            time.sleep(60)
        return {"items": [label]}
    return run

builder = StateGraph(State).add_node("a", node("a")).add_node("b", node("b")).add_edge(START, "a").add_edge("a", "b")
if __name__ == "__main__":
    with open_saver(sys.argv[1]) as saver:
        graph = builder.compile(checkpointer=saver)
        if sys.argv[3] == "hang":
            graph.invoke({"items": []}, {"configurable": {"thread_id": "t"}}, durability="sync")
        else:
            print([(found.thread_id, found.output["items"]) for found in graph.resume_all()])
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_killed_process_is_replaced_by_one_of_several(kind, tmp_path, request):
    url = f"sqlite:///{tmp_path / 'x.db'}" if kind == "sqlite" else request.getfixturevalue("database")
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(PROGRAM)
    log.touch()
    command = [sys.executable, str(program), url, str(log)]
    first = subprocess.Popen([*command, "hang"])
    deadline = time.monotonic() + 30
    while "b" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    others = [subprocess.Popen([*command, "resume"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = sorted(other.communicate(timeout=60)[0].strip() for other in others)
    assert [other.returncode for other in others] == [0, 0, 0]
    assert told == ["[('t', ['a', 'b'])]", "[]", "[]"]
    assert log.read_text().split() == ["a", "b", "b"]  # the killed one hadn't finished b
