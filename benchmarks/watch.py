"""Measures: time, memory, and how long it takes to read back what a run has stored."""

import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

from benchmarks import graphs

Figures = dict[str, float]


class Watch:
    """Measures wall and CPU time of a block."""

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def per(self, count: int) -> Figures:
        return {"wall": self.wall / count, "cpu": self.cpu / count}


def resident() -> int:
    """Return the bytes of memory that the process uses."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


def reads(graph: Any) -> Figures:
    """Read the thread `measured` in several ways."""
    measured = graphs.config("measured")
    history = list(graph.get_state_history(measured))
    chance = random.Random(1)
    old, newest = [], []
    for _ in range(20):
        old.append(_seconds(partial(_values, graph, chance.choice(history).config)))
        newest.append(_seconds(partial(_values, graph, measured)))  # not at hand: an old one was read just now
    return {
        "latest": _median(lambda: graph.get_state(measured).values["n"], 30),
        "history touched": _median(lambda: [len(s.values["items"]) for s in _newest(graph, measured)], 5),
        "history untouched": _median(lambda: [s.metadata["step"] for s in _newest(graph, measured)], 5),
        "old": statistics.median(old),
        "latest from the store": statistics.median(newest),
    }


def _newest(graph: Any, config: Any) -> Any:
    return graph.get_state_history(config, limit=50)


def _values(graph: Any, config: Any) -> int:
    return len(graph.get_state(config).values["items"])


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _median(call: Callable[[], Any], times: int) -> float:
    call()
    return statistics.median(_seconds(call) for _ in range(times))
