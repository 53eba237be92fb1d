"""A process of callers: they append to a few threads of a store and read them, and note each call and each reply.

python -m tests.race.callers URL COLOUR NAME LOG
"""

from __future__ import annotations

import asyncio
import itertools
import json
import operator
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from tests.race.histories import ECHO, Call, Thread
from typing_extensions import TypedDict

from perdure.checkpoint.registry import open_saver
from perdure.graph import START, StateGraph

THREADS = ("x", "y", "z")
CALLERS = 3
CALLS = 12
DURABILITIES = ("sync", "async", "exit")
Note = Callable[[dict[str, Any]], None]


class State(TypedDict):
    items: Annotated[list, operator.add]


def graph_on(saver: Any) -> Any:
    def echo(state: State) -> dict[str, Any]:
        time.sleep(0.002)
        return {"items": [state["items"][-1] + ECHO]}

    return StateGraph(State).add_node("echo", echo).add_edge(START, "echo").compile(checkpointer=saver)


class Caller:
    """One caller, of either colour; what it does is chosen by its name."""

    def __init__(self, graph: Any, name: str, note: Note, calls: int = CALLS) -> None:
        self._graph = graph
        self._note = note
        chance = random.Random(name)
        self._plan = [
            (chance.choice(THREADS), chance.choice(DURABILITIES), f"{name}.{n}" if chance.random() < 0.7 else None)
            for n in range(calls)
        ]
        self._name = name

    def run(self) -> None:
        for n, (thread, durability, value) in enumerate(self._plan):
            config = {"configurable": {"thread_id": thread}}
            self._called(n, thread, value)
            if value is None:
                self._read(n, self._graph.get_state(config))
            else:
                self._appended(n, self._graph.invoke({"items": [value]}, config, durability=durability))

    async def arun(self) -> None:
        for n, (thread, durability, value) in enumerate(self._plan):
            config = {"configurable": {"thread_id": thread}}
            self._called(n, thread, value)
            if value is None:
                self._read(n, await self._graph.aget_state(config))
            else:
                self._appended(n, await self._graph.ainvoke({"items": [value]}, config, durability=durability))

    def _called(self, n: int, thread: str, value: str | None) -> None:
        self._note({"key": f"{self._name}.{n}", "thread": thread, "value": value, "called": time.monotonic()})

    def _appended(self, n: int, state: dict[str, Any]) -> None:
        self._note({"key": f"{self._name}.{n}", "ended": time.monotonic(), "result": state["items"]})

    def _read(self, n: int, state: Any) -> None:
        ended = time.monotonic()
        head = state.config["configurable"].get("checkpoint_id")
        result = state.values.get("items", [])
        self._note({"key": f"{self._name}.{n}", "ended": ended, "result": result, "head": head})


def call_all(graph: Any, colour: str, name: str, note: Note) -> None:
    """Let some callers run at once, as threads or as tasks; raise what the first of them raises."""
    callers = [Caller(graph, f"{name}.{n}", note) for n in range(CALLERS)]
    if colour == "async":
        asyncio.run(_all_tasks(callers))
        return
    failures: list[BaseException] = []

    def run(caller: Caller) -> None:
        try:
            caller.run()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


async def _all_tasks(callers: list[Caller]) -> None:
    await asyncio.gather(*(caller.arun() for caller in callers))


def calls_of(notes: list[dict[str, Any]], died: float) -> list[Call]:
    """Put calls and replies together; what has no reply ended when the process died."""
    joined: dict[str, dict[str, Any]] = {}
    for note in notes:
        joined.setdefault(note["key"], {}).update(note)
    return [
        Call(c["thread"], c["value"], c["called"], c.get("ended", died), c.get("result"), c.get("head"))
        for c in joined.values()
        if "ended" in c or c["value"] is not None
    ]


def final_of(saver: Any) -> dict[str, Thread]:
    """Read all threads."""
    graph = graph_on(saver)
    found = {}
    for thread in saver.threads():
        config = {"configurable": {"thread_id": thread}}
        chain = []
        for entry in saver.list(config):
            parent = entry.parent_config and entry.parent_config["configurable"]["checkpoint_id"]
            chain.append((entry.config["configurable"]["checkpoint_id"], parent))
        found[thread] = Thread(graph.get_state(config).values.get("items", []), chain)
    return found


def notes_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def main(url: str, colour: str, name: str, path: str, dies_after: str = "0") -> None:
    """Run callers in this process, and kill it when it has noted so many calls and replies."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    left = itertools.count(int(dies_after) - 1, -1)

    def note(what: dict[str, Any]) -> None:
        os.write(log, f"{json.dumps(what)}\n".encode())  # one write: whole, whatever happens to the process
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_saver(url) as saver:
        call_all(graph_on(saver), colour, name, note)


if __name__ == "__main__":
    main(*sys.argv[1:])
