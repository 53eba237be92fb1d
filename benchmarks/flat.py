"""Runs a graph 100,000 times and prints the memory every 5,000: it must stay flat, in a program and in a server.

python -m benchmarks.flat                       in a program (invoke, ainvoke), a server on SQLite, one on Postgres
python -m benchmarks.flat --only server-sqlite --runs 20000 --every 1000

Each run of a program has a thread of its own, which is kept; a server's are waited for or streamed, on threads of their
own, which go, and on threads that are kept. The first fifth of the runs fills caches and pools; what is held at the end
is compared with what was held then.
"""

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import contenders
from benchmarks.asking import BODY, Client, right
from benchmarks.watch import resident

MUST = 1.10
"""How many times the memory of a fifth of the runs all of them may need."""
CLIENTS = 16
KINDS = ("invoke", "ainvoke", "server-sqlite", "server-postgres")


class Curve:
    """The memory by the number of runs.

    Attributes:
        count: How many have run.
    """

    def __init__(self, name: str, runs: int, every: int) -> None:
        self.name, self.runs, self.every = name, runs, every
        self.count = 0
        self._points: list[tuple[int, float]] = []
        self._began = time.perf_counter()
        print(f"\n{name}: {runs:,} runs, load average {os.getloadavg()[0]:.1f}", flush=True)

    def ran(self, server: contenders.Running | None = None) -> None:
        """Count a run; look at the memory, if it is time for that: a server's, or this process's."""
        self.count += 1
        if self.count % self.every:
            return
        found = resident() / (1 << 20) if server is None else server.rss
        self._points.append((self.count, found))
        seconds = time.perf_counter() - self._began
        print(f"  {self.count:8,} runs {seconds:7.0f} s {found:8.1f} MB {'#' * round(found / 2)}", flush=True)

    def is_flat(self) -> bool:
        settled = next(found for count, found in self._points if count >= self.runs / 5)
        ratio = self._points[-1][1] / settled
        print(f"  {ratio:.3f} times the memory of a fifth of the runs, <= {MUST}: {'ok' if ratio <= MUST else 'FAILS'}")
        return ratio <= MUST


def in_program(kind: str, runs: int, every: int, folder: Path) -> bool:
    """Run in this process: by plain calls, or 16 at a time on an event loop."""
    from benchmarks.served import State
    from perdure.checkpoint.sqlite import SqliteSaver
    from perdure.graph import START, StateGraph

    builder = StateGraph(State).add_node("first", lambda state: {"items": ["first"]}).add_edge(START, "first")
    builder.add_node("second", lambda state: {"items": ["second"]}).add_edge("first", "second")
    with SqliteSaver.from_conn_string(str(folder / "flat.db")) as saver:
        graph = builder.compile(checkpointer=saver)
        curve = Curve(f"a program, {kind} on SQLite", runs, every)

        threads = ({"configurable": {"thread_id": str(number)}} for number in itertools.count())

        async def one_after_the_other() -> None:
            while curve.count < runs:
                await graph.ainvoke({"items": ["x"]}, next(threads))
                curve.ran()

        async def many() -> None:
            await asyncio.gather(*[one_after_the_other() for _ in range(CLIENTS)])

        if kind == "ainvoke":
            asyncio.run(many())
        while curve.count < runs:
            graph.invoke({"items": ["x"]}, next(threads))
            curve.ran()
    return curve.is_flat()


def in_server(kind: str, runs: int, every: int, folder: Path) -> bool:
    """Load a server by 16 clients."""
    with database(kind, folder) as url, contenders.perdure(folder, url) as running:
        curve = Curve(f"a server on {url.partition(':')[0]}, {running.rss:.1f} MB at first", runs, every)
        asyncio.run(_loaded(running, curve))
    return curve.is_flat()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Lend the URL of an empty database."""
    if kind == "server-sqlite":
        yield f"sqlite:///{folder}/flat.db"
        return
    from tests.servers.postgres import UNSAFE, Server

    with Server(UNSAFE) as server:
        yield server.url()


async def _loaded(running: contenders.Running, curve: Curve) -> None:
    await asyncio.gather(*[_load(running, curve) for _ in range(CLIENTS)])


async def _load(running: contenders.Running, curve: Curve) -> None:
    async with Client(running.url) as client:
        while curve.count < curve.runs:
            kept = await client.thread()
            for path in ("/runs/wait", "/runs/stream", f"{kept}/runs/wait", f"{kept}/runs/stream"):
                *_, answer = await client.ask(path, BODY)
                assert right(answer) if path.endswith("wait") else b'"second"' in answer, answer
                curve.ran(running)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=5_000)
    given = parser.parse_args()
    sizes = ["--runs", str(given.runs), "--every", str(given.every)]
    if given.only is None:  # each in a process of its own
        command = [sys.executable, "-m", "benchmarks.flat", *sizes, "--only"]
        return max(subprocess.run([*command, kind], check=False).returncode for kind in KINDS)
    run = in_server if given.only.startswith("server") else in_program
    with tempfile.TemporaryDirectory() as folder:
        return 0 if run(given.only, given.runs, given.every, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
