"""`perdure dev`: the server on this machine, started anew when the code changes; what it has stored stays."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.exits import Exit
from perdure.cli.serve import (
    Config,
    Database,
    Host,
    Insecure,
    Jobs,
    LogLevel,
    Port,
    changed,
    listening_at,
    load_serving,
    say_where,
    settings_of,
)


def dev(
    config: Config = None,
    host: Host = None,
    port: Port = None,
    db: Database = None,
    no_reload: Annotated[bool, typer.Option("--no-reload", help="Don't watch the code")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Accepted; none is opened")] = False,
    jobs: Jobs = None,
    insecure: Insecure = False,
    log_level: LogLevel = "info",
) -> Exit:
    """Serve graphs on this machine while you write them."""
    serving = load_serving()
    settings = settings_of(config, {"host": host, "port": port, "database": db, "jobs": jobs}, log_level=log_level)
    settings = changed(settings, grace=1.0, local_pages=True, insecure=insecure or settings.insecure)
    with listening_at(serving, settings) as listening:
        say_where(settings, listening)
        if no_reload:
            return Exit(serving.run(settings, listening))
        return Exit(serving.run_reloading(settings, listening))
