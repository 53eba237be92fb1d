"""What long operations tell of how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["OnProgress", "Tally"]


@dataclass
class Tally:
    """How much an operation has done so far.

    Attributes:
        threads: Threads that were looked at.
        checkpoints: Checkpoints that were written.
        writes: Writes of tasks, pending on checkpoints without children, that were looked at.
        present: Checkpoints that were there already.
        items: Items of the store that were written.
    """

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    present: int = 0
    items: int = 0


OnProgress = Callable[[Tally], None]
"""Called after each thread and each batch, with the same object each time."""


def silent(tally: Tally) -> None:
    """Tell nobody."""
