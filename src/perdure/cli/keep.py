"""`perdure keep`: how long threads are kept, and which are on hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure.checkpoint.rules import NEVER, SAME, Rules
from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.exits import CommandError
from perdure.ops.opening import opened

Thread = Annotated[str | None, typer.Argument(metavar="[THREAD]", help="A thread's id; without one, all are listed")]
Ttl = Annotated[
    str | None,
    typer.Option("--ttl", metavar="TIME", help="Expire after so long a rest: 30d; or never, or default"),
]
Hold = Annotated[str | None, typer.Option("--hold", metavar="REASON", help="Let nothing of it be deleted, and say why")]
Release = Annotated[bool, typer.Option("--release", help="Lift the hold")]
Held = Annotated[bool, typer.Option("--held", help="List those on hold only")]


def keep(
    url: choosing.Url,
    thread: Thread = None,
    ttl: Ttl = None,
    hold: Hold = None,
    release: Release = False,
    held: Held = False,
    as_json: options.AsJson = False,
) -> None:
    """Say how long a thread is kept, or list what was said of threads.

    A thread on hold can go on running, and nothing deletes any of it.
    """
    require_file(url)
    if hold is not None and release:
        raise CommandError("--hold and --release are opposites")
    asked: dict[str, Any] = {} if ttl is None else {"ttl": _ttl(ttl)}
    asked |= {"hold": None} if release else {}
    asked |= {"hold": hold} if hold is not None else {}
    with opened(url, recognise=False) as database:
        if thread is None:
            if asked:
                raise CommandError("which thread?", hint="perdure keep URL THREAD ...")
            found = dict(database.saver.rules(held=held))
        elif asked:
            found = {thread: database.saver.keep(thread, **asked)}
        else:
            found = {thread: database.saver.rules_of(thread)}
    if as_json:
        render.print_json({name: {"ttl": _seconds(one), "hold": one.hold} for name, one in found.items()})
    elif found:
        rows = [(escape(name), _shown(one), escape(one.hold or "-")) for name, one in found.items()]
        render.print_table(("thread", "expires after", "on hold"), rows)
    else:
        render.note("no thread has rules of its own")


def _ttl(text: str) -> Any:
    if text == "default":
        return None
    return NEVER if text == NEVER else choosing.parse_span(text, "--ttl") or SAME


def _seconds(rules: Rules) -> float | str | None:
    return rules.ttl.total_seconds() if isinstance(rules.ttl, timedelta) else rules.ttl


def _shown(rules: Rules) -> str:
    return "default" if rules.ttl is None else str(rules.ttl)
