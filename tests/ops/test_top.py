"""`perdure top`: what moves, on every backend, while it moves."""

from __future__ import annotations

import asyncio
import json
import operator
import os
import pty
import subprocess
import sys
import threading
import time
from contextlib import AsyncExitStack
from typing import Annotated, TypedDict

import pytest
from tests.ops.conftest import KINDS
from tests.ops.making import grow

from perdure.checkpoint.registry import open_saver
from perdure.graph import START, StateGraph
from perdure.ops import stats
from perdure.ops.glancing import glances
from perdure.ops.opening import opened
from perdure.server.database import open_database


class State(TypedDict):
    items: Annotated[list, operator.add]


class Running(threading.Thread):
    """Makes steps, in a thread of its name, until it is told to end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.is_over = threading.Event()

    def run(self) -> None:
        def step(state):
            time.sleep(0.02)
            return {"items": [os.urandom(500).hex()]}

        graph = StateGraph(State).add_node("step", step).add_edge(START, "step")
        graph = graph.add_conditional_edges("step", lambda _: "__end__" if self.is_over.is_set() else "step")
        with open_saver(self.url) as saver:
            config = {"configurable": {"thread_id": "[bold]busy"}, "recursion_limit": 10_000}
            graph.compile(checkpointer=saver).invoke({"items": []}, config)


@pytest.mark.parametrize("kind", ["memory", *KINDS])
def test_what_moved_between_two_looks_and_nothing_else(place_of, kind):
    where = place_of(kind)
    with opened(where, is_new=True) as database:
        for thread_id in ("still", "moving"):
            grow(database.saver, thread_id, 1, steps=3)
        looks = glances(database)
        assert next(looks).seconds == 0
        assert [one.steps for one in next(looks).threads] == [0, 0]
        before = {one.thread_id: one for one in stats(database).threads}
        main = len(list(database.saver.list({"configurable": {"thread_id": "moving", "checkpoint_ns": ""}})))
        grow(database.saver, "moving", 2, steps=5)
        now = next(looks)
        after = {one.thread_id: one for one in stats(database).threads}
        assert [one.thread_id for one in now.threads] == ["moving", "still"]
        moving, still = now.threads
        assert still.steps == 0
        if kind in {"sqlite", "postgres"}:
            assert moving.steps == 5
            # Writes of tasks, which are stored by themselves, aren't counted.
            assert 0 < moving.stored <= after["moving"].stored - before["moving"].stored
            assert now.leases == 0
        else:
            assert moving.stored is None
            listed = database.saver.list({"configurable": {"thread_id": "moving", "checkpoint_ns": ""}})
            assert moving.steps == len(list(listed)) - main
        assert abs(moving.moment - time.time()) < 60


@pytest.mark.parametrize("kind", ["memory", *KINDS])
async def test_looks_are_the_same_in_both_colours(place_of, kind):
    async with AsyncExitStack() as stack:
        where = place_of(kind)
        saver = where if kind == "memory" else stack.enter_context(open_saver(where))
        grow(saver, "one", 1, steps=3)
        before = await saver.aactivity()
        assert before == await asyncio.to_thread(saver.activity)
        grow(saver, "one", 2, steps=3)
        grow(saver, "two", 2, steps=3)
        now = await saver.aactivity(before)
        assert now == await asyncio.to_thread(saver.activity, before)
        assert {one.thread_id for one in now.moved} == {"one", "two"}


def test_bytes_of_a_chain_are_those_that_stats_counts(tmp_path):
    with opened(str(tmp_path / "state.db"), is_new=True) as database:
        graph = StateGraph(State).add_node("add", lambda state: {"items": ["x" * 5000]}).add_edge(START, "add")
        graph = graph.compile(checkpointer=database.saver)
        config = {"configurable": {"thread_id": "one"}}
        graph.invoke({"items": []}, config)
        looks = glances(database)
        next(looks)
        before = stats(database).threads[0].stored
        for _ in range(5):
            graph.invoke({"items": [os.urandom(300).hex()]}, config)
        [one] = next(looks).threads
        assert one.steps == 15
        assert one.stored == stats(database).threads[0].stored - before


async def make_servers_tables(url):
    server = open_database(url)
    await server.setup()
    await server.aclose()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_command_shows_a_run_its_lease_and_a_servers_queue(place_of, kind):
    url = place_of(kind)
    asyncio.run(make_servers_tables(url))
    running = Running(url)
    running.start()
    try:
        time.sleep(0.3)
        command = [sys.executable, "-m", "perdure.cli", "top", url, "--every", "0.4"]
        told = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout)
        shown = subprocess.run([*command, "--once"], check=True, capture_output=True, text=True).stdout
    finally:
        running.is_over.set()
        running.join()
    [busy] = told["threads"]
    assert busy["thread_id"] == "[bold]busy"
    assert busy["steps"] > 3
    assert told["steps_per_second"] > 5
    assert told["bytes_per_second"] > 500 * told["steps_per_second"]
    assert told["leases"] == 1
    assert busy["holder"]
    assert told["queue"] == {"pending": 0, "running": 0}
    assert "1 leases held" in shown
    assert "runs: 0 wait, 0 run" in shown
    assert "[bold]busy" in shown


def test_live_until_q_is_pressed(tmp_path):
    with open_saver(f"sqlite:///{tmp_path / 'state.db'}") as saver:
        grow(saver, "quiet", 1, steps=3)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "perdure.cli", "top", "state.db", "--every", "0.2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    told = b""
    while told.count(b"quiet") < 2:  # drawn, and drawn again
        told += os.read(ours, 65536)
    os.write(ours, b"q")
    try:
        while os.read(ours, 65536):
            pass
    except OSError:  # what a terminal says when the other side has gone
        pass
    assert process.wait(10) == 0
    os.close(ours)
    assert b"queue" not in told
    assert b"steps/s" in told
