"""`PinnedGraph`: threads stay with the version of the graph that began them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from perdure.errors import GraphVersionError, InvalidConfigError
from perdure.pregel.main import Pregel
from perdure.pregel.versions import VERSION
from perdure.types import RunnableConfig, StateSnapshot

__all__ = ["PinnedGraph"]


class PinnedGraph:
    """Several versions of a graph as one: a thread goes on with the version that began it, new ones get the latest.

    Args:
        versions: Compiled graphs with versions and savers of the same storage, the latest last.

    Raises:
        InvalidConfigError: One has no version or no saver, or two have the same version.
    """

    def __init__(self, *versions: Pregel) -> None:
        self.graphs: dict[str, Pregel] = {}
        for graph in versions:
            version = graph.version
            if version is None or graph.checkpointer is None or isinstance(graph.checkpointer, bool):
                raise InvalidConfigError(
                    f"the graph {graph.name!r} has no {'version' if version is None else 'saver'}",
                    hint="builder.compile(checkpointer=..., version='1')",
                )
            if version in self.graphs:
                raise InvalidConfigError(f"two graphs are version {version!r}")
            self.graphs[version] = graph
        if not versions:
            raise InvalidConfigError("PinnedGraph needs at least one graph")
        self.latest = versions[-1]

    def _picked(self, version: Any, config: RunnableConfig) -> Pregel:
        if version is None:
            return self.latest
        if version not in self.graphs:
            thread_id = config["configurable"]["thread_id"]
            raise GraphVersionError(
                f"thread {thread_id!r} was made by version {version!r} of the graph",
                hint=f"here are {', '.join(self.graphs)}; add that one, or migrate",
                thread_id=thread_id,
            )
        return self.graphs[version]

    def graph_for(self, config: RunnableConfig) -> Pregel:
        """Return the version that a thread belongs to.

        Raises:
            GraphVersionError: It isn't here.
        """
        return self._picked((self.latest.get_state(config).metadata or {}).get(VERSION), config)

    async def agraph_for(self, config: RunnableConfig) -> Pregel:
        """Async twin of `graph_for`."""
        return self._picked(((await self.latest.aget_state(config)).metadata or {}).get(VERSION), config)

    def invoke(self, input: Any, config: RunnableConfig, **options: Any) -> Any:
        """Run the thread's version; see `Pregel.invoke`."""
        return self.graph_for(config).invoke(input, config, **options)

    async def ainvoke(self, input: Any, config: RunnableConfig, **options: Any) -> Any:
        """Async twin of `invoke`."""
        return await (await self.agraph_for(config)).ainvoke(input, config, **options)

    def stream(self, input: Any, config: RunnableConfig, **options: Any) -> Iterator[Any]:
        """Stream the thread's version; see `Pregel.stream`."""
        yield from self.graph_for(config).stream(input, config, **options)

    async def astream(self, input: Any, config: RunnableConfig, **options: Any) -> AsyncIterator[Any]:
        """Async twin of `stream`."""
        async for part in (await self.agraph_for(config)).astream(input, config, **options):
            yield part

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return a thread's state, as its version shows it."""
        return self.graph_for(config).get_state(config, subgraphs=subgraphs)

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Async twin of `get_state`."""
        return await (await self.agraph_for(config)).aget_state(config, subgraphs=subgraphs)

    def update_state(self, config: RunnableConfig, values: Any, as_node: str | None = None) -> RunnableConfig:
        """Change a thread's state, by its version's rules."""
        return self.graph_for(config).update_state(config, values, as_node)

    async def aupdate_state(self, config: RunnableConfig, values: Any, as_node: str | None = None) -> RunnableConfig:
        """Async twin of `update_state`."""
        return await (await self.agraph_for(config)).aupdate_state(config, values, as_node)

    def resume_all(self, **options: Any) -> list[Any]:
        """Take up what was left, each thread by its version; see `Pregel.resume_all`."""
        return [found for graph in self._each() for found in graph.resume_all(**options)]

    async def aresume_all(self, **options: Any) -> list[Any]:
        """Async twin of `resume_all`."""
        return [found for graph in self._each() for found in await graph.aresume_all(**options)]

    def _each(self) -> Sequence[Pregel]:
        return [graph.copy({"plan": graph.plan.only_own()}) for graph in self.graphs.values()]
