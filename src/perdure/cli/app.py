"""The commands together, and one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from perdure import __version__
from perdure.cli import render
from perdure.cli.backup import backup
from perdure.cli.build import build, dockerfile, vendor
from perdure.cli.bundle import bundle
from perdure.cli.delete import delete
from perdure.cli.dev import dev
from perdure.cli.diff import diff
from perdure.cli.doctor import doctor
from perdure.cli.down import down
from perdure.cli.draw import graph
from perdure.cli.erase import erase
from perdure.cli.exits import CommandError, Exit
from perdure.cli.fork import fork
from perdure.cli.history import history
from perdure.cli.k8s import k8s
from perdure.cli.keep import keep
from perdure.cli.logs import logs
from perdure.cli.migrate import migrate
from perdure.cli.new import new
from perdure.cli.prune import prune
from perdure.cli.ps import ps
from perdure.cli.rekey import rekey
from perdure.cli.restore import restore
from perdure.cli.resume import resume
from perdure.cli.run import run
from perdure.cli.serve import serve
from perdure.cli.setup import setup
from perdure.cli.show import show
from perdure.cli.state import state
from perdure.cli.stats import stats
from perdure.cli.sweep import sweep
from perdure.cli.threads import threads
from perdure.cli.top import top
from perdure.cli.up import up
from perdure.cli.upgrade import upgrade
from perdure.cli.validate import validate
from perdure.cli.verify import verify
from perdure.errors import PerdureError, UsageError

EPILOG = (
    "Exit codes: 0 finished, 1 failed, 2 misunderstood, 3 no such thread or checkpoint, "
    "4 the graph waits for an answer, 130 stopped by Ctrl-C."
)

app = typer.Typer(
    name="perdure",
    help="Run graphs whose every step is a durable checkpoint, and look at what they have stored.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    run,
    resume,
    threads,
    state,
    history,
    show,
    diff,
    fork,
    delete,
    keep,
    prune,
    sweep,
    erase,
    migrate,
    verify,
    rekey,
    doctor,
    stats,
    top,
    backup,
    restore,
    graph,
    dev,
    serve,
    setup,
    up,
    ps,
    logs,
    upgrade,
    down,
    validate,
    build,
    vendor,
    dockerfile,
    k8s,
    new,
):
    app.command()(command)
app.add_typer(bundle)


def _print_version(wanted: bool) -> None:
    if wanted:
        render.out.print(f"perdure {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    """Take the options that stand before any command."""


def start() -> int:
    """Run the command line; return the exit code."""
    try:
        return int(app(standalone_mode=False) or Exit.OK)
    except CommandError as error:
        render.print_error(str(error.args[0]), error.hint)
        return error.exit_code
    except PerdureError as error:
        render.print_error(str(error))
        return Exit.USAGE if isinstance(error, UsageError) else Exit.FAILED
    except Exception as error:  # noqa: BLE001 - the last door: a node's own failure, shown without our frames
        return _show_failure(error)


def _show_failure(error: Exception) -> int:
    if (show := getattr(error, "show", None)) is not None:  # a usage error of the command line's library
        show()
        return int(getattr(error, "exit_code", Exit.USAGE))
    frames = traceback.extract_tb(error.__traceback__)
    # The graph's own frames say what went wrong in it; without any, it is perdure that went wrong.
    shown = [frame for frame in frames if not _is_ours(frame.filename)] or list(frames)
    render.err.print("".join(traceback.format_list(shown)), markup=False, style="dim", end="")
    render.print_error("".join(traceback.format_exception_only(error)).strip())
    return Exit.FAILED


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return (
        "perdure" in path.parts
        or path.is_relative_to(sys.base_prefix)
        or "site-packages" in path.parts
        or (filename.startswith("<frozen"))
    )
