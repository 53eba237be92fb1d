"""`perdure logs`: what the processes of a deployment say."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import typer

from perdure.cli import render
from perdure.cli.deployed import StateFolder, folder_of, found, supervisor_of
from perdure.cli.exits import Exit, NotFoundError
from perdure.cli.serve import Config


def logs(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="api-1, worker-1, supervisor, ...")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more comes")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Of each, the last so many")] = 100,
    config: Config = None,
    state: StateFolder = None,
) -> Exit:
    """Show what the processes of a deployment say."""
    folder = folder_of(state, config)
    wanted = folder.read_wanted()
    if wanted is not None and wanted.engine != "processes":
        from perdure.up.compose import Compose

        folder, wanted = found(state, config)
        Compose(folder, wanted.engine)("logs", "--tail", str(lines), *(["--follow"] if follow else []), *(names or ()))
        return Exit.OK
    from perdure.up import logs as kept

    there = kept.names(folder.logs)
    if unknown := sorted(set(names or ()) - set(there)):
        hint = f"there is {', '.join(there)}" if there else "nothing was deployed there yet"
        raise NotFoundError(f"there is no log of {', '.join(unknown)} in {folder.logs}", hint=hint)
    if follow:
        _print(kept.read(folder.logs, names or there, lines))
        with suppress(KeyboardInterrupt):
            more = kept.follow(
                folder.logs, lambda: names or kept.names(folder.logs), lambda: supervisor_of(folder) is not None
            )
            _print(more)
        return Exit.OK
    _print(kept.read(folder.logs, names or there, lines))
    return Exit.OK


def _print(found: Iterable[tuple[str, str]]) -> None:
    for name, line in found:
        render.out.print(f"{name} | {line}", markup=False, emoji=False)
