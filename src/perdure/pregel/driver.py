"""What both drivers share: limits, and what counts as a failure.

1. A driver holds all concurrency, cancellation and waiting of a run; what happens, and in which order, is the run's
   business (see `effects`). There is one for synchronous callers (`sync`) and one for asynchronous ones (`aio`).
2. With durability `async`, each run commits behind its own back. A graph called from inside first waits until the
   commits of the run around it are durable: its namespace depends on that run's checkpoint, and what it stored under
   a checkpoint that was lost would never be found again. Its own commits are durable when it returns.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.constants import CONF
from perdure.errors import ConflictError, GraphBubbleUp
from perdure.pregel.effects import Load

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver
    from perdure.pregel.effects import LoadBefore, Store
    from perdure.pregel.task import Task
    from perdure.types import RunnableConfig

T = TypeVar("T")

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


def answer(saver: BaseCheckpointSaver[Any], asking: Generator[Load | Store, Any, T]) -> T:
    """Answer what an operation asks of a saver; return its outcome. A lost comparison is thrown into it."""
    reply: Any = None
    error: Exception | None = None
    try:
        while True:
            effect = asking.send(reply) if error is None else asking.throw(error)
            reply = error = None
            try:
                reply = saver.get_tuple(effect.config) if isinstance(effect, Load) else saver.commit(effect.prepared)
            except ConflictError as e:
                error = e
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def aanswer(saver: BaseCheckpointSaver[Any], asking: Generator[Load | Store, Any, T]) -> T:
    """Async twin of `answer`."""
    reply: Any = None
    error: Exception | None = None
    try:
        while True:
            effect = asking.send(reply) if error is None else asking.throw(error)
            reply = error = None
            try:
                if isinstance(effect, Load):
                    reply = await saver.aget_tuple(effect.config)
                else:
                    reply = await saver.acommit(effect.prepared)
            except ConflictError as e:
                error = e
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
