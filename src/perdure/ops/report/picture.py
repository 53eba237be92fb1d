"""A report as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from perdure.ops.measuring import Stats
from perdure.ops.probing import Latency, Probe
from perdure.ops.report import charts, scene
from perdure.ops.report.scene import FAINT, Scene, Words
from perdure.ops.report.units import in_bytes

_MARGIN: Final = 24.0


def headline(found: Stats) -> str:
    """Say what there is in one line."""
    checkpoints, stored = found.total(lambda one: one.checkpoints), found.total(lambda one: one.stored)
    ratio = "" if found.ratio is None else f", {found.ratio:.1f} times smaller than whole values"
    return f"{len(found.threads)} threads, {checkpoints} checkpoints, {in_bytes(stored)}{ratio}"


def latencies(probe: Probe | None) -> Iterator[tuple[str, Latency]]:
    """Return what a probe has measured, by name."""
    if probe is not None:
        pairs = (("reads of a latest state", probe.read), ("commits of 1 KB", probe.commit))
        yield from ((name, each) for name, each in pairs if each is not None)


def in_milliseconds(one: Latency) -> str:
    """Say how long something takes."""
    told = ", ".join(f"{name} {getattr(one, name) * 1000:.2f} ms" for name in ("p50", "p95", "p99"))
    return f"{told}, at most {one.most * 1000:.2f} ms, of {one.times}"


def scenes(found: Stats, top: int) -> list[tuple[str, Scene]]:
    """Return the charts, each with its title; those of which nothing is known are left out."""
    made: list[tuple[str, Scene]] = []
    if days := [*found.days().items()]:
        made.append((title := "Bytes of the checkpoints of each day", charts.columns(title, days)))
        made.append(
            (title := "Growth: bytes of all checkpoints until a day", charts.line(title, [*found.growth().items()]))
        )
    if threads := [(one.thread_id, one.stored or one.whole) for one in found.threads[:top]]:
        made.append((title := "The largest threads", charts.bars(title, threads)))
    if channels := [(name, size.stored or size.whole) for name, size in found.channels().items()][:top]:
        made.append((title := "The largest channels", charts.bars(title, channels)))
    return made


def to_png(found: Stats, name: str, *, probe: Probe | None = None, top: int = 10) -> bytes:
    """Draw what `stats` has found as a picture, in the format PNG.

    Args:
        found: What was found.
        name: Of the database.
        probe: What `probe` has found.
        top: How many threads and channels are drawn.

    Raises:
        UsageError: Pillow isn't installed.
    """
    words = [Words(0, 16, name, size=20), Words(0, 42, headline(found), size=13, colour=FAINT)]
    for kind, one in latencies(probe):
        words.append(Words(0, words[-1].y + 20, f"{kind}: {in_milliseconds(one)}", size=12, colour=FAINT))
    head = Scene(charts.WIDTH, words[-1].y + 30, words)
    whole = scene.stacked([head, *(each for _, each in scenes(found, top))])
    return scene.to_png(scene.framed(whole, _MARGIN))
