"""Loads servers and prints the gates: how soon each is up, answers, streams; how many runs a second; how much memory.

python -m benchmarks.server                      perdure on SQLite and on a Postgres of its own
python -m benchmarks.server --peers FOLDER       and `langgraph dev` and Aegra, which are installed there
python -m benchmarks.server --only SQLite
python -m benchmarks.server --url http://127.0.0.1:2024     any server of this API that is up already

One load script for all; the servers are measured one after the other, each alone on the machine.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from benchmarks import contenders
from benchmarks.asking import BODY, Client, right

GATES = {
    "cold start to /ok": (1000, "ms", "<="),
    "runs/wait p50": (15, "ms", "<="),
    "runs/wait p95": (40, "ms", "<="),
    "runs/wait of a thread p50": (15, "ms", "<="),
    "SSE first event p50": (10, "ms", "<="),
    "16 clients": (150, "runs/s", ">="),
    "errors": (0, "", "<="),
    "RSS idle": (90, "MB", "<="),
}
UNITS = {"RSS after the load": "MB", "server CPU a run": "ms", "load average before": ""}
COUNT = 200
SECONDS = 10.0
LONGEST = 25.0
"""Seconds after which a slow server's row has been asked often enough."""

Figures = dict[str, float]
Start = Callable[[Path], AbstractContextManager[contenders.Running]]


async def times(ask: Callable[[], Awaitable[float]], count: int) -> list[float]:
    """Return what was measured, in milliseconds: so often, or for as long as patience lasts."""
    until = time.perf_counter() + LONGEST
    found: list[float] = []
    while len(found) < count and (len(found) < 10 or time.perf_counter() < until):
        found.append(await ask() * 1e3)
    return found


async def measure(url: str) -> Figures:
    found: Figures = {"errors": 0}
    async with Client(url) as client:
        thread = ""

        async def wait() -> float:
            _, end, answer = await client.ask("/runs/wait", BODY)
            found["errors"] += not right(answer)
            return end

        async def wait_on_thread() -> float:
            nonlocal thread
            place = thread or await client.thread()
            thread = "" if thread else place  # two runs each
            return (await client.ask(f"{place}/runs/wait", BODY))[1]

        async def first_event() -> float:
            return (await client.ask("/runs/stream", {**BODY, "stream_mode": "updates"}))[0]

        count = len(await times(wait, 20))
        waited = await times(wait, COUNT)
        on_thread = await times(wait_on_thread, COUNT // 2)
        streamed = await times(first_event, COUNT)
    found["runs/wait p50"] = statistics.median(waited)
    found["runs/wait p95"] = sorted(waited)[int(len(waited) * 0.95)]
    found["runs/wait of a thread p50"] = statistics.median(on_thread)
    found["SSE first event p50"] = statistics.median(streamed)
    began = time.perf_counter()
    runs = await asyncio.gather(*[load(url, began + SECONDS, found) for _ in range(16)])
    found["16 clients"] = sum(runs) / (time.perf_counter() - began)
    found["runs"] = count + len(waited) + len(on_thread) + len(streamed) + sum(runs)
    return found


async def load(url: str, until: float, found: Figures) -> int:
    count = 0
    async with Client(url) as client:
        while time.perf_counter() < until:
            _, _, answer = await client.ask("/runs/wait", BODY)
            found["errors"] += not right(answer)
            count += 1
    return count


def one(start: Start) -> Figures:
    """Start a server in a folder of its own, and measure it."""
    found: Figures = {"load average before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as running:
        found["cold start to /ok"] = running.start
        time.sleep(1)
        found["RSS idle"] = running.rss
        used = running.cpu
        found |= asyncio.run(measure(running.url))
        found["server CPU a run"] = (running.cpu - used) / found["runs"] * 1e3
        found["RSS after the load"] = running.rss
    return found


def report(results: dict[str, Figures]) -> bool:
    """Print a row a figure and a column a server: perdure's with the gate, peers' with how they compare."""
    ours = [name for name in results if name.startswith(("perdure", "http"))]
    peers = [name for name in results if name not in ours]
    print(f"\n| | {' | '.join(results)} | must | |\n|{'---|' * (len(results) + 3)}")
    good = True
    for row in next(iter(results.values())):
        if row == "runs":
            continue
        gate, unit, side = GATES.get(row, (None, UNITS.get(row, ""), ""))
        cells = [f"{figures.get(row, float('nan')):.1f} {unit}".strip() for figures in results.values()]
        passes = gate is None or all(
            results[name][row] <= gate if side == "<=" else results[name][row] >= gate for name in ours
        )
        good &= passes
        wanted = "" if gate is None else f"{side} {gate} {unit}"
        print(f"| {row} | {' | '.join(cells)} | {wanted} | {'' if gate is None else 'ok' if passes else 'FAILS'} |")
    for peer in peers:
        for name in ours:
            print(f"{peer} / {name}: {', '.join(_ratios(results[peer], results[name]))}")
    return good


def _ratios(peer: Figures, own: Figures) -> list[str]:
    """Return how many times better the second is, by row."""
    rows = [row for row, (gate, *_) in GATES.items() if gate and row in peer]
    return [
        f"{row} {peer[row] / own[row] if GATES[row][2] == '<=' else own[row] / peer[row]:.1f}x"
        for row in rows
        if own[row] and peer[row]
    ]


def on_sqlite(folder: Path) -> AbstractContextManager[contenders.Running]:
    return contenders.perdure(folder, f"sqlite:///{folder}/bench.db")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=["SQLite", "Postgres"])
    parser.add_argument("--peers", type=Path, metavar="FOLDER")
    parser.add_argument("--url")
    given = parser.parse_args()
    results: dict[str, Figures] = {}
    if given.url:
        return 0 if report({given.url: asyncio.run(measure(given.url))}) else 1
    if given.only != "Postgres":
        results["perdure, SQLite"] = one(on_sqlite)
    if given.only != "SQLite":
        from tests.servers.postgres import Server

        with Server({}) as server:  # its defaults: commits wait for the disk
            results["perdure, Postgres"] = one(partial(contenders.perdure, database=server.url()))
    missing = {}
    if given.peers:
        for name, start in (("langgraph dev", contenders.langgraph_dev), ("Aegra, Postgres", contenders.aegra)):
            try:
                results[name] = one(partial(start, environments=given.peers.resolve()))
            except (OSError, RuntimeError, subprocess.CalledProcessError) as e:
                missing[name] = e
    good = report(results)
    for name, why in missing.items():
        print(f"{name} couldn't be measured: {why}")
    return 0 if good and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
