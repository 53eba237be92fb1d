"""`perdure sweep`: delete threads whose time is over."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.prune import show
from perdure.ops import Selection
from perdure.ops import sweep as delete_expired

DefaultTtl = Annotated[
    str | None,
    typer.Option("--default-ttl", metavar="TIME", help="For threads that have none of their own: 30d, 12h, ..."),
]


def sweep(
    url: choosing.Url,
    default_ttl: DefaultTtl = None,
    thread: choosing.Threads = None,
    dry_run: choosing.DryRun = False,
    yes: choosing.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Delete threads whose time to live is over, counted from their last checkpoint.

    `perdure keep` gives a thread one of its own. Threads on hold, or that a run has, are left.
    """
    require_file(url)
    ttl = choosing.parse_span(default_ttl, "--default-ttl")
    if not dry_run:
        choosing.confirm("delete the threads whose time is over?", "a sweep", yes=yes)
    with render.counting("sweeping", quiet=as_json) as tell:
        done = delete_expired(
            url, default_ttl=ttl, selection=Selection(thread or None), dry_run=dry_run, on_progress=tell
        )
    show(done, as_json=as_json)
