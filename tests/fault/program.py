"""The program that is killed: it runs one of the shapes on a store, from wherever the last process left it.

It notes in a log what it did: `ran LABEL` when a node's work is done, `acked LABEL` when the storage has acknowledged
the node's write, `commits NS ID` before it is given a checkpoint and `checkpoint NS ID` when it has acknowledged it,
`input` when `invoke` was called with one.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fault.shapes import CONFIG, INPUT, SHAPES
from tests.fault.stores import Note, store_of

from perdure.types import Command

COLOURS = ("sync", "async")
DURABILITIES = ("sync", "async", "exit")


@dataclass(frozen=True)
class Way:
    """How a shape is run."""

    shape: str
    colour: str = "sync"
    durability: str = "sync"

    def __str__(self) -> str:
        return f"{self.shape} ({self.colour}, durability={self.durability})"


class Log:
    """Lines appended to a file, each in one write: what was written before a SIGKILL stays."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self._file)


class Moments:
    """Counts the moments before and after each storage statement; at the chosen one it dies, or is stopped.

    Args:
        at: The moment.
        end: `SIGKILL`, or `SIGSTOP` to be gone for a while.
    """

    def __init__(self, at: int = 0, end: signal.Signals = signal.SIGKILL) -> None:
        self.at = at
        self.end = end
        self.count = 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), self.end)
            if self.end == signal.SIGKILL:
                threading.Event().wait()  # the signal is on its way: do nothing more


def go_on(way: Way, url: str, log: Note, moments: Moments | None = None) -> int:
    """Run the shape until it is done; return how many moments there were."""
    moments = moments or Moments()
    with store_of(url).watch(url, log, moments.tick) as saver:
        run(way, saver, log)
    return moments.count


def run(way: Way, saver: Any, log: Note) -> None:
    """Do what a person would do with the thread until nothing is left to do."""
    graph = SHAPES[way.shape](saver, lambda label: log(f"ran {label}"))
    if way.colour == "sync":
        _drive(graph, log, way.durability)
    else:
        asyncio.run(_adrive(graph, log, way.durability))


def next_input(state: Any) -> tuple[bool, Any]:
    """Decide what a person would do with a thread: (whether to invoke, with what)."""
    if state.interrupts:
        return True, Command(resume="yes")
    if state.next:
        return True, None
    return not state.values, INPUT


def _drive(graph: Any, log: Note, durability: str) -> None:
    while True:
        go, value = next_input(graph.get_state(CONFIG))
        if not go:
            return
        log("input" if value is INPUT else "resume")
        graph.invoke(value, CONFIG, durability=durability)


async def _adrive(graph: Any, log: Note, durability: str) -> None:
    while True:
        go, value = next_input(await graph.aget_state(CONFIG))
        if not go:
            return
        log("input" if value is INPUT else "resume")
        await graph.ainvoke(value, CONFIG, durability=durability)


def in_a_child(work: Callable[[], Any], *, killed_after: float | None = None) -> int:
    """Do the work in a fork; return its exit status, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
