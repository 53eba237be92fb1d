"""`perdure stats`: what a database's threads take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure.checkpoint.sizes import ChannelSize, ThreadSize
from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.files import write_file
from perdure.ops import Probe, Stats, probe
from perdure.ops import stats as measure
from perdure.ops.opening import nameable
from perdure.ops.report import to_html, to_png
from perdure.ops.report.units import in_bytes
from perdure.ops.report.words import headline, in_milliseconds, latencies

Top = Annotated[int, typer.Option("--top", min=1, help="Show so many of the largest threads, and days")]

Probes = Annotated[
    int,
    typer.Option(
        "--probe",
        min=0,
        metavar="N",
        help="Time so many reads and, in a thread that is deleted again, commits  \\[default: none]",
        show_default=False,
    ),
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a report, one page without a network")]
Png = Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write a picture of it (perdure\\[draw])")]


def stats(
    url: choosing.Url,
    thread: choosing.Threads = None,
    top: Top = 10,
    probes: Probes = 0,
    html: Html = None,
    png: Png = None,
    encrypted: choosing.Encrypted = False,
    as_json: options.AsJson = False,
) -> None:
    """Show bytes by thread, channel and day, and how much is saved by storing what changed."""
    require_file(url)
    with render.counting("measuring", quiet=as_json) as tell:
        found = measure(url, threads=thread, encrypted=encrypted, on_progress=tell)
        took = probe(url, reads=probes, commits=probes, encrypted=encrypted) if probes else None
    for path, make in ((html, to_html), (png, to_png)):
        if path is not None:
            made = make(found, nameable(url), probe=took, top=top)
            write_file(path, made if isinstance(made, bytes) else made.encode("utf-8"))
            render.note(f"written: {path}")
    if as_json:
        render.print_json({**_jsonable(found), "latency": _latency(took)})
        return
    render.out.print(headline(found))
    for kind, one in latencies(took):
        render.out.print(f"{kind}: {in_milliseconds(one)}")
    if not found.threads:
        return
    rows = [(escape(one.thread_id), one.checkpoints, in_bytes(one.stored)) for one in found.threads[:top]]
    render.print_table(("thread", "checkpoints", "stored"), rows)
    channels = [(escape(name), in_bytes(size.stored), in_bytes(size.latest)) for name, size in found.channels().items()]
    render.print_table(("channel", "stored", "largest now"), channels[:top])
    render.print_table(("day", "stored"), [(day, in_bytes(size)) for day, size in [*found.days().items()][-top:]])


def _jsonable(found: Stats) -> dict[str, Any]:
    return {
        "threads": [_thread(one) for one in found.threads],
        "channels": _channels(found.channels()),
        "days": dict(found.days()),
        "growth": dict(found.growth()),
        "stored": found.total(lambda one: one.stored),
        "whole": found.total(lambda one: one.whole),
        "ratio": found.ratio,
    }


def _thread(one: ThreadSize) -> dict[str, Any]:
    about = {"thread_id": one.thread_id, "checkpoints": one.checkpoints, "unreadable": one.unreadable}
    return {**about, "stored": one.stored, "whole": one.whole, "channels": _channels(one.channels)}


def _channels(found: Mapping[str, ChannelSize]) -> dict[str, Any]:
    return {name: {"stored": size.stored, "whole": size.whole, "latest": size.latest} for name, size in found.items()}


def _latency(took: Probe | None) -> dict[str, Any] | None:
    if took is None:
        return None
    return {name: None if one is None else one._asdict() for name, one in took._asdict().items()}
