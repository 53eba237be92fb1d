"""The children of a deployment: which there are, how each is started, and when it is ready."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from perdure.up import embedded, logs, replica
from perdure.up.deployment import EMBEDDED, ChildState, Deployment, Folder
from perdure.up.process import Process

_NEVER: Final = ("NOTIFY_SOCKET", "PERDURE_FD", "DATABASE_URI", "POSTGRES_URI")
"""Variables of the supervisor that aren't its children's."""


class Kind(StrEnum):
    """What a child does."""

    POSTGRES = "postgres"
    API = "api"
    WORKER = "worker"
    SETUP = "setup"
    REPLICA = "replica"


OWN: Final = (Kind.POSTGRES, Kind.REPLICA)
"""What isn't perdure's, and stays over an upgrade."""


class Part(NamedTuple):
    """A child that a deployment has."""

    name: str
    kind: Kind


def parts(deployment: Deployment) -> list[Part]:
    """Return the children, in the order in which they start."""
    found = [Part("postgres", Kind.POSTGRES)] if deployment.database == EMBEDDED else []
    found += [Part("replica", Kind.REPLICA)] if deployment.replica else []
    found += [Part(f"worker-{number}", Kind.WORKER) for number in range(1, deployment.workers + 1)]
    return found + [Part(f"api-{number}", Kind.API) for number in range(1, deployment.apis + 1)]


def kind_of(name: str) -> Kind:
    """Return what a child of that name does."""
    return Kind(name.partition("-")[0].partition(".")[0])


class Child:
    """A child, running or not.

    Args:
        name: Its name.
        folder: The deployment's.
        known: What was known of it, by an earlier supervisor.
    """

    def __init__(self, name: str, folder: Folder, known: ChildState | None = None) -> None:
        self.name = name
        self.kind = kind_of(name)
        self.state = known or ChildState()
        self.wanted = False
        self.not_before = 0.0
        self.deployment: Deployment | None = None
        self.process: Process | None = None
        self._folder = folder
        self._hearing: socket.socket | None = None
        if known is not None:
            found = Process(known.pid, known.started)
            if found.runs:
                self.process = found
                self.state.ready = True  # or else it dies, and is started again

    def start(self, deployment: Deployment, listening: socket.socket | None) -> None:
        """Start it."""
        self.let_go()
        self.deployment = deployment
        descriptors: list[int] = []
        if self.kind == Kind.POSTGRES:
            made = embedded.Postgres(self._folder.path / "postgres")
            command, environment, options = made.command(), dict(os.environ), made.account()
        elif self.kind == Kind.REPLICA:
            command = [replica.program(), "replicate", "-config", str(replica.write(self._folder, deployment))]
            environment, options = replica.environment(deployment), {}
        else:
            self._hearing, address = _hearing()
            environment = _environment(deployment, self._folder, self.kind) | {"NOTIFY_SOCKET": address}
            command, options = [deployment.python, "-m", "perdure.server.serving"], {}
            if self.kind == Kind.SETUP:
                command = [deployment.python, "-m", "perdure.cli", "setup"]
            if self.kind == Kind.API and listening is not None:
                descriptors = [listening.fileno()]
                environment["PERDURE_FD"] = str(listening.fileno())
        with logs.opened(self._folder.logs, self.name.partition(".")[0]) as log:
            popen = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                env=environment,
                cwd=Path(deployment.config).parent if self.kind != Kind.POSTGRES else "/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
                start_new_session=True,
                **options,
            )
        self.process = Process.of(popen)
        self.state.pid, self.state.started = self.process.pid, self.process.started
        self.state.since, self.state.version, self.state.ready = time.time(), deployment.version, False

    def listen(self) -> bool:
        """Hear whether it has become ready; return whether that is news."""
        if self.state.ready or self.process is None:
            return False
        if self.kind == Kind.POSTGRES:
            self.state.ready = embedded.Postgres(self._folder.path / "postgres").is_ready(self.process.pid)
        elif self.kind == Kind.REPLICA:
            self.state.ready = True  # it says nothing of that
        elif self._hearing is not None:
            with suppress(BlockingIOError):
                self.state.ready = b"READY=1" in self._hearing.recv(4096)
        return self.state.ready

    def end(self, told: str) -> None:
        """Write down that it has ended."""
        self.process = None
        self.state.pid, self.state.started, self.state.ready, self.state.told = 0, "", False, told
        self.let_go()

    def let_go(self) -> None:
        """Hear no more of it."""
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None


def _hearing() -> tuple[socket.socket, str]:
    """Return a socket for one child's word that it is ready, and its address (sd_notify(3))."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"perdure-{secrets.token_hex(16)}"
    made.bind(f"\0{name}")
    made.setblocking(False)
    return made, f"@{name}"


def _environment(deployment: Deployment, folder: Folder, kind: Kind) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _NEVER}
    url = deployment.database
    if url == EMBEDDED:
        url = embedded.Postgres(folder.path / "postgres").url()
    is_api = kind == Kind.API
    told: dict[str, Any] = {
        "PERDURE_CONFIG": deployment.config,
        "PERDURE_DATABASE": url,
        "PERDURE_HOST": deployment.host if is_api else "127.0.0.1",
        "PERDURE_PORT": deployment.port,
        "PERDURE_JOBS": deployment.api_jobs if is_api else deployment.jobs,
        "PERDURE_SERVES": int(is_api),
        "PERDURE_INSECURE": int(deployment.insecure),
        "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": deployment.grace,
        "PYTHONUNBUFFERED": "1",
    }
    return inherited | deployment.variables | {name: str(value) for name, value in told.items()}
