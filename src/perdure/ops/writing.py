"""Streams of commits, stored."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from perdure.checkpoint.base import Commit
from perdure.ops.progress import OnProgress, Tally
from perdure.ops.reading import Saver

_BATCH: Final = 16
"""Commits stored in one transaction; their values are in memory at once."""


def store(saver: Saver, commits: Iterable[Commit], tally: Tally, tell: OnProgress) -> None:
    """Store commits of one thread in their order, several in a transaction.

    Raises:
        StorageError: The target can't. What was stored before stays, and doing it again goes on behind that.
        SerializationError: A value can't be stored there.
    """
    left = iter(commits)
    while batch := list(islice(left, _BATCH)):
        saver.commit([saver.prepare(one) for one in batch])
        tally.checkpoints += sum(one.checkpoint is not None for one in batch)
        tally.writes += sum(len(one.writes) for one in batch if one.checkpoint is None)
        tell(tally)
