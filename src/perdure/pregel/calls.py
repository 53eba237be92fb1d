"""From the arguments of a call to the settings of a run: whose child it is, which thread, which saver."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.constants import CONF, CONFIG_KEY_CHECKPOINTER, SCOPE_KEY
from perdure.errors import InvalidConfigError, ReentrantRunError, UsageError
from perdure.pregel.settings import Settings
from perdure.pregel.stream import SILENT, Sink, Tee
from perdure.runtime import scope_var
from perdure.types import RunnableConfig

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver
    from perdure.pregel.main import Pregel
    from perdure.pregel.scope import TaskScope
    from perdure.runtime import RunControl
    from perdure.types import All, Checkpointer, Durability

_LIMITS = ("PERDURE_DEFAULT_RECURSION_LIMIT", "LANGGRAPH_DEFAULT_RECURSION_LIMIT")
DEFAULT_RECURSION_LIMIT = int(next(filter(None, map(os.environ.get, _LIMITS)), "10007"))
"""Supersteps that a run may take unless its config says otherwise."""


def merge_configs(*configs: RunnableConfig | None) -> RunnableConfig:
    """Merge configs: later ones win; metadata, tags and parameters are merged key by key."""
    merged: dict[str, Any] = {}
    for config in configs:
        given: dict[str, Any] = cast("dict[str, Any]", config or {})
        for key, value in given.items():
            if value is None:
                continue
            if key in ("metadata", CONF):
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "tags":
                merged["tags"] = [*merged.get("tags", ()), *value]
            else:
                merged[key] = value
    return cast("RunnableConfig", merged)


def parent_of(config: RunnableConfig | None) -> TaskScope | None:
    """Return the task that a graph is called from, if it is called as a subgraph.

    It is when the config is the task's own (or made from it), or names no thread of its own.
    """
    conf = (config or {}).get(CONF) or {}
    marked: TaskScope | None = conf.get(SCOPE_KEY)
    if marked is not None:
        return marked
    return None if "thread_id" in conf else scope_var.get()


class Call:
    """One call of a graph.

    Args:
        graph: The graph.
        config: The caller's config.
    """

    def __init__(self, graph: Pregel, config: RunnableConfig | None) -> None:
        if config is not None and not isinstance(config, dict):
            msg = f"config must be a dict such as {{'configurable': {{'thread_id': '1'}}}}, not {config!r}"
            raise InvalidConfigError(msg)
        self.graph = graph
        self.parent = parent_of(config)
        inherited = self.parent.config() if self.parent is not None else None
        self.config = merge_configs(graph.config, inherited, config)
        if self.parent is not None and (run_id := self.parent.run.config.get("run_id")):
            self.config.setdefault("run_id", run_id)  # a graph within is part of the run
        self.saver = self._saver()
        self.ns = ""
        self.checkpoint_id: str | None = None
        self.thread_id: str | None = None
        conf = self.config.get(CONF) or {}
        if self.parent is None:
            if self.saver is not None:
                self._address_root(conf)
        else:
            self.ns = self.parent.child_ns(stable=graph.checkpointer is True)
            self.thread_id = self.parent.run.thread_id
        self.conf = conf

    def _saver(self) -> BaseCheckpointSaver[Any] | None:
        own = self.graph.checkpointer
        brought: BaseCheckpointSaver[Any] | None = (self.config.get(CONF) or {}).get(CONFIG_KEY_CHECKPOINTER)
        if own is False:
            return None
        if self.parent is not None and (self.parent.run.saver is not None or own is True or own is None):
            return self.parent.run.saver
        if brought is not None:
            return cast("BaseCheckpointSaver[Any]", adopted(brought))
        if own is True:
            msg = "checkpointer=True is for subgraphs: it takes the saver of the graph around, and there is none"
            raise UsageError(msg, hint="compile the root graph with a saver of its own")
        return own

    def _address_root(self, conf: dict[str, Any]) -> None:
        if "thread_id" not in conf or conf["thread_id"] is None:
            msg = "a graph with a checkpointer needs to know its thread"
            raise InvalidConfigError(
                msg, hint='pass config={"configurable": {"thread_id": "..."}}: the same id finds the same state again'
            )
        self.thread_id = str(conf["thread_id"])
        if conf.get("checkpoint_ns"):
            self.checkpoint_id = (conf.get("checkpoint_map") or {}).get("")
        else:
            self.checkpoint_id = conf.get("checkpoint_id")

    def refuse_reentry(self) -> None:
        """Refuse a root call that would wait for the very run that it is called from.

        Raises:
            ReentrantRunError: It would.
        """
        scope = scope_var.get()
        while scope is not None:
            run = scope.run
            if run.saver is self.saver and self.saver is not None and run.thread_id == self.thread_id:
                msg = f"node {scope.task.name!r} of thread {self.thread_id!r} called a graph on its own thread"
                raise ReentrantRunError(
                    msg,
                    hint="call it as a subgraph, without a thread_id of its own (it then shares this run's turn), "
                    "or give it another thread_id",
                    thread_id=self.thread_id,
                    node=scope.task.name,
                )
            scope = run.parent

    def settings(
        self,
        *,
        sink: Sink | None = None,
        subgraphs: bool = False,
        modes: Sequence[str] = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        context: Any = None,
        control: RunControl | None = None,
    ) -> Settings:
        """Return the settings of the run that this call starts."""
        graph, parent = self.graph, self.parent
        outer = parent.run.sink if parent is not None else SILENT
        owns = bool(modes)
        if sink is None:
            if not modes:
                sink = outer
            elif outer is SILENT:
                sink = Sink(modes, subgraphs=subgraphs, is_live=graph.stream_eager)
            else:
                sink = Tee(modes, outer, subgraphs=subgraphs)
        inner = parent.run if parent is not None else None
        return Settings(
            plan=graph.plan,
            config=_unmarked(self.config),
            saver=self.saver,
            thread_id=self.thread_id,
            ns=self.ns,
            checkpoint_id=self.checkpoint_id,
            limit=_limit(self.config),
            step_timeout=graph.step_timeout,
            observer=graph.observer if graph.observer is not None else (inner.observer if inner else None),
            durability=durability or (inner.durability if inner else "async"),
            stable=graph.checkpointer is True,
            output_keys=_output(graph, output_keys, is_stream=bool(modes)),
            interrupt_before=interrupt_before if interrupt_before is not None else graph.interrupt_before_nodes,
            interrupt_after=interrupt_after if interrupt_after is not None else graph.interrupt_after_nodes,
            context=graph.coerce_context(context) if context is not None else (inner.context if inner else None),
            store=graph.store if graph.store is not None else (inner.store if inner else None),
            control=control or (inner.control if inner else None),
            cache=graph.cache if graph.cache is not None else (inner.cache if inner else None),
            parent=parent,
            sink=sink,
            owns_sink=owns,
            server_info=graph.server_info or (inner.server_info if inner else None),
        )


def coercer(schema: Any) -> Callable[[Any], Any]:
    """Return what turns a dict given by a caller into an object of the schema, and leaves others alone."""
    if not (dataclasses.is_dataclass(schema) or hasattr(schema, "model_fields")):
        return lambda value: value
    make: Any = schema
    return lambda value: make(**value) if isinstance(value, dict) else value


def adopted(checkpointer: Checkpointer) -> Checkpointer:
    """Return a saver as the engine uses it: one that was written for another package is adopted."""
    if checkpointer is None or isinstance(checkpointer, bool):
        return checkpointer
    from perdure.checkpoint.adopted import adopt

    return cast("Checkpointer", adopt(checkpointer))


def _unmarked(config: RunnableConfig) -> RunnableConfig:
    """Return the config without the mark of the task that it came from: the run's own tasks get their own."""
    if SCOPE_KEY not in (config.get(CONF) or {}):
        return config
    conf = {k: v for k, v in config[CONF].items() if k != SCOPE_KEY}
    return {**config, CONF: conf}


def _limit(config: RunnableConfig) -> int:
    limit = config.get("recursion_limit", DEFAULT_RECURSION_LIMIT)
    if not isinstance(limit, int) or limit < 1:
        msg = f"recursion_limit must be a whole number of at least 1, not {limit!r}"
        raise InvalidConfigError(msg)
    return limit


def _output(graph: Pregel, keys: str | Sequence[str] | None, *, is_stream: bool) -> str | list[str]:
    if keys is None:
        return graph.plan.stream_channels if is_stream else graph.plan.output_channels
    names = [keys] if isinstance(keys, str) else list(keys)
    for name in names:
        if name not in graph.plan.channels:
            msg = f"output_keys names {name!r}, which isn't a channel of this graph"
            raise InvalidConfigError(msg)
    return keys if isinstance(keys, str) else names
