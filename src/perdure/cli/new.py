"""`perdure new`: a project to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.build.starting import Template, start
from perdure.cli import render
from perdure.cli.exits import Exit


def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder that is made", show_default=False)],
    template: Annotated[Template, typer.Option("--template", help="What it is")] = Template.CHAT,
) -> Exit:
    """Begin a project that runs as it is, without a key."""
    for path in start(name, template):
        render.out.print(str(name / path), markup=False)
    render.note(f"next: cd {name} && perdure dev")
    return Exit.OK
