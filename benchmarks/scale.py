"""How time, memory and files grow with a run's size: many supersteps, many tasks at once, many nodes, deep nesting.

python -m benchmarks.scale

Each row runs a size and a tenth of it, each in a process of its own: what a unit costs must stay about the same.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.graph import END, START, StateGraph
from perdure.types import Send

MUST = 2.0
"""The most that a unit may cost, compared with a tenth of the size."""


class Count(TypedDict):
    n: int


class Total(TypedDict):
    total: Annotated[int, lambda a, b: a + b]


def supersteps(size: int, saver: Any) -> tuple[Any, Any]:
    builder = StateGraph(Count).add_node("step", lambda state: {"n": state["n"] + 1}).add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] < size else END, ["step", END])
    return builder.compile(checkpointer=saver), {"n": 0}


def sends(size: int, saver: Any) -> tuple[Any, Any]:
    builder = StateGraph(Total).add_node("add", lambda n: {"total": n})
    builder.add_conditional_edges(START, lambda state: [Send("add", 1) for _ in range(size)], ["add"])
    return builder.compile(checkpointer=saver), {"total": 0}


def nodes(size: int, saver: Any) -> tuple[Any, Any]:
    builder = StateGraph(Count)
    before = START
    for at in range(size):
        builder.add_node(f"node {at}", lambda state: {"n": state["n"] + 1}).add_edge(before, f"node {at}")
        before = f"node {at}"
    return builder.compile(checkpointer=saver), {"n": 0}


def nested(size: int, saver: Any) -> tuple[Any, Any]:
    inner: Any = lambda state: {"n": state["n"] + 1}  # noqa: E731
    for at in range(size):
        builder = StateGraph(Count).add_node(f"level {at}", inner).add_edge(START, f"level {at}")
        inner = builder.compile(checkpointer=saver if at == size - 1 else None)
    return inner, {"n": 0}


SHAPES: dict[str, tuple[Callable[[int, Any], tuple[Any, Any]], int]] = {
    "supersteps": (supersteps, 10_000),
    "sends": (sends, 10_000),
    "nodes": (nodes, 1_000),
    "nested": (nested, 50),
}


def measure(shape: str, size: int, storage: str) -> dict[str, float]:
    """Run a shape once in this process; return its seconds, the growth of the process in MB, and the files in KB."""
    build, _ = SHAPES[shape]
    with tempfile.TemporaryDirectory() as folder:
        saver = InMemorySaver() if storage == "memory" else SqliteSaver.open(str(Path(folder) / "scale.db"))
        warm, value = build(2, saver)
        config: Any = {"configurable": {"thread_id": "warm"}, "recursion_limit": size + 10}
        warm.invoke(value, config, durability="sync")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        graph, value = build(size, saver)
        config["configurable"]["thread_id"] = "measured"
        found = graph.invoke(value, config, durability="sync")
        seconds = time.perf_counter() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert next(iter(found.values())) == {"nested": 1}.get(shape, size), found
        if storage == "sqlite":
            saver.close()
        stored = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1024
    return {"seconds": seconds, "grown": grown, "stored": stored}


def in_a_process(shape: str, size: int, storage: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale", "--one", shape, str(size), storage]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "SIZE", "STORAGE"))
    given = parser.parse_args()
    if given.one:
        shape, size, storage = given.one
        print(json.dumps(measure(shape, int(size), storage)))
        return 0
    late = False
    print(
        f"{'shape':>12} {'size':>7} {'storage':>8} {'time':>9} {'a unit':>10} {'to a tenth':>11} "
        f"{'memory':>9} {'files':>10}"
    )
    for shape, (_, size) in SHAPES.items():
        for storage in ("memory", "sqlite"):
            small = in_a_process(shape, size // 10, storage)
            large = in_a_process(shape, size, storage)
            ratio = large["seconds"] / small["seconds"] / 10
            late = late or ratio > MUST
            unit = large["seconds"] / size * 1e6
            print(
                f"{shape:>12} {size:>7} {storage:>8} {large['seconds']:>7.2f} s {unit:>7.0f} us {ratio:>9.2f} x "
                f"{large['grown']:>6.0f} MB {large['stored']:>7.0f} KB"
            )
    print(f"must: at most {MUST} x a unit" + (": NOT MET" if late else ""))
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
