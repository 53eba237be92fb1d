"""`perdure top`: what happens in a database, live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from perdure.cli import choosing, keys, options, render
from perdure.cli.database import require_file
from perdure.errors import PerdureError
from perdure.ops.glancing import Glance, glances
from perdure.ops.opening import opened
from perdure.ops.report.units import in_bytes

Every = Annotated[float, typer.Option("--every", min=0.1, metavar="SECONDS", help="Look so often")]
Once = Annotated[bool, typer.Option("--once", help="Look twice, so many seconds apart, print, and end")]
Queue = dict[str, int]


def top(
    url: choosing.Url,
    every: Every = 2.0,
    once: Once = False,
    limit: Annotated[int, typer.Option("--top", min=1, help="Show so many threads")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """Show which threads move, steps and bytes a second, leases, and a server's queue; q or Ctrl-C ends it."""
    require_file(url)
    with opened(url) as database, _queue_of(url) as queue:
        looks = glances(database)
        found = next(looks)
        if once or as_json or not render.out.is_terminal:
            time.sleep(every)
            found, waiting = next(looks), queue()
            if as_json:
                render.print_json(_jsonable(found, waiting, limit))
            else:
                render.out.print(_page(found, waiting, limit))
            return
        with suppress(KeyboardInterrupt), keys.pressed() as pressed, Live(console=render.out, screen=True) as screen:
            while True:
                screen.update(_page(found, queue(), limit), refresh=True)
                if pressed(every) == "q":
                    return
                found = next(looks)


@contextmanager
def _queue_of(url: str) -> Iterator[Callable[[], Queue | None]]:
    """Give what asks how many runs of a server wait and run in the same database; None if there are none of a server.

    Nothing is made there: tables that aren't there are found out by asking.
    """
    try:
        from perdure.server.database import open_database, queues

        database = open_database(url)
    except (ImportError, PerdureError):
        yield lambda: None
        return
    is_there = True

    def ask() -> Queue | None:
        nonlocal is_there
        if not is_there:
            return None
        try:
            found = runner.run(database.read(queues.depth))
        except Exception:  # noqa: BLE001 - each driver has its own error for a table that isn't there
            is_there = False
            return None
        counts: Queue = {"pending": 0, "running": 0}
        for statuses in found.values():
            for status, (count, _) in statuses.items():
                counts[status] = counts.get(status, 0) + count
        return counts

    with asyncio.Runner() as runner:
        try:
            yield ask
        finally:
            runner.run(database.aclose())


def _page(found: Glance, queue: Queue | None, limit: int) -> Group:
    told = [f"{found.steps:.1f} steps/s"]
    if found.stored is not None:
        told.append(f"{in_bytes(round(found.stored))}/s")
    if found.leases is not None:
        told.append(f"{found.leases} leases held")
    if queue is not None:
        told.append(f"runs: {queue['pending']} wait, {queue['running']} run")
    table = Table("thread", "steps/s", "bytes/s", "latest", "lease", box=None, pad_edge=False, header_style="bold")
    for one in found.threads[:limit]:
        seconds = found.seconds or 1.0
        size = "?" if one.stored is None else in_bytes(round(one.stored / seconds)) if one.steps else ""
        steps = f"{one.steps / seconds:.1f}" if one.steps else ""
        table.add_row(escape(one.thread_id), steps, size, _ago(one.moment), escape(one.holder or ""))
    more = len(found.threads) - limit
    return Group(
        Text(" · ".join(told), style="bold"), table, *([Text(f"{more} more", style="dim")] if more > 0 else [])
    )


def _ago(moment: float | None) -> str:
    if moment is None:
        return "?"
    seconds = max(0.0, time.time() - moment)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.1f} s ago"


def _jsonable(found: Glance, queue: Queue | None, limit: int) -> dict[str, Any]:
    threads = [one._asdict() for one in found.threads[:limit]]
    rates = {"steps_per_second": found.steps, "bytes_per_second": found.stored}
    return {"seconds": found.seconds, **rates, "leases": found.leases, "queue": queue, "threads": threads}
