"""`perdure up`: the whole data plane on this machine, as plain processes or as containers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.cli import render
from perdure.cli.deployed import (
    SETTLED,
    EnvFile,
    Image,
    Jobs,
    StateFolder,
    Workers,
    config_of,
    folder_of,
    load_up,
    supervisor_of,
    variables_of,
    wait_until_settled,
)
from perdure.cli.exits import CommandError, Exit
from perdure.cli.serve import Config, Insecure


class EngineName(StrEnum):
    """What runs the processes."""

    PROCESSES = "processes"
    DOCKER = "docker"
    PODMAN = "podman"


def up(
    config: Config = None,
    engine: Annotated[
        EngineName | None,
        typer.Option("--engine", help="\\[default: docker or podman if their Compose is here, else processes]"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            "--db",
            metavar="URL",
            help="sqlite:///path, postgresql://..., or `embedded`: a Postgres of its own  "
            "\\[default: SQLite for processes, embedded for containers]",
            show_default=False,
        ),
    ] = None,
    replica: Annotated[
        str | None,
        typer.Option(
            "--replica",
            metavar="URL",
            help="Keep a copy of the SQLite file there, and begin with it: s3://bucket/prefix, file:///path",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="Listen at this port")] = 8123,
    apis: Annotated[int, typer.Option("--apis", min=1, help="Processes that answer requests")] = 1,
    workers: Workers = None,
    jobs: Jobs = None,
    env_file: EnvFile = None,
    insecure: Insecure = False,
    image: Image = None,
    postgres_image: Annotated[
        str | None,
        typer.Option(
            "--postgres-image", metavar="NAME:TAG", help="The image of its own Postgres  \\[default: pgvector's]"
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all is ready")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Supervise in this process, for systemd")] = False,
    print_: Annotated[bool, typer.Option("--print", help="Print the Compose file, and do nothing")] = False,
    state: StateFolder = None,
) -> Exit:
    """Bring up API and workers on this machine, and keep them up."""
    load_up()
    from perdure.up import compose, deployment, programs

    path = config_of(config)
    folder = folder_of(state, path)
    chosen = deployment.Engine(engine) if engine else deployment.Engine.DOCKER if print_ else programs.choose()
    is_here = chosen == deployment.Engine.PROCESSES
    url = _absolute(database or (f"sqlite:///{path.parent / '.perdure' / 'server.db'}" if is_here else "embedded"))
    wanted = deployment.Deployment(
        engine=chosen,
        config=str(path),
        python=sys.executable,
        host=host,
        port=port,
        database=url,
        replica=replica or "",
        apis=apis,
        # SQLite has nothing that wakes a worker: what the API is asked for, it runs itself, at once.
        api_jobs=10 if url.startswith("sqlite:") else 0,
        workers=1 if workers is None else workers,
        jobs=10 if jobs is None else jobs,
        insecure=insecure,
        variables=variables_of(env_file),
        postgres_image=postgres_image or "",
        image=image or f"{path.parent.name.lower()}:latest",
        project=path.parent.name.lower(),
    )
    if print_:
        render.out.print(compose.write(wanted), markup=False, emoji=False, end="")
        return Exit.OK
    if replica:
        _check_replica(url, replica, is_here=is_here)
    folder.make()
    if not is_here:
        return _compose(folder, wanted, builds=image is None, wait=wait)
    return _processes(folder, wanted, wait=wait, foreground=foreground)


def _check_replica(url: str, place: str, *, is_here: bool) -> None:
    from perdure.up import replica

    if not is_here:
        raise CommandError("--replica is for --engine processes", hint="beside a container, run Litestream in another")
    replica.check(url, place)


def _absolute(url: str) -> str:
    from perdure.checkpoint.registry import sqlite_path

    if not url.startswith("sqlite:"):
        return url
    path = Path(sqlite_path(url))
    if str(path) == ":memory:":
        raise CommandError("several processes can't share a database in memory", hint="--database sqlite:///path")
    return f"sqlite:///{path.resolve()}"


def _processes(folder: Any, wanted: Any, *, wait: bool, foreground: bool) -> Exit:
    if sys.platform != "linux":
        raise CommandError(
            "--engine processes needs Linux", hint="`perdure serve --workers N` runs anywhere; so do containers"
        )
    if supervisor_of(folder) is not None:
        raise CommandError(f"{folder.path} is up already", hint="`perdure upgrade` changes it, `perdure ps` shows it")
    old = folder.read_wanted()
    if old is not None and folder.read_state().children:
        render.note(f"taking up what an earlier supervisor has left in {folder.path}")
        wanted = old
    folder.write_wanted(wanted)
    if foreground:
        from perdure.up import supervisor

        return Exit(supervisor.main(folder.path))
    start_supervisor(folder, wanted)
    if wait:
        wait_until_settled(folder, wanted.version, SETTLED)
    render.out.print(wanted.url, markup=False)
    render.note("perdure ps, logs, upgrade, down: what runs, what it says, a new version, the end")
    return Exit.OK


def start_supervisor(folder: Any, wanted: Any) -> None:
    """Start a supervisor that goes on without this process; wait until it has taken the deployment."""
    with (folder.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [wanted.python, "-m", "perdure.up.supervisor", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while process.poll() is None:
        state = folder.read_state()
        if state.pid == process.pid and (state.running or state.problem):
            break
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    state = folder.read_state()
    if state.problem and state.running is None:
        process.terminate()
        process.wait()
        folder.forget()
        raise CommandError(state.problem)
    if process.returncode is not None:
        raise CommandError("the supervisor has ended", hint=f"see {folder.logs / 'supervisor.log'}")
    process.returncode = 0  # it isn't waited for


def _compose(folder: Any, wanted: Any, *, builds: bool, wait: bool) -> Exit:
    from perdure.up.compose import SECRETS, WAITING, Compose, write, write_secrets

    run = Compose(folder, wanted.engine)
    if builds:
        build_image(wanted)
    made = write_secrets(folder, wanted)
    folder.compose.write_text(write(wanted), encoding="utf-8")
    folder.write_wanted(wanted)
    run("up", "--detach", *(WAITING if wait else ()))
    if made is not None:
        render.note(f"an API key was made up: {made} (PERDURE_API_KEYS in {folder.path / SECRETS})")
    render.out.print(wanted.url, markup=False)
    return Exit.OK


def build_image(wanted: Any) -> None:
    """Build the project's image, and give it to the deployment's engine."""
    from perdure.build import engines
    from perdure.cli.build import build

    with tempfile.TemporaryDirectory(prefix="perdure-up-") as name:
        archive = Path(name) / "image.tar"
        build([wanted.image], config=Path(wanted.config), output=[f"docker-archive:{archive}"])
        engines.load(archive, [wanted.engine])
