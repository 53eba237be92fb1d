"""What both drivers share: limits, and what counts as a failure.

1. A driver holds all concurrency, cancellation and waiting of a run; what happens, and in which order, is the run's
   business (see `effects`). There is one for synchronous callers (`sync`) and one for asynchronous ones (`aio`).
2. With durability `async`, each run commits behind its own back. A graph called from inside first waits until the
   commits of the run around it are durable: its namespace depends on that run's checkpoint, and what it stored under
   a checkpoint that was lost would never be found again. Its own commits are durable when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perdure.constants import CONF
from perdure.errors import GraphBubbleUp

if TYPE_CHECKING:
    from perdure.pregel.effects import LoadBefore
    from perdure.pregel.task import Task
    from perdure.types import RunnableConfig

MAX_LAG = 64
"""Commits that durability `async` lets wait; beyond it, the run waits for the storage (back-pressure)."""

DEFAULT_CONCURRENCY = 32
"""Tasks that run at once in a synchronous superstep, unless the config's `max_concurrency` says otherwise."""


def failure_of(tasks: Sequence[Task]) -> BaseException | None:
    """Return what the first failed task raised; a stop to ask is no failure."""
    for task in tasks:
        if task.failure is not None and not isinstance(task.failure, GraphBubbleUp):
            return task.failure
    return None


def before_config(effect: LoadBefore) -> RunnableConfig:
    """Return the config of the checkpoint that a `LoadBefore` looks before."""
    return {CONF: {**effect.config[CONF], "checkpoint_id": effect.before}}
