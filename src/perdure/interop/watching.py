"""Following runs from outside: what a run asks of its driver is passed on, and what it took is told."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from perdure.errors import GraphBubbleUp

__all__ = ["SUPERSTEP", "Both", "Watcher", "is_signal"]

SUPERSTEP: Final = "superstep"
_EFFECTS: Final = {
    "Execute": SUPERSTEP,
    "Load": "load",
    "LoadBefore": "load",
    "LoadHead": "load",
    "Store": "store",
    "Recall": "cache get",
    "Memorise": "cache set",
}


class Watcher(ABC):
    """Is told of runs; one for any number of graphs.

    Attributes:
        tells_tasks: Whether it is told of each task too, which costs more.
    """

    tells_tasks = False

    def loop(self, run: Any, name: str, loop: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
        """Follow a run while its driver drives it."""
        within = self.begins(run, name)
        error: BaseException | None = None
        outcome = "abandoned"
        try:
            yield from self._effects(run, loop, within)
            outcome = "interrupted" if run.interrupts else "done"
        except GeneratorExit:
            raise
        except BaseException as e:
            outcome, error = type(e).__name__, e
            raise
        finally:
            self.ends(within, name, outcome, None if is_signal(error) else error)

    def _effects(self, run: Any, loop: Generator[Any, Any, None], within: Any) -> Generator[Any, Any, None]:
        """Pass effects on to the driver and replies back."""
        reply: Any = None
        error: BaseException | None = None
        try:
            while True:
                try:
                    effect = loop.send(reply) if error is None else loop.throw(error)
                except StopIteration:
                    return
                reply = error = None
                kind = _EFFECTS.get(type(effect).__name__, type(effect).__name__)
                began = time.perf_counter()
                asked = self.asks(run, within, kind, effect)
                try:
                    reply = yield effect
                except GeneratorExit:
                    raise
                except BaseException as e:  # noqa: BLE001 - the loop decides
                    error = e
                finally:
                    self.answered(within, kind, asked, time.perf_counter() - began, error)
        finally:
            loop.close()

    @abstractmethod
    def begins(self, run: Any, name: str) -> Any:
        """Hear that a run of a graph begins; what this returns is given to the other methods as `within`."""

    @abstractmethod
    def ends(self, within: Any, name: str, outcome: str, error: BaseException | None) -> None:
        """Hear that a run has ended: `done`, `interrupted`, `abandoned`, or with an error, by its name."""

    def asks(self, run: Any, within: Any, kind: str, effect: Any) -> Any:  # noqa: B027 - not all want to hear it
        """Hear that a superstep or an operation of the storage begins; what this returns is given to `answered`."""

    @abstractmethod
    def answered(self, within: Any, kind: str, asked: Any, seconds: float, error: BaseException | None) -> None:
        """Hear how long it took, and what it raised."""

    def task(self, scope: Any) -> AbstractContextManager[None]:
        """Follow a task while it runs, in the context in which it runs; only if `tells_tasks`."""
        return nullcontext()


class Both:
    """Two that are told of the same runs; of tasks only the first.

    Args:
        first: A watcher.
        second: Another one.
    """

    def __init__(self, first: Any, second: Watcher) -> None:
        self._first = first
        self._second = second
        self.tells_tasks: bool = first.tells_tasks
        self.task = first.task

    def loop(self, run: Any, name: str, loop: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
        """Follow a run while its driver drives it."""
        return self._first.loop(run, name, self._second.loop(run, name, loop))  # type: ignore[no-any-return]


def is_signal(error: BaseException | None) -> bool:
    """Tell whether it is control flow: a stop to ask is no failure."""
    return isinstance(error, GraphBubbleUp)
