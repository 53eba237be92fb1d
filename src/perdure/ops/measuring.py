"""What a database's threads take, and what of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from perdure.checkpoint.sizes import ChannelSize, ThreadSize
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.selecting import Selection

__all__ = ["Stats", "stats"]


class Stats(NamedTuple):
    """What the threads of a database take.

    Attributes:
        threads: Each one's size, the largest first.
    """

    threads: Sequence[ThreadSize]

    def total(self, of: Callable[[ThreadSize], int]) -> int:
        """Sum up one figure of all threads."""
        return sum(map(of, self.threads))

    @property
    def ratio(self) -> float | None:
        """How many times smaller the store is than if each checkpoint had its values for itself; None: not known."""
        stored = self.total(lambda one: one.stored)
        known = stored and all(one.knows_stored for one in self.threads)
        return self.total(lambda one: one.whole) / stored if known else None

    def channels(self) -> Mapping[str, ChannelSize]:
        """Sum up channels of the same name, the largest first; `latest` is the largest of them."""
        found: dict[str, ChannelSize] = defaultdict(ChannelSize)
        for thread in self.threads:
            for name, size in thread.channels.items():
                found[name].stored += size.stored
                found[name].whole += size.whole
                found[name].latest = max(found[name].latest, size.latest)
        return dict(sorted(found.items(), key=lambda item: (-item[1].stored, -item[1].whole, item[0])))

    def days(self) -> Mapping[str, int]:
        """Sum up what was stored on each day, in the order of the days."""
        found: dict[str, int] = defaultdict(int)
        for thread in self.threads:
            for day, stored in thread.days.items():
                found[day] += stored
        return dict(sorted(found.items()))

    def growth(self) -> Mapping[str, int]:
        """Sum up what had been stored until each day; what was deleted since isn't among it."""
        days = self.days()
        return dict(zip(days, accumulate(days.values()), strict=True))


def stats(
    where: Where,
    *,
    threads: Sequence[str] | None = None,
    encrypted: bool = False,
    on_progress: OnProgress = silent,
) -> Stats:
    """Measure a database; every byte of it is read.

    Args:
        where: A URL, a saver, or a `Database`.
        threads: Only these; all by default.
        encrypted: Whether the values are encrypted, with the key of the environment.
        on_progress: Is told how far it is.

    Raises:
        StorageError: It can't be read.
    """
    found: list[ThreadSize] = []
    tally = Tally()
    with opened(where, encrypted=encrypted) as database:
        for thread_id in Selection(threads).threads_of(database.saver):
            found.append(database.saver.measure_thread(thread_id))
            tally.threads += 1
            tally.present += found[-1].checkpoints
            on_progress(tally)
    return Stats(sorted(found, key=lambda one: (-one.stored, -one.whole, one.thread_id)))
