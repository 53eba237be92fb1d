"""What makes an object a graph for those who only use it, and what takes a run's events.

`StateGraph.compile()` and `@entrypoint` make graphs that keep `PregelProtocol`; so may a client of a graph elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from perdure.types import RunnableConfig, StateSnapshot, StateUpdate

__all__ = ["PregelProtocol", "StreamProtocol"]


@runtime_checkable
class PregelProtocol(Protocol):
    """A graph that can be run, looked at and changed; the methods are those of `perdure.pregel.Pregel`."""

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Return a copy whose calls have this config by default."""
        ...

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Any:
        """Return the graph's drawing."""
        ...

    async def aget_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Any:
        """Async twin of `get_graph`."""
        ...

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return a thread's state."""
        ...

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Async twin of `get_state`."""
        ...

    def get_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StateSnapshot]:
        """Yield a thread's states, newest first."""
        ...

    def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """Async twin of `get_state_history`."""
        ...

    def update_state(
        self, config: RunnableConfig, values: dict[str, Any] | Any | None, as_node: str | None = None
    ) -> RunnableConfig:
        """Change a thread's state, as if a node had returned the values."""
        ...

    async def aupdate_state(
        self, config: RunnableConfig, values: dict[str, Any] | Any | None, as_node: str | None = None
    ) -> RunnableConfig:
        """Async twin of `update_state`."""
        ...

    def bulk_update_state(self, config: RunnableConfig, updates: Sequence[Sequence[StateUpdate]]) -> RunnableConfig:
        """Change a thread's state by several supersteps of updates."""
        ...

    async def abulk_update_state(
        self, config: RunnableConfig, updates: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Async twin of `bulk_update_state`."""
        ...

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """Run the graph and yield what happens, as it happens."""
        ...

    def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """Async twin of `stream`."""
        ...

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """Run the graph to its end or to its next question, and return the output."""
        ...

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """Async twin of `invoke`."""
        ...


@runtime_checkable
class StreamProtocol(Protocol):
    """What takes the events of a run; `perdure.pregel.stream.Sink` is one."""

    @property
    def modes(self) -> AbstractSet[str]:
        """The stream modes that somebody listens to."""
        ...

    def __call__(self, chunk: tuple[tuple[str, ...], str, Any]) -> None:
        """Take an event: (namespace, mode, payload)."""
        ...
