"""What a fresh process measures: each workload returns its figures, in seconds, bytes or counts."""

import asyncio
import json
import math
import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import graphs
from benchmarks.packages import core_install
from benchmarks.watch import Figures, Watch, reads, resident


def _run(graph: Any, value: Any, k: int) -> Watch:
    """Run a warm-up and then k steps on a thread of their own, with durability="sync" if there is a saver."""
    durable = {"durability": "sync"} if graph.checkpointer else {}
    graph.invoke({**value, "n": max(0, k - 20)}, graphs.config("warm-up", k), **durable)
    with Watch() as watch:
        graph.invoke(value, graphs.config("measured", k), **durable)
    return watch


def no_saver(package: str, k: int) -> Figures:
    return _run(graphs.chain(package, k), {"items": [], "n": 0}, k).per(k)


def counter_memory(package: str, k: int) -> Figures:
    return _run(graphs.counter(package, k, graphs.memory_saver(package)), {"n": 0}, k).per(k)


def chain_memory(package: str, k: int) -> Figures:
    return _run(graphs.chain(package, k, graphs.memory_saver(package)), {"items": [], "n": 0}, k).per(k)


def chain_sqlite(package: str, k: int, synchronous: str) -> Figures:
    """Run the chain on SQLite; then read it back, and measure the process and the files."""
    with tempfile.TemporaryDirectory() as folder:
        with graphs.sqlite_saver(package, str(Path(folder) / "warm-up.db"), synchronous) as saver:
            graph = graphs.chain(package, k, saver)
            graph.invoke({"items": [], "n": k - 20}, graphs.config("warm-up", k), durability="sync")
        path = str(Path(folder) / "bench.db")
        with graphs.sqlite_saver(package, path, synchronous) as saver:
            graph = graphs.chain(package, k, saver)
            with Watch() as watch:
                graph.invoke({"items": [], "n": 0}, graphs.config("measured", k), durability="sync")
            used = resident()
            read = reads(graph)
        payload = sum(len(json.dumps(graphs.message(n))) for n in range(k))
        return {**watch.per(k), **read, "resident": used, "stored": _stored(path) / payload}


def adapted_sqlite(package: str, k: int, synchronous: str) -> Figures:
    """Run the chain on LangGraph, with its own saver, or with perdure's as `to_langgraph` gives it."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.db")
        with graphs.sqlite_saver(package, path, synchronous) as saver:
            graph = graphs.chain("langgraph", k, graphs.for_langgraph(saver) if package == "perdure" else saver)
            graph.invoke({"items": [], "n": k - 20}, graphs.config("warm-up", k), durability="sync")
            with Watch() as watch:
                graph.invoke({"items": [], "n": 0}, graphs.config("measured", k), durability="sync")
        payload = sum(len(json.dumps(graphs.message(n))) for n in [*range(k), *range(k - 20, k)])
        return {**watch.per(k), "stored": _stored(path) / payload}


def _stored(path: str) -> int:
    """Return the bytes of all files, once the log is moved into the database."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return sum(file.stat().st_size for file in Path(path).parent.glob(Path(path).name + "*"))


def edit(package: str, kind: str, k: int = 100) -> Figures:
    """Return the bytes that a step of editing a large value adds to the files, against those that it changes."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.db")
        with graphs.sqlite_saver(package, path, "NORMAL") as saver:
            graph, value, changed = graphs.edits(package, kind, 1, saver)
            graph.invoke(value, graphs.config("measured", k), durability="sync")
        before = _stored(path)
        with graphs.sqlite_saver(package, path, "NORMAL") as saver:
            graph, _, _ = graphs.edits(package, kind, k + 1, saver)
            state = graph.get_state(graphs.config("measured"))
            graph.update_state(state.config, {"n": 1}, as_node="step")
            encoding = _timed(saver, "prepare") if package == "perdure" else [math.nan]
            with Watch() as watch:
                graph.invoke(None, graphs.config("measured", k), durability="sync")
        added = (_stored(path) - before) / k
        return {**watch.per(k), "added": added, "allowed": 5 * changed + 2048, "encoding": sum(encoding) / k}


def _timed(saver: Any, name: str) -> list[float]:
    """Return a list that gets the seconds of each call of a method from now on."""
    method, seconds = getattr(saver, name), []

    def call(*args: Any) -> Any:
        begun = time.perf_counter()
        try:
            return method(*args)
        finally:
            seconds.append(time.perf_counter() - begun)

    setattr(saver, name, call)
    return seconds


def fan_out(package: str, width: int) -> Figures:
    graph = graphs.fan_out(package, width, graphs.memory_saver(package))
    graph.invoke({"items": [], "n": 0}, graphs.config("warm-up"), durability="sync")
    rounds = 5
    with Watch() as watch:
        for n in range(rounds):
            graph.invoke({"items": [], "n": 0}, graphs.config(f"measured {n}"), durability="sync")
    return watch.per(rounds * width)


def async_threads(package: str, threads: int, k: int, synchronous: str) -> Figures:
    async def run() -> Watch:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "bench.db")
            async with graphs.async_sqlite_saver(package, path, synchronous) as saver:
                graph = graphs.chain(package, k, saver)
                start = {"items": [], "n": 0}
                await graph.ainvoke(start, graphs.config("warm-up", k), durability="sync")
                with Watch() as watch:
                    configs = [graphs.config(f"t{n}", k) for n in range(threads)]
                    await asyncio.gather(*(graph.ainvoke(start, c, durability="sync") for c in configs))
                return watch

    return asyncio.run(run()).per(threads * k)


def raw_floor(package: str, k: int, synchronous: str) -> Figures:
    """Run a counter, and then the bare driver with the very statements that this run made."""
    from benchmarks.floor import measure

    return measure(package, k, synchronous)


def on_postgres(workload: str, package: str, **options: Any) -> Figures:
    """Run a workload on Postgres, whose driver no other workload's process loads: what is loaded costs memory."""
    from benchmarks import postgres

    figures: Figures = getattr(postgres, workload)(package, **options)
    return figures


WORKLOADS: dict[str, Callable[[str], Figures]] = {
    "packages": lambda package: {"packages": len(core_install(package))},
    "no saver": partial(no_saver, k=300),
    "counter memory": partial(counter_memory, k=300),
    "chain memory": partial(chain_memory, k=300),
    "sqlite full 300": partial(chain_sqlite, k=300, synchronous="FULL"),
    "sqlite full 1000": partial(chain_sqlite, k=1000, synchronous="FULL"),
    "sqlite normal 300": partial(chain_sqlite, k=300, synchronous="NORMAL"),
    "sqlite normal 1000": partial(chain_sqlite, k=1000, synchronous="NORMAL"),
    "raw full": partial(raw_floor, k=300, synchronous="FULL"),
    "raw normal": partial(raw_floor, k=300, synchronous="NORMAL"),
    "adapted": partial(adapted_sqlite, k=300, synchronous="NORMAL"),
    "async threads": partial(async_threads, threads=64, k=20, synchronous="FULL"),
    "postgres 300": partial(on_postgres, "chain", k=300),
    "postgres 1000": partial(on_postgres, "chain_of_own", k=1000),
    "postgres raw": partial(on_postgres, "raw_floor", k=300),
    "postgres async threads": partial(on_postgres, "async_threads", threads=64, k=20),
    "fan-out": partial(fan_out, width=200),
    **{f"edit {kind}": partial(edit, kind=kind) for kind in graphs.EDITS},
}
