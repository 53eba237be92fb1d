"""The program that is killed: it runs one of the shapes on a database, from wherever the last process left it.

It notes in a log what it did: `ran LABEL` when a node's work is done, `acked LABEL` when the storage has acknowledged
the node's write, `checkpoint NS ID` when it has acknowledged a checkpoint, `input` when `invoke` was called with one.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import apsw
from tests.fault.shapes import CONFIG, INPUT, SHAPES

from perdure.checkpoint.base import Commit
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.types import Command


class Log:
    """Lines appended to a file, each in one write: what was written before a SIGKILL stays."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


class Counter:
    """Counts the moments before and after each storage statement, and dies at the chosen one."""

    def __init__(self, dies_at: int) -> None:
        self.dies_at = dies_at
        self.moment = 0

    def before(self, *_: Any) -> bool:
        self._tick()
        return True

    def after(self, _: Any) -> None:
        self._tick()

    def _tick(self) -> None:
        self.moment += 1
        if self.moment == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()  # the signal is on its way: do nothing more


class NotingSaver(SqliteSaver):
    """Notes what the storage acknowledged."""

    log: Log

    def prepare(self, commit: Commit) -> Any:
        prepared = super().prepare(commit)
        self._lines()[id(prepared)] = (prepared, _acknowledged(commit))
        return prepared

    def commit(self, prepared: Sequence[Any]) -> bool:
        result = super().commit(prepared)
        self._note(prepared)
        return result

    async def acommit(self, prepared: Sequence[Any]) -> bool:
        result = await super().acommit(prepared)
        self._note(prepared)
        return result

    def _lines(self) -> dict[int, Any]:
        return self.__dict__.setdefault("_pending_lines", {})

    def _note(self, prepared: Sequence[Any]) -> None:
        for one in prepared:
            for line in self._lines().pop(id(one))[1]:
                self.log(line)


def _acknowledged(commit: Commit) -> list[str]:
    lines = [
        f"acked {label}"
        for task in commit.writes
        for channel, value in task.writes
        if channel == "items"
        for label in value
    ]
    if commit.checkpoint is not None:
        lines.append(f"checkpoint {commit.checkpoint_ns or '-'} {commit.checkpoint['id']}")
    return lines


def go_on(shape: str, db: str, log: Log, *, dies_at: int = 0, colour: str = "sync", durability: str = "sync") -> int:
    """Run the shape until it is done; return how many moments there were to die at."""
    counter = Counter(dies_at)
    connection = apsw.Connection(db)
    connection.set_busy_timeout(30_000)
    connection.exec_trace = counter.before
    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, counter.after)
    saver = NotingSaver(connection, synchronous="NORMAL")
    saver.log = log
    graph = SHAPES[shape](saver, lambda label: log(f"ran {label}"))
    if colour == "sync":
        _drive(graph, log, durability)
    else:
        asyncio.run(_adrive(graph, log, durability))
    saver.close()
    connection.close()
    return counter.moment


def next_input(state: Any) -> tuple[bool, Any]:
    """Decide what a person would do with a thread: (whether to invoke, with what)."""
    if state.interrupts:
        return True, Command(resume="yes")
    if state.next:
        return True, None
    return not state.values, INPUT


def _drive(graph: Any, log: Log, durability: str) -> None:
    while True:
        go, value = next_input(graph.get_state(CONFIG))
        if not go:
            return
        log("input" if value is INPUT else "resume")
        graph.invoke(value, CONFIG, durability=durability)


async def _adrive(graph: Any, log: Log, durability: str) -> None:
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
