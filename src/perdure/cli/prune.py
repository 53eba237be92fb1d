"""`perdure prune`: delete checkpoints that are old, or more than enough."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.ops import Pruning, Selection
from perdure.ops import prune as shorten

OlderThan = Annotated[
    str | None, typer.Option("--older-than", metavar="TIME", help="Only what is older: 30d, 12h, or an ISO time")
]
KeepLast = Annotated[int, typer.Option("--keep-last", min=1, help="Keep so many of the newest of each namespace")]
KeepForks = Annotated[bool, typer.Option("--keep-forks", help="Keep the tips of all branches")]
Delete = Annotated[bool, typer.Option("--delete", help="Delete whole threads that have nothing younger")]


def prune(
    url: choosing.Url,
    thread: choosing.Threads = None,
    older_than: OlderThan = None,
    keep_last: KeepLast = 1,
    metadata: choosing.Metadata = None,
    keep_forks: KeepForks = False,
    delete: Delete = False,
    dry_run: choosing.DryRun = False,
    yes: choosing.Yes = False,
    encrypted: choosing.Encrypted = False,
    as_json: options.AsJson = False,
) -> None:
    """Delete checkpoints of threads, all but the newest by default; what stays can be read in full.

    What a --keep option names stays, and of the rest goes what all other options say. Threads on hold are left. Stopped
    at any moment, the same command goes on.
    """
    require_file(url)
    selection = Selection(thread or None, metadata=choosing.parse_metadata(metadata))
    before = choosing.parse_time(older_than, "--older-than")
    if not dry_run:
        choosing.confirm("delete checkpoints?", "pruning", yes=yes)
    with render.counting("pruning", quiet=as_json) as tell:
        done = shorten(
            url,
            selection=selection,
            strategy="delete" if delete else "keep_latest",
            older_than=before,
            keep_last=keep_last,
            keep_forks=keep_forks,
            dry_run=dry_run,
            encrypted=encrypted,
            on_progress=tell,
        )
    show(done, as_json=as_json)


def show(done: Pruning, *, as_json: bool) -> None:
    """Print what went, or would go."""
    if as_json:
        render.print_json(asdict(done))
        return
    size = f", {done.bytes:,} bytes" if done.bytes is not None else ""
    verb = "would go" if done.dry_run else "deleted"
    render.out.print(f"{done.checkpoints} checkpoints of {done.threads} threads{size} {verb}")
    for names, why in ((done.held, "on hold"), (done.busy, "in use by a run")):
        if names:
            render.note(f"left, for they are {why}: {', '.join(map(repr, names))}")
