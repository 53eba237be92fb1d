"""What the commands of a deployment on this machine share: its folder, its options, its processes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.cli.exits import CommandError, NotFoundError
from perdure.cli.serve import INSTALL, Config

StateFolder = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The deployment's folder  \\[default: .perdure/up of the project]"),
]
Image = Annotated[str | None, typer.Option("--image", metavar="NAME:TAG", help="An image, with docker and podman")]
Workers = Annotated[int | None, typer.Option("--workers", min=0, help="Processes that only run  \\[default: 1]")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=0, help="Runs at once in a worker  \\[default: 10]")]
EnvFile = Annotated[
    Path | None, typer.Option("--env-file", metavar="FILE", help="Variables, such as PERDURE_API_KEYS, a line each")
]

STEP = 0.1
SETTLED = 90.0


def load_up() -> Any:
    """Import what keeps deployments.

    Raises:
        CommandError: The server isn't installed.
    """
    try:
        from perdure.up import deployment
    except ModuleNotFoundError as missing:
        raise CommandError(f"deployments need {missing.name}, not installed here", hint=INSTALL) from missing
    return deployment


def folder_of(state: Path | None, config: Path | None = None) -> Any:
    """Return the deployment's folder: the one that is named, or the project's."""
    deployment = load_up()
    if state is not None:
        return deployment.Folder(state.resolve())
    return deployment.Folder(config_of(config).parent / ".perdure" / "up")


def config_of(config: Path | None) -> Path:
    """Return the configuration file."""
    from perdure.server.config import find_config

    named = config or (Path(os.environ["PERDURE_CONFIG"]) if os.environ.get("PERDURE_CONFIG") else None)
    return find_config(named, Path.cwd()).resolve()


def found(state: Path | None, config: Path | None = None) -> tuple[Any, Any]:
    """Return a deployment's folder, and what is wanted of it.

    Raises:
        NotFoundError: Nothing is deployed there.
    """
    folder = folder_of(state, config)
    wanted = folder.read_wanted()
    if wanted is None:
        raise NotFoundError(
            f"nothing is deployed in {folder.path}", hint="`perdure up` deploys; --state names a folder"
        )
    return folder, wanted


def supervisor_of(folder: Any) -> Any:
    """Return the supervisor's process, None if none runs."""
    from perdure.up.process import Process

    state = folder.read_state()
    process = Process(state.pid, state.started)
    return process if process.runs else None


def variables_of(path: Path | None) -> dict[str, str]:
    """Read a file of variables.

    Raises:
        CommandError: It can't be read, or a line is no variable.
    """
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as e:
        raise CommandError(f"--env-file: can't read {path}: {e.strerror}") from None
    told: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise CommandError(f"{path}, line {number}: {line!r} is not NAME=VALUE")
        value = value.strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        told[name.strip()] = value[1:-1] if quoted else value
    return told


def wait_until_settled(folder: Any, version: int, patience: float) -> None:
    """Wait until a version runs, with all its children ready.

    Raises:
        CommandError: It doesn't come to that; the message says why.
    """
    from perdure.up.children import parts

    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        state = folder.read_state()
        if state.problem and state.seen == version:
            raise CommandError(state.problem)
        running = state.running
        if running is not None and running.version == version:
            children = [state.children.get(part.name) for part in parts(running)]
            if all(child is not None and child.ready for child in children):
                return
        if supervisor_of(folder) is None and state.pid:
            raise CommandError("the supervisor has ended", hint=f"see {folder.logs / 'supervisor.log'}")
        time.sleep(STEP)
    raise CommandError(
        f"not all is ready after {patience:.0f} s", hint="`perdure ps` and `perdure logs` say what isn't"
    )


__all__ = ["Config", "folder_of", "found"]
