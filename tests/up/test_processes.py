"""A deployment of plain processes: it outlives the death of each of its parts, and changes without a gap."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client
from tests.servers.fixtures import _require
from tests.servers.postgres import binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Asking(threading.Thread):
    """Asks, on a new connection each time, and counts what isn't answered."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.asked = 0
        self.failed: list[str] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.is_set():
            self.asked += 1
            try:
                urllib.request.urlopen(f"{self.url}/ok", timeout=10).close()
            except OSError as e:
                self.failed.append(repr(e))
            time.sleep(0.01)


def test_all_children_and_the_supervisor_may_be_killed_and_a_run_goes_on(open_folder):
    _require(binaries)
    deployed = open_folder
    up = ("up", "--engine", "processes", "--port", str(deployed.port), "--database", "embedded", "--wait")
    assert deployed.url in deployed(*up)
    began = deployed.ps(0)
    assert "up already" in deployed("up", "--engine", "processes", code=2)
    with get_sync_client(url=deployed.url) as client:
        thread = client.threads.create()["thread_id"]
        calls = deployed.folder / "calls"
        state = {"items": [], "sleep": 0.3, "steps": 12, "log": str(calls)}
        run = client.runs.create(thread, "loop", input=state)
        while not calls.exists():
            time.sleep(0.02)
        kill(began["supervisor"])
        kill(began["pids"]["api-1"])
        assert not deployed.ps(1)["well"]
        deployed("up", "--engine", "processes", "--wait")  # with what it had: port and all
        again = deployed.until()
        assert again["worker-1"] == began["pids"]["worker-1"]  # found, not started again
        kill(again["worker-1"])
        kill(again["postgres"])
        last = deployed.until(lambda state: state.children["postgres"].restarts >= 1)
        assert last["worker-1"] != again["worker-1"]
        client.runs.join(thread, run["run_id"])
        assert client.threads.get_state(thread)["values"]["items"] == list(range(12))
    deployed("down")
    assert not any(Path(f"/proc/{pid}").exists() for pid in last.values())
    assert "all has stopped" in deployed("logs", "supervisor")
    assert "no log of api-9" in deployed("logs", "api-9", code=3)


def test_upgrade_refuses_nobody_and_what_does_not_start_is_not_taken(deployed):
    deployed("up", "--engine", "processes", "--port", str(deployed.port), "--wait", "--database", "sqlite:///x.db")
    began = deployed.ps(0)
    asking = Asking(deployed.url)
    asking.start()
    try:
        other = deployed.write("v2/perdure.json", json.dumps({"graphs": {"new": "./project.py:graph"}}))
        deployed.write("v2/project.py", (deployed.folder / "project.py").read_text())
        deployed("upgrade", "--to", str(other), "--workers", "2")
        now = deployed.until()
        assert set(now) == {"api-1", "worker-1", "worker-2"}
        assert not set(now.values()) & set(began["pids"].values())
        with get_sync_client(url=deployed.url) as client:
            assert client.runs.wait(None, "new", input={"items": []})["items"] == ["first", "second"]

        broken = deployed.write("v3/perdure.json", json.dumps({"graphs": {"new": "./broken.py:graph"}}))
        deployed.write("v3/broken.py", "raise RuntimeError")
        assert "version 3 isn't taken: worker-1 doesn't become ready" in deployed(
            "upgrade", "--to", str(broken), code=2
        )
        assert deployed.until()["api-1"] == now["api-1"]
        told = deployed.ps(1)
        assert (told["version"], told["supervisor"]) == (2, began["supervisor"])
        deployed("upgrade", "--workers", "0")
        assert set(deployed.until()) == {"api-1"}
        assert deployed.ps(0)["version"] == 4
    finally:
        asking.is_over.set()
        asking.join()
    assert asking.asked > 50
    assert asking.failed == []


def test_a_process_that_has_got_a_pid_again_is_never_signalled(deployed):
    deployed("up", "--engine", "processes", "--port", str(deployed.port), "--workers", "0")
    deployed.until(lambda state: bool(state.children))
    told = deployed.ps(0)
    kill(told["supervisor"])
    kill(told["pids"]["api-1"])
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        path = deployed.folder / ".perdure/up/state.json"
        state = json.loads(path.read_text())
        state["pid"] = state["children"]["api-1"]["pid"] = stranger.pid
        path.write_text(json.dumps(state))
        deployed("down")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_taken_port_and_nothing_deployed_are_told(deployed):
    assert "nothing is deployed" in deployed("down", code=3)
    with socket.create_server(("127.0.0.1", deployed.port)):
        told = deployed("up", "--engine", "processes", "--port", str(deployed.port), code=2)
    assert f"can't listen at 127.0.0.1:{deployed.port}" in told
