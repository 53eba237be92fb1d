"""What a deployment is to be: its processes, their settings, and the folder that keeps both."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field

from perdure.up.errors import DeploymentError

EMBEDDED: Final = "embedded"
"""The database of a deployment that has a Postgres of its own."""
GRACE: Final = 30.0

T = TypeVar("T")


class Engine(StrEnum):
    """What runs the processes."""

    PROCESSES = "processes"
    DOCKER = "docker"
    PODMAN = "podman"


class Deployment(Struct, frozen=True, kw_only=True):
    """A deployment.

    Attributes:
        engine: What runs it.
        config: The configuration file.
        python: The Python that its processes run on.
        host: The address that the API listens at.
        port: Its port.
        database: A URL, or `embedded`.
        replica: Where a copy of its SQLite file is kept up; empty: nowhere.
        apis: How many processes answer requests.
        api_jobs: How many runs each of them does at once, besides.
        workers: How many processes only run.
        jobs: How many runs each of them does at once.
        grace: Seconds that runs may go on after a stop was asked for.
        insecure: Whether anybody may call it from elsewhere.
        variables: Variables of its processes; they stand before those of the supervisor's own environment.
        image: The image, for engines of containers.
        postgres_image: That of its own Postgres; empty: the usual one.
        project: The name that containers, networks and volumes begin with.
        version: Grows with each change.
    """

    engine: Engine
    config: str
    python: str
    host: str = "127.0.0.1"
    port: int = 8123
    database: str
    replica: str = ""
    apis: int = 1
    api_jobs: int = 0
    workers: int = 1
    jobs: int = 10
    grace: float = GRACE
    insecure: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    image: str = ""
    postgres_image: str = ""
    project: str = "perdure"
    version: int = 1

    def changed(self, **changes: Any) -> Deployment:
        """Return another version of it."""
        return msgspec.structs.replace(self, **changes)

    @property
    def url(self) -> str:
        """Where its API is, for this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class ChildState(Struct, kw_only=True):
    """What is known of a child.

    Attributes:
        pid: Its process; 0: none runs.
        started: When that process started, in ticks since boot, so that another with the same pid isn't taken for it.
        since: When, in seconds since 1970.
        version: Of the deployment that it belongs to.
        ready: Whether it has said that it works.
        restarts: How often it was started again because it died.
        failures: How many times in a row.
        told: How it ended the last time.
    """

    pid: int = 0
    started: str = ""
    since: float = 0.0
    version: int = 0
    ready: bool = False
    restarts: int = 0
    failures: int = 0
    told: str = ""


class State(Struct, kw_only=True):
    """What a supervisor has made of a deployment.

    Attributes:
        pid: The supervisor's process.
        started: When it started.
        boot: The boot of the machine that the processes belong to.
        running: The deployment that runs.
        seen: The version of the last change that was tried.
        problem: Why it failed, empty if it didn't.
        children: By name.
    """

    pid: int = 0
    started: str = ""
    boot: str = ""
    running: Deployment | None = None
    seen: int = 0
    problem: str = ""
    children: dict[str, ChildState] = field(default_factory=dict)


class Folder(NamedTuple):
    """The folder of a deployment."""

    path: Path

    @property
    def logs(self) -> Path:
        """Where the logs are."""
        return self.path / "logs"

    @property
    def compose(self) -> Path:
        """The Compose file."""
        return self.path / "compose.yaml"

    def make(self) -> None:
        """Make it; nobody else may look into it."""
        for each in (self.path, self.logs):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read_wanted(self) -> Deployment | None:
        """Return what is wanted; None if nothing is deployed."""
        return _read(self.path / "deployment.json", Deployment)

    def write_wanted(self, deployment: Deployment) -> None:
        """Say what is wanted."""
        write_private(self.path / "deployment.json", msgspec.json.encode(deployment))

    def forget(self) -> None:
        """Want nothing any more. Logs and data stay."""
        for name in ("deployment.json", "state.json"):
            (self.path / name).unlink(missing_ok=True)

    def read_state(self) -> State:
        """Return what runs."""
        return _read(self.path / "state.json", State) or State()

    def write_state(self, state: State) -> None:
        """Write down what runs."""
        write_private(self.path / "state.json", msgspec.json.encode(state))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder's lock, as its supervisor.

        Raises:
            DeploymentError: Another supervisor holds it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeploymentError(f"{self.path} has a supervisor already", hint="`perdure ps` shows it") from None
            yield
        finally:
            os.close(descriptor)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as e:
        raise DeploymentError(f"{path} can't be read: {e}", hint="was it made by another version of perdure?") from e


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read; a reader sees the old content or the new, also after a crash."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
