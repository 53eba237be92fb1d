"""`perdure upgrade`: another version in a deployment's place, one process after the other."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.cli import render
from perdure.cli.deployed import EnvFile, Image, Jobs, StateFolder, Workers, found, supervisor_of, variables_of
from perdure.cli.deployed import wait_until_settled as wait_until
from perdure.cli.exits import CommandError, Exit
from perdure.cli.serve import Config

_LONGEST = 3600.0


def upgrade(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The new version's configuration  \\[default: as it is]"),
    ] = None,
    image: Image = None,
    workers: Workers = None,
    jobs: Jobs = None,
    env_file: EnvFile = None,
    config: Config = None,
    state: StateFolder = None,
) -> Exit:
    """Replace what runs: tables first, then the workers one by one, the API last; what doesn't start isn't taken.

    The new processes run on the Python that runs this command, from the files that are there now.
    """
    folder, wanted = found(state, config)
    given: dict[str, Any] = {"workers": workers, "jobs": jobs, "image": image}
    changes = {name: value for name, value in given.items() if value is not None}
    if to is not None:
        if not to.is_file():
            raise CommandError(f"--to: there is no file {to}")
        changes["config"] = str(to.resolve())
    if env_file is not None:
        changes["variables"] = variables_of(env_file)
    version = max(wanted.version, folder.read_state().seen) + 1
    new = wanted.changed(python=sys.executable, version=version, **changes)
    if wanted.engine != "processes":
        return _containers(folder, new, builds=image is None)
    supervisor = supervisor_of(folder)
    if supervisor is None:
        raise CommandError("its supervisor is dead", hint="`perdure up` first: it takes up what runs")
    folder.write_wanted(new)
    supervisor.send(signal.SIGHUP)
    with render.working("upgrading", quiet=False):
        try:
            wait_until(folder, version, _LONGEST)
        except CommandError:
            if (running := folder.read_state().running) is not None:
                folder.write_wanted(running)
            raise
    render.note(f"version {version} runs")
    return Exit.OK


def _containers(folder: Any, new: Any, *, builds: bool) -> Exit:
    from perdure.cli.up import build_image
    from perdure.up.compose import Compose, write, write_secrets

    run = Compose(folder, new.engine)
    if builds:
        build_image(new)
    write_secrets(folder, new)
    folder.compose.write_text(write(new), encoding="utf-8")
    folder.write_wanted(new)
    run.upgrade(new)
    return Exit.OK
