"""What a report says in words."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.ops.measuring import Stats
from perdure.ops.probing import Latency, Probe
from perdure.ops.report.units import in_bytes


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
