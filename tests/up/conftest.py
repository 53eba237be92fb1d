"""Deployments of the tests' own: a project in a folder, brought up by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.serving import PROJECT
from tests.servers.postgres import free_port

from perdure.up.deployment import Folder, State
from perdure.up.process import Process

GRAPHS = {"line": "./project.py:graph", "loop": "./project.py:looping"}


class Deployed:
    """A project and its deployment.

    Args:
        folder: Where both are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.write("perdure.json", json.dumps({"graphs": GRAPHS}))
        self.write("project.py", PROJECT.read_text())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def __call__(self, *arguments: str, code: int | None = 0, **variables: str) -> str:
        command = [sys.executable, "-m", "perdure.cli", *arguments]
        given = {"PERDURE_POLL_SECONDS": "0.1", "PERDURE_LEASE_SECONDS": "2", "COLUMNS": "300"}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **given, **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr + self.log
        return done.stdout + (done.stderr if code else "")

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in (self.folder / ".perdure/up/logs").glob("*.log"))

    def ps(self, code: int | None = None) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self("ps", "--json", code=code))
        return told | {"pids": {each["name"]: each["pid"] for each in told["children"]}}

    def end(self) -> None:
        if (self.folder / ".perdure/up/deployment.json").exists():
            self("down", code=None)

    def until(self, holds: Callable[[State], bool] = lambda state: True) -> dict[str, int]:
        """Wait until all is ready and something holds; return the children's pids."""
        deadline = time.monotonic() + 30
        folder = Folder(self.folder / ".perdure" / "up")
        while True:
            state = folder.read_state()
            children = state.children.values()
            if all(each.ready and Process(each.pid, each.started).runs for each in children) and holds(state):
                return {name: each.pid for name, each in state.children.items()}
            assert time.monotonic() < deadline, f"{state}\n{self.log}"
            time.sleep(0.05)


@pytest.fixture
def open_folder() -> Iterator[Deployed]:
    """A project that other accounts can reach: as root, Postgres needs one."""
    with tempfile.TemporaryDirectory(prefix="perdure-up-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        made = Deployed(Path(name) / "my-agent")
        yield made
        made.end()


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    made = Deployed(tmp_path / "my-agent")
    yield made
    made.end()
