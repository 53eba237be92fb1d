"""Servers of the tests' own: real processes on the loopback interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

PROJECT = Path(__file__).with_name("project.py")
REPOSITORY = Path(__file__).parents[2]
GRAPHS = {
    "line": "./project.py:graph",
    "loop": "./project.py:looping",
    "greeting": {"path": "./project.py:greeting", "description": "says hello"},
    "chat": "./project.py:chat",
    "nested": "./project.py:make_nested",
    "fan": "./project.py:fan",
    "agent": "./project.py:agent",
    "slow": "./project.py:slow",
    "stuck": "./project.py:stuck",
    "asking": "./project.py:asking",
    "telling": "./project.py:telling",
}


class Served:
    """A server as a process; a context manager.

    Args:
        folder: Where its configuration is made.
        database: Its URL.
        config: More keys of the configuration.
        environment: More variables.
        arguments: Of `perdure serve`.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        config: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        command: str = "serve",
        prefix: str = "",
        config_name: str = "perdure.json",
    ) -> None:
        self.folder = folder
        self.database = database
        self.config = config or {}
        self.environment = environment or {}
        self.arguments = arguments
        self.command = command
        self.prefix = prefix
        self.config_name = config_name
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def _logged(self, begin: int) -> str:
        return (self.folder / "server.log").read_bytes()[begin:].decode()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / self.config_name
        if not path.exists():
            (self.folder / "project.py").write_text(PROJECT.read_text())
            path.write_text(json.dumps({"graphs": GRAPHS, **self.config}))
        port = "0"
        if self.url:
            port = self.url.rpartition(":")[2]
        command = [sys.executable, "-m", "perdure.cli", self.command, "--config", str(path), "--db", self.database]
        command += ["--port", port, *self.arguments]
        environment = {"PATH": os.environ["PATH"], "COLUMNS": "200", "PERDURE_POLL_SECONDS": "0.1"}
        environment["PERDURE_SWEEP_SECONDS"] = "0.5"
        with (self.folder / "server.log").open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                command, env={**environment, **self.environment}, stdout=log, stderr=log, cwd=self.folder
            )
        if "--no-api" in self.arguments:
            return
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = [
                word
                for line in self._logged(begin).splitlines()
                for word in line.split()
                if word.startswith("http://127")
            ]
            if found and self._answers(found[-1] + self.prefix):
                self.url = found[-1]
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"the server doesn't start:\n{self.log}")

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            return httpx.get(f"{url}/ok", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, patience: float = 20) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return self.process.returncode
