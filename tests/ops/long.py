"""Threads of many supersteps, and what moving them costs.

python -m tests.ops.long [STEPS]
"""

from __future__ import annotations

import operator
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

from typing_extensions import TypedDict

from perdure.checkpoint.sqlite import SqliteSaver
from perdure.graph import END, START, StateGraph
from perdure.ops import backup, migrate, restore, verify


class State(TypedDict):
    items: Annotated[list, operator.add]
    n: int


def chain(path: Path, steps: int) -> None:
    """Make a database of a thread whose state grows by a message of 1,000 characters a step."""
    rng = random.Random(1)

    def add(state: State) -> dict:
        return {"items": [{"role": "user", "content": rng.randbytes(500).hex()}], "n": state["n"] + 1}

    builder = StateGraph(State).add_node("add", add).add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: "add" if state["n"] < steps else END)
    with SqliteSaver.from_conn_string(str(path), synchronous="NORMAL") as saver:
        graph = builder.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "long"}, "recursion_limit": steps + 10}
        graph.invoke({"items": [], "n": 0}, config, durability="sync")


def size_of(path: Path) -> int:
    """Return the bytes of a database's files."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def _measure(steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.db"), Path(folder, "target.db")
        chain(source, steps)
        for what, options in (("copy", {}), ("again, compared", {"verify": True})):
            start = time.perf_counter()
            migrate(f"sqlite:///{source}", f"sqlite:///{target}", **options)
            print(f"{what}: {time.perf_counter() - start:.2f} s")
        for what, call in {
            "backup": lambda: backup(f"sqlite:///{source}", Path(folder, "all.perdure")),
            "restore": lambda: restore(Path(folder, "all.perdure"), f"sqlite:///{folder}/restored.db"),
            "verify": lambda: verify(f"sqlite:///{source}"),
        }.items():
            start = time.perf_counter()
            call()
            print(f"{what}: {time.perf_counter() - start:.2f} s")
        print(f"{Path(folder, 'all.perdure').stat().st_size} bytes in the backup")
        print(f"{size_of(source)} bytes -> {size_of(target)}")
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most")


if __name__ == "__main__":
    _measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
