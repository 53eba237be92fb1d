"""Looking at threads and changing them from outside: states, histories, updates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.constants import CONF, CONFIG_KEY_CHECKPOINTER
from perdure.errors import InvalidConfigError
from perdure.pregel.calls import Call, adopted, merge_configs, parent_of
from perdure.pregel.driver import aanswer, answer
from perdure.pregel.run import Run
from perdure.pregel.scope import strip_task_ids
from perdure.pregel.snapshot import deferred_snapshot, take_snapshot
from perdure.pregel.updates import Updater
from perdure.types import RunnableConfig, StateSnapshot, StateUpdate

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver
    from perdure.pregel.main import Pregel


class ThreadAccess:
    """The part of a graph by which people look at its threads and change them."""

    @property
    def _graph(self) -> Pregel:
        return cast("Pregel", self)

    def _saver_for(self, config: RunnableConfig) -> BaseCheckpointSaver[Any]:
        brought: BaseCheckpointSaver[Any] | None = (config.get(CONF) or {}).get(CONFIG_KEY_CHECKPOINTER)
        call_saver = self._graph.checkpointer if brought is None else adopted(brought)
        if call_saver is None or isinstance(call_saver, bool):
            parent = parent_of(config)
            if parent is not None and parent.run.saver is not None:
                return parent.run.saver
            msg = "this graph has no checkpointer, so it keeps no state"
            raise InvalidConfigError(msg, hint="compile it with one: builder.compile(checkpointer=InMemorySaver())")
        return call_saver

    def _addressed(self, config: RunnableConfig) -> tuple[Pregel, RunnableConfig]:
        """Find the graph that a config's namespace addresses: this one or a subgraph."""
        merged = merge_configs(self._graph.config, config)
        conf = merged.get(CONF) or {}
        if conf.get("thread_id") is None:
            msg = "the config names no thread"
            raise InvalidConfigError(msg, hint='pass {"configurable": {"thread_id": "..."}}')
        conf = {k: v for k, v in conf.items() if not k.startswith("__")}
        conf["thread_id"] = str(conf["thread_id"])
        ns = conf.setdefault("checkpoint_ns", "")
        graph: Pregel = self._graph
        for name in strip_task_ids(ns).split("|") if ns else ():
            node = graph.plan.nodes.get(name)
            inner = node.subgraph if node else None
            if inner is None:
                msg = f"the namespace {ns!r} names the subgraph {name!r}, which isn't there"
                raise InvalidConfigError(msg)
            graph = inner
        return graph, {**merged, CONF: conf}

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return a thread's state: as it stands now, or at the checkpoint that the config addresses.

        Args:
            config: Names the thread, and perhaps `checkpoint_id` and `checkpoint_ns`.
            subgraphs: Include the states of subgraphs in the tasks.
        """
        asked, saver = config, self._saver_for(config)
        graph, config = self._addressed(config)
        op = take_snapshot(
            graph.plan,
            saver.get_tuple(config),
            saver,
            config,
            is_live=config[CONF].get("checkpoint_id") is None,
            subgraphs=subgraphs,
            asked=asked,
        )
        return answer(saver, op)

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Do what `get_state` does, asynchronously."""
        asked, saver = config, self._saver_for(config)
        graph, config = self._addressed(config)
        op = take_snapshot(
            graph.plan,
            await saver.aget_tuple(config),
            saver,
            config,
            is_live=config[CONF].get("checkpoint_id") is None,
            subgraphs=subgraphs,
            asked=asked,
        )
        return await aanswer(saver, op)

    def get_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StateSnapshot]:
        """Yield a thread's states, newest first.

        Args:
            config: Names the thread.
            filter: Metadata that the checkpoints must have.
            before: Only checkpoints older than the one that this config addresses.
            limit: At most so many.
        """
        saver = self._saver_for(config)
        graph, config = self._addressed(config)
        where = _listed(config)
        for stored in saver.browse(where, filter=filter, before=before, limit=limit):
            yield deferred_snapshot(graph.plan, stored, saver, config)

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """Do what `get_state_history` does, asynchronously."""
        saver = self._saver_for(config)
        graph, config = self._addressed(config)
        async for stored in saver.abrowse(_listed(config), filter=filter, before=before, limit=limit):
            yield deferred_snapshot(graph.plan, stored, saver, config)

    def update_state(
        self,
        config: RunnableConfig,
        values: Any,
        as_node: str | None = None,
        task_id: str | None = None,
    ) -> RunnableConfig:
        """Change a thread's state as if a node had written the values, and return the new checkpoint's config.

        Args:
            config: Names the thread, and perhaps an old checkpoint to branch off from.
            values: The update; None with `as_node=END` drops what was going to run.
            as_node: The node that counts as the writer; by default the one that wrote last.
            task_id: The id of the task that counts as the writer.

        Raises:
            InvalidUpdateError: It isn't clear which node wrote last, or the channels can't take the values.
        """
        return self.bulk_update_state(config, [[StateUpdate(values, as_node, task_id)]])

    async def aupdate_state(
        self,
        config: RunnableConfig,
        values: Any,
        as_node: str | None = None,
        task_id: str | None = None,
    ) -> RunnableConfig:
        """Do what `update_state` does, asynchronously."""
        return await self.abulk_update_state(config, [[StateUpdate(values, as_node, task_id)]])

    def bulk_update_state(self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]) -> RunnableConfig:
        """Apply supersteps of updates, each as one checkpoint, and return the last one's config.

        Raises:
            InvalidUpdateError: As `update_state`.
        """
        call, updater = self._updater(config, supersteps)
        for _ in self._graph.drive(call, updater.run, updater.loop(supersteps), None):
            pass
        return updater.config

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Do what `bulk_update_state` does, asynchronously."""
        call, updater = self._updater(config, supersteps)
        async for _ in self._graph.adrive(call, updater.run, updater.loop(supersteps), None):
            pass
        return updater.config

    def send_event(self, config: RunnableConfig, name: str, value: Any = None, *, event_id: str | None = None) -> str:
        """Send an event to a thread, for a node that waits for it with `runtime.wait_for(name)`, now or later.

        It is durable when this returns. It may be sent while the thread runs, and before it has begun. A thread that
        has stopped to wait goes on when it is resumed: `invoke(None, config)`, or `resume_all()`.

        Args:
            config: Names the thread.
            name: The event's name.
            value: What `wait_for` returns; anything that can be stored.
            event_id: Names the event: sent again with the same id (after a lost reply), it comes once.

        Returns:
            The event's id.

        Raises:
            InvalidConfigError: The config names no thread, or the graph has no saver.
            SerializationError: The value can't be stored.
        """
        from perdure.pregel import events

        saver, thread_id = self._saver_for(config), self._addressed(config)[1][CONF]["thread_id"]
        return answer(saver, events.sending(saver, thread_id, name, value, event_id))

    async def asend_event(
        self, config: RunnableConfig, name: str, value: Any = None, *, event_id: str | None = None
    ) -> str:
        """Do what `send_event` does, asynchronously."""
        from perdure.pregel import events

        saver, thread_id = self._saver_for(config), self._addressed(config)[1][CONF]["thread_id"]
        return await aanswer(saver, events.sending(saver, thread_id, name, value, event_id))

    def _updater(self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]) -> tuple[Call, Updater]:
        if not supersteps:
            msg = "bulk_update_state needs at least one superstep"
            raise InvalidConfigError(msg)
        saver = self._saver_for(config)
        graph, address = self._addressed(config)
        ns = address[CONF]["checkpoint_ns"]
        call = Call(self._graph.copy({"checkpointer": saver}), config)
        settings = call.settings(durability="sync")._replace(
            plan=graph.plan,
            ns=ns,
            saver=saver,
            thread_id=address[CONF]["thread_id"],
            checkpoint_id=address[CONF].get("checkpoint_id"),
            parent=None,
        )
        return call, Updater(Run(settings))


def _listed(config: RunnableConfig) -> RunnableConfig:
    conf = config[CONF]
    where = {key: conf[key] for key in ("thread_id", "checkpoint_ns", "checkpoint_id") if conf.get(key) is not None}
    return {CONF: where}
