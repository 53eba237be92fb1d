"""What a run asks of its driver, and how the driver answers.

A run is a generator that yields effects and is sent their outcome:

1. `Load`, `LoadBefore`: the stored checkpoint, or None. `LoadHead`: the id of the namespace's newest one, or None.
2. `Execute`: None, once every task has ended. While the tasks run, the driver hands those that ended to `Run.ended`,
   and stores what `Run.take_unsaved` returns before anything counts it.
3. `Store`: None, when the commits are durable (with durability `async`: when they are queued, in order).
4. `Recall`: the values that the cache has. `Memorise`: None, once the cache has them.

An effect that fails is thrown into the generator.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.types import RunnableConfig

if TYPE_CHECKING:
    from perdure.pregel.task import Task


class Load(NamedTuple):
    """Ask for a stored checkpoint."""

    config: RunnableConfig


class LoadBefore(NamedTuple):
    """Ask for the newest stored checkpoint of the namespace that is older than another one."""

    config: RunnableConfig
    before: str


class LoadHead(NamedTuple):
    """Ask for the id of the newest checkpoint of the namespace."""


class Store:
    """Ask for prepared commits to be made durable, all or nothing."""

    __slots__ = ("prepared",)

    def __init__(self, prepared: Sequence[Any]) -> None:
        self.prepared = prepared


class Recall:
    """Ask the cache for values by key; the reply is a dict of those that it has."""

    __slots__ = ("keys",)

    def __init__(self, keys: Sequence[Any]) -> None:
        self.keys = keys


class Memorise:
    """Let the cache keep values."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Mapping[Any, Any]) -> None:
        self.pairs = pairs


class Execute:
    """Ask for tasks to be run."""

    __slots__ = ("tasks",)

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks


Effect = Load | LoadBefore | LoadHead | Store | Recall | Memorise | Execute
Loop = Generator[Effect, Any, None]
