"""The programs that run Compose files: Docker's Compose, on Docker's daemon or on Podman's service.

Podman's own `podman compose` does the same, and isn't in all its versions. The `podman-compose` written in Python is no
choice: it knows neither `ps --all` nor, with older versions of Podman, what a container waits for.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from perdure.up.deployment import Engine
from perdure.up.errors import DeploymentError

_CANDIDATES: Final = {
    Engine.DOCKER: (("docker", "compose"), ("docker-compose",)),
    Engine.PODMAN: (("docker-compose",), ("docker", "compose"), ("podman", "compose")),
}
_PATIENCE: Final = 10.0
"""Seconds in which Podman's service has to answer."""


def find(engine: Engine) -> tuple[str, ...] | None:
    """Return what runs Compose files on an engine, None if it isn't here, or its daemon doesn't answer."""
    if not shutil.which(engine):
        return None
    if engine == Engine.DOCKER and _answer(["docker", "info"]) is None:
        return None
    for command in _CANDIDATES.get(engine, ()):
        if shutil.which(command[0]) and "Docker Compose" in (_answer([*command, "version"]) or ""):
            return command
    return None


def choose() -> Engine:
    """Return the first engine that is here: Docker, Podman, or none."""
    return next((each for each in (Engine.DOCKER, Engine.PODMAN) if find(each)), Engine.PROCESSES)


@contextmanager
def reached(engine: Engine) -> Iterator[dict[str, str]]:
    """Give the variables by which Docker's Compose reaches an engine.

    Podman's service is started if none listens, and ends with the context; containers don't need it.

    Raises:
        DeploymentError: It doesn't come up.
    """
    if engine != Engine.PODMAN:
        yield dict(os.environ)
    elif given := os.environ.get("CONTAINER_HOST"):
        yield {**os.environ, "DOCKER_HOST": given}
    elif (path := _answer(["podman", "info", "--format", "{{.Host.RemoteSocket.Path}}"])) and _listens(path):
        yield {**os.environ, "DOCKER_HOST": f"unix://{path.strip().removeprefix('unix://')}"}
    else:
        with tempfile.TemporaryDirectory(prefix="perdure-up-") as name, _service(Path(name) / "podman.sock") as address:
            yield {**os.environ, "DOCKER_HOST": address}


@contextmanager
def _service(path: Path) -> Iterator[str]:
    command = ["podman", "system", "service", "--time", "0", f"unix://{path}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _listens(str(path)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DeploymentError(f"`{' '.join(command)}` doesn't answer", hint="does `podman info` work?")
            time.sleep(0.02)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as trying:
        return trying.connect_ex(path.strip().removeprefix("unix://")) == 0


def _answer(command: Sequence[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout if done.returncode == 0 else None
