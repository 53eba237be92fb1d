"""Loads a server and prints the gates: how soon it is up, answers, streams; how many runs a second; how much memory.

python -m benchmarks.server                      perdure on SQLite and on a Postgres of its own
python -m benchmarks.server --only sqlite
python -m benchmarks.server --url http://127.0.0.1:2024     any server of this API that is up already

The client is a bare one: with an SDK it would use more of the machine than the server does.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

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
BODY = {"assistant_id": "agent", "input": {"items": ["x"]}}
COUNT = 200
SECONDS = 10.0


class Client:
    """One connection, kept alive."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname, place.port

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return self

    async def __aexit__(self, *_: object):
        self.writer.close()

    async def ask(self, path: str, body: object) -> tuple[float, float, bytes]:
        """Return the seconds to the first bytes of the body and to the end, and the body."""
        data = json.dumps(body).encode()
        about = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        head = f"POST {path} HTTP/1.1\r\n{about}\r\n\r\n"
        began = time.perf_counter()
        self.writer.write(head.encode() + data)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer.split(b" ", 2)[1])
        if b"transfer-encoding: chunked" in answer:
            first, whole = await self._chunks()
        else:
            length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            whole, first = await self.reader.readexactly(length), time.perf_counter()
        if status >= 400:
            raise RuntimeError(f"{status}: {whole!r}")
        return first - began, time.perf_counter() - began, whole

    async def _chunks(self) -> tuple[float, bytes]:
        first, parts = 0.0, []
        while size := int((await self.reader.readline()), 16):
            parts.append(await self.reader.readexactly(size))
            first = first or time.perf_counter()
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return first, b"".join(parts)


def right(answer: bytes) -> bool:
    return json.loads(answer).get("items") == ["x", "first", "second"]


async def measure(url: str) -> dict[str, float]:
    found: dict[str, float] = {"errors": 0}
    async with Client(url) as client:
        for _ in range(20):
            await client.ask("/runs/wait", BODY)
        times = []
        for _ in range(COUNT):
            _, end, answer = await client.ask("/runs/wait", BODY)
            times.append(end * 1e3)
            found["errors"] += not right(answer)
        found["runs/wait p50"] = statistics.median(times)
        found["runs/wait p95"] = sorted(times)[int(len(times) * 0.95)]
        times = []
        for _ in range(COUNT // 4):
            thread = json.loads((await client.ask("/threads", {}))[2])["thread_id"]
            for _ in range(2):
                times.append((await client.ask(f"/threads/{thread}/runs/wait", BODY))[1] * 1e3)
        found["runs/wait of a thread p50"] = statistics.median(times)
        times = [(await client.ask("/runs/stream", {**BODY, "stream_mode": "updates"}))[0] * 1e3 for _ in range(COUNT)]
        found["SSE first event p50"] = statistics.median(times)
    until = time.perf_counter() + SECONDS
    runs = await asyncio.gather(*[load(url, until, found) for _ in range(16)])
    found["16 clients"] = sum(runs) / SECONDS
    found["runs"] = 20 + COUNT + COUNT // 2 + COUNT + sum(runs)
    return found


async def load(url: str, until: float, found: dict[str, float]) -> int:
    count = 0
    async with Client(url) as client:
        while time.perf_counter() < until:
            _, _, answer = await client.ask("/runs/wait", BODY)
            found["errors"] += not right(answer)
            count += 1
    return count


@contextmanager
def served(database: str, folder: Path, found: dict[str, float]) -> Iterator[str]:
    """Start a server; tell how long that took, and what it needs while nobody asks for anything."""
    (folder / "served.py").write_text(Path(__file__).with_name("served.py").read_text())
    (folder / "perdure.json").write_text(json.dumps({"graphs": {"agent": "./served.py:graph"}}))
    command = [sys.executable, "-m", "perdure.cli", "serve", "--db", database, "--port", "0"]
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "COLUMNS": "200"})
    try:
        url = wait_for_ok(folder / "log", server)
        found["cold start to /ok"] = (time.perf_counter() - began) * 1e3
        time.sleep(1)
        found["RSS idle"] = rss(server.pid)
        used = cpu(server.pid)
        yield url
        found["server CPU a run"] = (cpu(server.pid) - used) / found["runs"] * 1e3
        found["RSS after the load"] = rss(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def wait_for_ok(log: Path, server: subprocess.Popen[bytes]) -> str:
    import urllib.request

    while server.poll() is None:
        urls = [word for word in log.read_text().split() if word.startswith("http://127")]
        if urls:
            # The socket listens before the server has started: this waits for the answer.
            with urllib.request.urlopen(f"{urls[0]}/ok") as answer:
                assert answer.status == 200
            return urls[0]
        time.sleep(0.005)
    raise RuntimeError(log.read_text())


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used; on a busy machine they tell more than those of the wall."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    fields = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    return int(fields[0]) / 1024


def report(name: str, found: dict[str, float]) -> bool:
    print(f"\n{name}")
    good = True
    for row, figure in found.items():
        if row == "runs":
            continue
        gate, unit, side = GATES.get(row, (None, "ms" if "CPU" in row else "MB", ""))
        passes = gate is None or (figure <= gate if side == "<=" else figure >= gate)
        good &= passes
        wanted = "" if gate is None else f"{side} {gate} {unit}"
        print(f"  {row:28} {figure:8.1f} {unit:7} {wanted:16} {'' if gate is None else 'ok' if passes else 'FAILS'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.url:
        return 0 if report(given.url, asyncio.run(measure(given.url))) else 1
    good = True
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "postgres":
            good &= one("SQLite", f"sqlite:///{folder}/bench.db", Path(folder))
    if given.only != "sqlite":
        from tests.servers.postgres import Server

        # Its defaults: commits wait for the disk.
        with Server({}) as server, tempfile.TemporaryDirectory() as folder:
            good &= one("Postgres", server.url(), Path(folder))
    return 0 if good else 1


def one(name: str, database: str, folder: Path) -> bool:
    found: dict[str, float] = {}
    with served(database, folder, found) as url:
        found |= asyncio.run(measure(url))
    return report(name, found)


if __name__ == "__main__":
    sys.exit(main())
