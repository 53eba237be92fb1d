"""`perdure serve`: the server, as it runs in production."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.cli import render
from perdure.cli.exits import CommandError, Exit
from perdure.errors import InvalidConfigError

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="perdure.json or langgraph.json", show_default=False),
]
Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Listen at  \\[default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", "-p", help="Listen at this port; 0: any  \\[default: 2024]")]
Database = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="sqlite:///path or postgresql://...", show_default=False),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "--n-jobs-per-worker", min=0, help="Runs at once in a process  \\[default: 10]"),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Let anybody in, even from elsewhere")]
LogLevel = Annotated[str, typer.Option("--log-level", "--server-log-level", help="debug, info, warning or error")]

INSTALL = "pip install 'perdure[server]'"


def serve(
    config: Config = None,
    host: Host = None,
    port: Port = None,
    db: Database = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes")] = 1,
    jobs: Jobs = None,
    no_api: Annotated[bool, typer.Option("--no-api", help="Only run what other processes are asked for")] = False,
    insecure: Insecure = False,
    log_level: LogLevel = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines of JSON")] = False,
) -> Exit:
    """Serve graphs over HTTP."""
    serving = load_serving()
    changes = {"host": host, "port": port, "database": db, "jobs": jobs}
    settings = settings_of(config, changes, log_level=log_level)
    settings = changed(settings, insecure=insecure or settings.insecure, serves=not no_api and settings.serves)
    settings = changed(settings, log_json=log_json or settings.log_json)
    if not settings.serves:
        return Exit(serving.run(settings, None))
    with listening_at(serving, settings) as listening:
        say_where(settings, listening)
        if workers == 1:
            return Exit(serving.run(settings, listening))
        return Exit(serving.run_several(settings, listening, workers))


def load_serving() -> Any:
    """Import the server.

    Raises:
        CommandError: It isn't installed.
    """
    try:
        from perdure.server import serving
    except ModuleNotFoundError as missing:
        raise CommandError(f"the server needs {missing.name}, not installed here", hint=INSTALL) from missing
    return serving


def settings_of(config: Path | None, changes: dict[str, Any], **more: Any) -> Any:
    """Return the settings: the environment's, then those of the command line."""
    from perdure.server.config import find_config
    from perdure.server.settings import from_environment

    given = from_environment()
    named = config or (given.config if os.environ.get("PERDURE_CONFIG") else None)
    path = find_config(named, Path.cwd())
    return changed(given, config=path, **{k: v for k, v in changes.items() if v is not None}, **more)


def changed(settings: Any, **changes: Any) -> Any:
    """Return settings with some changed."""
    import msgspec

    return msgspec.structs.replace(settings, **changes)


def listening_at(serving: Any, settings: Any) -> Any:
    """Return a socket at the server's address.

    Raises:
        CommandError: It is taken.
    """
    try:
        return serving.bound(settings)
    except OSError as e:
        raise CommandError(
            f"can't listen at {settings.host}:{settings.port}: {e.strerror}", hint="--port names another; 0: any"
        ) from e


def say_where(settings: Any, listening: Any) -> None:
    """Print the addresses: the console's, if there is one, and the server's."""
    base = f"http://{settings.host}:{listening.getsockname()[1]}"
    if (place := _console(settings)) is not None:
        render.note(f"console: {base}{place}")
    render.note(f"{base} · API: /docs · graphs of {settings.config}")


def _console(settings: Any) -> str | None:
    """Return where the configuration leaves the console, None if nowhere."""
    from perdure.server.config import load_config

    try:
        http = load_config(settings.config).http
    except InvalidConfigError:
        return None  # the server itself tells of it
    place = "/console" if http.app else "/"
    return None if http.disable_ui else f"{http.mount_prefix or ''}{place}"
