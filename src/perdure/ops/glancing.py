"""What happens in a database between two looks: rates, the threads that move, and who holds leases."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from perdure.checkpoint.activity import Activity
from perdure.checkpoint.ids import time_of
from perdure.ops.opening import Database

__all__ = ["Glance", "Mover", "glances"]


class Mover(NamedTuple):
    """A thread with the newest steps.

    Attributes:
        thread_id: The thread.
        steps: Its new checkpoints, in all namespaces.
        stored: Bytes of these; None: not known.
        moment: When its latest one was made, in seconds since 1970; None: its id doesn't tell.
        holder: Who holds its lease; None: nobody, or not known.
    """

    thread_id: str
    steps: int
    stored: int | None
    moment: float | None
    holder: str | None


class Glance(NamedTuple):
    """What happened between two looks.

    Attributes:
        seconds: The time between them; 0 at the first look, before which nothing is known.
        threads: Those with the newest steps first, at most 1,000; what moved, and what didn't.
        leases: How many leases are held; None: not known.
    """

    seconds: float
    threads: Sequence[Mover]
    leases: int | None

    @property
    def steps(self) -> float:
        """Steps a second."""
        return sum(one.steps for one in self.threads) / self.seconds if self.seconds else 0.0

    @property
    def stored(self) -> float | None:
        """Bytes a second; None: not known."""
        known = [one.stored for one in self.threads if one.steps]
        if None in known:
            return None
        return sum(size or 0 for size in known) / self.seconds if self.seconds else 0.0


def glances(database: Database) -> Iterator[Glance]:
    """Look at once, and each time that the next glance is asked for; it is about the time in between.

    Args:
        database: An open database; it isn't written to.
    """
    before, then = database.saver.activity(), time.monotonic()
    yield Glance(0.0, _movers(before), None if before.leases is None else len(before.leases))
    while True:
        now, moment = database.saver.activity(before), time.monotonic()
        yield Glance(moment - then, _movers(now), None if now.leases is None else len(now.leases))
        before, then = now, moment


def _movers(now: Activity) -> list[Mover]:
    heads: dict[str, str] = {}
    for (thread_id, _), mark in now.marks.items():  # the newest first
        heads.setdefault(thread_id, mark.head)
    steps: dict[str, int] = {}
    stored: dict[str, int | None] = {}
    for one in now.moved:
        steps[one.thread_id] = steps.get(one.thread_id, 0) + one.steps
        old = stored.get(one.thread_id, 0)
        stored[one.thread_id] = None if old is None or one.stored is None else old + one.stored
    leases = now.leases or {}
    return [
        Mover(thread_id, steps.get(thread_id, 0), stored.get(thread_id, 0), time_of(head), leases.get(thread_id))
        for thread_id, head in heads.items()
    ]
