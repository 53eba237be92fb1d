"""`perdure stats`: what a database's threads take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure.checkpoint.sizes import ChannelSize, ThreadSize
from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.sizing import in_bytes
from perdure.ops import Stats
from perdure.ops import stats as measure

Top = Annotated[int, typer.Option("--top", min=1, help="Show so many of the largest threads, and days")]


def stats(
    url: choosing.Url,
    thread: choosing.Threads = None,
    top: Top = 10,
    encrypted: choosing.Encrypted = False,
    as_json: options.AsJson = False,
) -> None:
    """Show bytes by thread, channel and day, and how much is saved by storing what changed."""
    require_file(url)
    with render.counting("measuring", quiet=as_json) as tell:
        found = measure(url, threads=thread, encrypted=encrypted, on_progress=tell)
    if as_json:
        render.print_json(_jsonable(found))
        return
    checkpoints = found.total(lambda one: one.checkpoints)
    stored = found.total(lambda one: one.stored)
    render.out.print(f"{len(found.threads)} threads, {checkpoints} checkpoints, {in_bytes(stored)}{_ratio(found)}")
    if not found.threads:
        return
    rows = [(escape(one.thread_id), one.checkpoints, in_bytes(one.stored)) for one in found.threads[:top]]
    render.print_table(("thread", "checkpoints", "stored"), rows)
    channels = [(escape(name), in_bytes(size.stored), in_bytes(size.latest)) for name, size in found.channels().items()]
    render.print_table(("channel", "stored", "largest now"), channels[:top])
    render.print_table(("day", "stored"), [(day, in_bytes(size)) for day, size in [*found.days().items()][-top:]])


def _ratio(found: Stats) -> str:
    return "" if found.ratio is None else f", {found.ratio:.1f} times smaller than whole values"


def _jsonable(found: Stats) -> dict[str, Any]:
    return {
        "threads": [_thread(one) for one in found.threads],
        "channels": _channels(found.channels()),
        "days": dict(found.days()),
        "stored": found.total(lambda one: one.stored),
        "whole": found.total(lambda one: one.whole),
        "ratio": found.ratio,
    }


def _thread(one: ThreadSize) -> dict[str, Any]:
    about = {"thread_id": one.thread_id, "checkpoints": one.checkpoints, "unreadable": one.unreadable}
    return {**about, "stored": one.stored, "whole": one.whole, "channels": _channels(one.channels)}


def _channels(found: Mapping[str, ChannelSize]) -> dict[str, Any]:
    return {name: {"stored": size.stored, "whole": size.whole, "latest": size.latest} for name, size in found.items()}
