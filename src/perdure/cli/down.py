"""`perdure down`: the end of a deployment; its data stays."""

from __future__ import annotations

import signal
import time
from typing import Annotated

import typer

from perdure.cli import render
from perdure.cli.deployed import STEP, StateFolder, found, supervisor_of
from perdure.cli.exits import Exit
from perdure.cli.serve import Config


def down(
    volumes: Annotated[bool, typer.Option("--volumes", help="With containers: delete the data too")] = False,
    config: Config = None,
    state: StateFolder = None,
) -> Exit:
    """Stop a deployment: runs end or are given back, then all processes go. Its data stays."""
    folder, wanted = found(state, config)
    if wanted.engine != "processes":
        from perdure.up.compose import Compose

        Compose(folder, wanted.engine)("down", *(["--volumes"] if volumes else []))
        folder.forget()
        return Exit.OK
    from perdure.up.supervisor import Supervisor

    with render.working("stopping", quiet=False):
        supervisor = supervisor_of(folder)
        if supervisor is not None and supervisor.send(signal.SIGTERM):
            while supervisor.runs:
                time.sleep(STEP)
        if folder.read_wanted() is not None:  # its supervisor was killed, before or just now
            with folder.held():
                Supervisor(folder).stop()
    render.note(f"all has stopped; data and logs stay in {folder.path.parent}")
    return Exit.OK
