"""`perdure setup`: the tables of a server, made or brought up to date before it is started."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from perdure.cli import render
from perdure.cli.exits import Exit
from perdure.cli.serve import Config, Database, load_serving, settings_of


def setup(
    config: Config = None,
    db: Database = None,
    post: Annotated[
        bool, typer.Option("--post", help="Also what older versions can't live with: none of them may run any more")
    ] = False,
) -> Exit:
    """Make a server's tables, or bring them up to date, without serving.

    Servers do the same when they start. As a step of its own it is what an upgrade begins with, and it may run under
    a role that owns the tables, where the servers' own may only use them.
    """
    serving = load_serving()
    from perdure.database.migrating import POST

    if post:
        os.environ[POST] = "1"
    settings = settings_of(config, {"database": db})
    serving.migrate(settings)
    render.note(f"the tables in {settings.database.rpartition('@')[2]} are up to date")
    return Exit.OK
