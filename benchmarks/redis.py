"""What a Valkey costs and what it keeps, by its way of writing files.

    python -m benchmarks.redis          steps of the chain, bytes, and what a SIGKILL of the server takes

The last has nothing of a power failure: what the server has written is in the operating system's cache by then.
"""

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from tests.servers.valkey import Valkey

import redis
from benchmarks import graphs
from benchmarks.watch import Watch, reads
from perdure.checkpoint.redis import RedisSaver
from perdure.errors import StorageError

MODES: dict[str, dict[str, str]] = {
    "append-only file, always": {"appendonly": "yes", "appendfsync": "always"},
    "append-only file, everysec": {"appendonly": "yes", "appendfsync": "everysec"},
    "snapshots, each second": {"save": "1 1"},
    "none": {},
}
K = 300


def cost(mode: str) -> dict[str, Any]:
    """Run the chain, and measure a step and the bytes in memory."""
    with Valkey(**MODES[mode]) as server, RedisSaver.from_conn_string(server.url) as saver:
        graph = graphs.chain("perdure", K, saver)
        graph.invoke({"items": [], "n": K - 20}, graphs.config("warm-up", K), durability="sync")
        with Watch() as watch:
            graph.invoke({"items": [], "n": 0}, graphs.config("measured", K), durability="sync")
        with redis.Redis.from_url(server.url) as client:
            stored = sum(client.memory_usage(key, samples=0) for key in client.keys("*measured*"))
        payload = sum(len(json.dumps(graphs.message(n))) for n in range(K))
        return {**watch.per(K), **reads(graph), "stored": stored / payload}


def floor(mode: str) -> float:
    """Time one command that stores the bytes of a step, in milliseconds."""
    with Valkey(**MODES[mode]) as server, redis.Redis.from_url(server.url) as client:
        begun = time.perf_counter()
        for n in range(K):
            client.hset("raw", str(n), graphs.text(n, 1300))
        return (time.perf_counter() - begun) / K * 1000


def killed(mode: str, times: int = 5) -> tuple[int, int]:
    """Kill the server amid commits, start it again, and count the acknowledged commits, and those that are lost."""
    acknowledged = lost = 0
    for _ in range(times):
        with Valkey(**MODES[mode]) as server:
            done: list[int] = []
            killing = threading.Timer(1.5, lambda server=server: os.kill(server.pid, signal.SIGKILL))
            with RedisSaver.from_conn_string(server.url, retry_for=0) as saver:
                killing.start()
                _commit_until_it_dies(saver, done)
            killing.join()
            server.stop()
            server.start()
            with RedisSaver.from_conn_string(server.url) as saver:
                found = saver.get_tuple(graphs.config("t", 1))
            kept = found.checkpoint["channel_values"]["n"] if found else 0
            acknowledged += len(done)
            lost += max(0, len(done) - kept)
    return acknowledged, lost


def _commit_until_it_dies(saver: Any, done: list[int]) -> None:
    def step(state: Any) -> dict[str, Any]:
        if state["n"]:
            done.append(state["n"])  # the superstep that made it is stored
        return {"n": state["n"] + 1}

    graph = graphs.looping("perdure", graphs.Count, step, 10**9, saver)
    try:
        graph.invoke({"n": 0}, graphs.config("t", 10**9), durability="sync")
    except StorageError:
        return


def main() -> None:
    for mode in MODES:
        figures = cost(mode)
        told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        sys.stdout.write(f"{mode}: {told}; one raw command {floor(mode):.3f} ms\n")
        acknowledged, lost = killed(mode)
        sys.stdout.write(f"{mode}: SIGKILL of the server: {acknowledged} acknowledged, {lost} lost\n")


if __name__ == "__main__":
    main()
