"""The measured loss of a machine: `make loss`. Needs the wheels of Litestream and of an object store.

A deployment on SQLite keeps a copy in an object store, while a client makes runs as fast as it can. Then all its
processes are killed and its files deleted; it is brought up again from the copy, and each run that was acknowledged is
looked for. What was there after one loss has to be there after all later ones, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from langgraph_sdk import get_sync_client
from langgraph_sdk.errors import NotFoundError
from tests.servers.seaweed import ENVIRONMENT, Seaweed
from tests.up.conftest import Deployed


class Working(threading.Thread):
    """Makes runs until the server is gone; notes their threads, and when each was acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.done: list[tuple[str, float]] = []

    def run(self) -> None:
        # Not the SDK: it waits for a server that is gone.
        with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=self.url, timeout=10) as client:
            while True:
                thread = client.post("/threads", json={}).json()["thread_id"]
                asked = {"assistant_id": "line", "input": {"items": []}}
                client.post(f"/threads/{thread}/runs/wait", json=asked).raise_for_status().json()
                self.done.append((thread, time.monotonic()))


def lose(deployed: Deployed, seconds: float) -> tuple[list[tuple[str, float]], float]:
    """Work for a while, then kill all in the middle of it, and delete what was on the machine."""
    told = deployed.ps()
    working = Working(deployed.url)
    working.start()
    time.sleep(seconds)
    for pid in (told["supervisor"], told["pids"]["replica"], told["pids"]["api-1"]):
        os.kill(pid, signal.SIGKILL)
    moment = time.monotonic()
    working.join()
    shutil.rmtree(deployed.folder / ".perdure")
    return working.done, moment


def missing(url: str, threads: Sequence[str]) -> set[str]:
    """Return which threads aren't there, or not to their end."""
    found = set()
    with get_sync_client(url=url) as client:
        for thread in threads:
            try:
                if client.threads.get_state(thread)["values"].get("items") != ["first", "second"]:
                    found.add(thread)
            except NotFoundError:
                found.add(thread)
    return found


def main() -> int:
    """Measure it; return 1 if something came back, and was lost later."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--losses", type=int, default=10)
    found = options.parse_args()
    os.environ |= ENVIRONMENT
    kept: list[str] = []
    windows, broken = [], 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, Seaweed() as store:
        deployed = Deployed(Path(name) / "a")
        up = ("up", "--engine", "processes", "--port", str(deployed.port), "--workers", "0", "--wait", "--replica")
        for number in range(found.losses):
            deployed(*up, store.url("machine"))
            done, moment = lose(deployed, random.uniform(3, 8))
            begin = time.monotonic()
            deployed(*up, store.url("machine"))
            seconds = time.monotonic() - begin
            gone = missing(deployed.url, [thread for thread, _ in done])
            broken += len(missing(deployed.url, kept))
            kept += [thread for thread, _ in done if thread not in gone]
            lost = [acknowledged for thread, acknowledged in done if thread in gone]
            windows.append(moment - min(lost, default=moment))
            print(
                f"loss {number}: {len(done)} runs acknowledged, {len(lost)} lost, of the last {windows[-1]:.2f} s; "
                f"back after {seconds:.1f} s; {broken} of {len(kept)} kept ones gone",
                flush=True,
            )
            deployed("down")
        print(f"lost at most the last {max(windows):.2f} s, median {sorted(windows)[len(windows) // 2]:.2f} s")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
