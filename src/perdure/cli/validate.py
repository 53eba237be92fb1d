"""`perdure validate`: find mistakes of a configuration before it is served."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.cli import render
from perdure.cli.exits import Exit
from perdure.cli.options import AsJson
from perdure.cli.serve import Config, load_serving


def validate(
    config: Config = None,
    no_import: Annotated[bool, typer.Option("--no-import", help="Don't import the graphs")] = False,
    as_json: AsJson = False,
) -> Exit:
    """Check a configuration: each mistake with its file, its key, and what to do."""
    load_serving()
    from perdure.server.config import find_config, load_config, read_env

    path = find_config(config, Path.cwd())
    found = load_config(path)
    read_env(found, path.parent)
    graphs = list(found.graphs)
    if not no_import:
        asyncio.run(_load(found, path.resolve().parent))
    if as_json:
        render.print_json({"config": str(path), "graphs": graphs})
    else:
        render.out.print(f"{path}: good; graphs: {', '.join(graphs)}", markup=False)
    return Exit.OK


async def _load(config: Any, folder: Path) -> None:
    from perdure.checkpoint.memory import InMemorySaver
    from perdure.server.graphs import Graphs, load_object
    from perdure.server.telemetry import telemetry_of

    graphs = Graphs(config, folder, InMemorySaver(), None)
    await graphs.load()
    await graphs.close()
    for key, place in (("auth.path", config.auth and config.auth.path), ("http.app", config.http.app)):
        if place:
            load_object(place, folder, key)
    if (telemetry := telemetry_of(config.telemetry, folder)) is not None:
        telemetry.close()
