"""Handlers in `config["callbacks"]` that are told when a run stops to ask, and when it goes on.

Where langchain-core is installed, a `GraphCallbackHandler` is one of its handlers too, and gets its events.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
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
    "get_async_graph_callback_manager_for_config",
    "get_sync_graph_callback_manager_for_config",
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
    """Override what you want to be told of, by functions, or coroutine functions for asynchronous runs.

    A coroutine function is called at the moment itself, and waited for before the run ends. What a handler raises ends
    the run.
    """

    def on_interrupt(self, event: GraphInterruptEvent) -> Any:
        """A run has stopped to ask."""

    def on_resume(self, event: GraphResumeEvent) -> Any:
        """A run goes on."""


class GraphCallbackManager:
    """Tells handlers of a run's stops and goings-on, in their order.

    Attributes:
        handlers: Who is told.
        run_id: The run, for whoever asks.
    """

    def __init__(self, handlers: Sequence[GraphCallbackHandler], run_id: Any = None) -> None:
        self.handlers = list(handlers)
        self.run_id = run_id

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """Tell that a run has stopped to ask."""
        for handler in self.handlers:
            handler.on_interrupt(event)

    def on_resume(self, event: GraphResumeEvent) -> None:
        """Tell that a run goes on."""
        for handler in self.handlers:
            handler.on_resume(event)


class AsyncGraphCallbackManager:
    """Does what `GraphCallbackManager` does, and waits for handlers that are coroutine functions."""

    def __init__(self, handlers: Sequence[GraphCallbackHandler], run_id: Any = None) -> None:
        self.handlers = list(handlers)
        self.run_id = run_id

    async def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """Tell that a run has stopped to ask."""
        for handler in self.handlers:
            await _done(handler.on_interrupt(event))

    async def on_resume(self, event: GraphResumeEvent) -> None:
        """Tell that a run goes on."""
        for handler in self.handlers:
            await _done(handler.on_resume(event))


async def _done(answer: Any) -> None:
    if inspect.isawaitable(answer):
        await answer


def get_sync_graph_callback_manager_for_config(
    config: Mapping[str, Any], *, run_id: Any = None
) -> GraphCallbackManager:
    """Return what tells the handlers of a config, for code that runs graphs in its own way."""
    return GraphCallbackManager(_handlers_of(config), run_id)


def get_async_graph_callback_manager_for_config(
    config: Mapping[str, Any], *, run_id: Any = None
) -> AsyncGraphCallbackManager:
    """Do what `get_sync_graph_callback_manager_for_config` does, for coroutines."""
    return AsyncGraphCallbackManager(_handlers_of(config), run_id)


def _handlers_of(config: Mapping[str, Any]) -> list[GraphCallbackHandler]:
    given = config.get("callbacks")
    return [one for one in getattr(given, "handlers", given) or () if isinstance(one, GraphCallbackHandler)]


def tell(config: Any, name: str, event: GraphLifecycleEvent) -> list[Any]:
    """Tell the handlers of a config; return what those that are coroutine functions have left to wait for."""
    answers = [getattr(handler, name)(event) for handler in _handlers_of(config)]
    return [answer for answer in answers if inspect.isawaitable(answer)]
