"""Handlers in `config["callbacks"]` that are told when a run stops to ask, and when it goes on.

Where langchain-core is installed, a `GraphCallbackHandler` is one of its handlers too, and gets its events.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from perdure.types import Interrupt

    _Base = object
else:
    try:
        from langchain_core.callbacks import BaseCallbackHandler as _Base
    except ImportError:  # nobody else calls handlers then
        _Base = object

__all__ = [
    "GraphCallbackHandler",
    "GraphInterruptEvent",
    "GraphLifecycleEvent",
    "GraphLifecycleStatus",
    "GraphResumeEvent",
]

GraphLifecycleStatus = Literal["pending"]
"""How a run stands when it stops to ask, or goes on: something runs next."""


@dataclasses.dataclass(frozen=True, slots=True)
class GraphInterruptEvent:
    """A run has stopped to ask.

    Attributes:
        run_id: The config's `run_id`, if there is one.
        status: How it stands.
        checkpoint_id: The checkpoint at which it stopped.
        checkpoint_ns: The namespace, a part a level; () for the root.
        interrupts: The questions.
    """

    run_id: Any
    status: GraphLifecycleStatus
    checkpoint_id: str
    checkpoint_ns: tuple[str, ...]
    interrupts: tuple[Interrupt, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class GraphResumeEvent:
    """A run goes on where one has stopped.

    Attributes:
        run_id: The config's `run_id`, if there is one.
        status: How it stands.
        checkpoint_id: The checkpoint from which it goes on.
        checkpoint_ns: The namespace, a part a level; () for the root.
    """

    run_id: Any
    status: GraphLifecycleStatus
    checkpoint_id: str
    checkpoint_ns: tuple[str, ...]


GraphLifecycleEvent = GraphInterruptEvent | GraphResumeEvent


class GraphCallbackHandler(_Base):
    """Override what you want to be told of. What a handler raises ends the run."""

    def on_interrupt(self, event: GraphInterruptEvent) -> Any:
        """A run has stopped to ask."""

    def on_resume(self, event: GraphResumeEvent) -> Any:
        """A run goes on."""


def tell(config: Any, name: str, event: GraphLifecycleEvent) -> None:
    """Tell the handlers of a config."""
    given = config.get("callbacks")
    for handler in getattr(given, "handlers", given) or ():
        if isinstance(handler, GraphCallbackHandler):
            getattr(handler, name)(event)
