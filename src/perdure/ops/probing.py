"""How long a database takes now, from here: reads and commits, one at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from perdure.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from perdure.checkpoint.ids import new_id
from perdure.ops.opening import Where, opened

__all__ = ["Latency", "Probe", "probe"]

_SIZE: Final = 512
"""Random bytes of a value that is committed, in hexadecimal twice as many."""


class Latency(NamedTuple):
    """How long an operation took, in seconds.

    Attributes:
        times: How often it was done.
        p50: Half of them took no longer.
        p95: 95 of 100 took no longer.
        p99: 99 of 100 took no longer.
        most: None took longer.
    """

    times: int
    p50: float
    p95: float
    p99: float
    most: float


class Probe(NamedTuple):
    """What a probe found; None: it wasn't asked for, or there is nothing to read."""

    read: Latency | None
    commit: Latency | None


def probe(where: Where, *, reads: int = 100, commits: int = 0, encrypted: bool = False) -> Probe:
    """Measure how long the database takes now, from here, one operation after the other.

    Nobody's runs are measured by that: they have the figures of `perdure.interop.prometheus`.

    Args:
        where: A URL, a saver, or a `Database`.
        reads: Of how many threads the latest state is read, decoding included.
        commits: How many checkpoints of 1 KB are written, to a thread of its own that is deleted in the end.
        encrypted: Whether the values are encrypted, with the key of the environment.

    Raises:
        StorageError: It can't be read or written.
    """
    with opened(where, encrypted=encrypted) as database:
        saver = database.saver
        read = [_timed(saver.get_tuple, _of(thread_id)) for thread_id in islice(saver.threads(limit=reads), reads)]
        return Probe(_latency(read), _latency(_commits(saver, commits)) if commits else None)


def _of(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def _timed(do: Callable[..., Any], *args: Any) -> float:
    begin = time.perf_counter()
    do(*args)
    return time.perf_counter() - begin


def _commits(saver: BaseCheckpointSaver[Any], commits: int) -> Sequence[float]:
    thread_id = f"perdure-probe-{new_id()}"
    config, version, found = _of(thread_id), None, []
    try:
        for step in range(commits):
            version = saver.get_next_version(version, None)
            made = empty_checkpoint()
            made["channel_values"], made["channel_versions"] = {"probe": os.urandom(_SIZE).hex()}, {"probe": version}
            begin = time.perf_counter()
            config = saver.put(config, made, {"source": "loop", "step": step}, {"probe": version})
            found.append(time.perf_counter() - begin)
    finally:
        saver.delete_thread(thread_id)
    return found


def _latency(found: Iterable[float]) -> Latency | None:
    took = sorted(found)
    if not took:
        return None

    def at(part: float) -> float:
        return took[min(len(took) - 1, int(part * len(took)))]

    return Latency(len(took), at(0.5), at(0.95), at(0.99), took[-1])
