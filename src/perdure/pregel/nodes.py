"""Nodes made by hand, channel by channel: `NodeBuilder`, for `Pregel` without a `StateGraph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from perdure.channels.base import MISSING, BaseChannel
from perdure.channels.topic import Topic
from perdure.constants import CONF, SCOPE_KEY, TASKS
from perdure.errors import GraphValidationError, UsageError
from perdure.pregel.action import Action, timeout_of
from perdure.pregel.plan import Node, Plan, StateReader, ValueReader
from perdure.types import CachePolicy, RetryPolicy, Send, TimeoutPolicy

if TYPE_CHECKING:
    from perdure.pregel.scope import TaskScope
    from perdure.pregel.task import Task
    from perdure.types import RunnableConfig

__all__ = ["ChannelWriteEntry", "NodeBuilder"]

PASSTHROUGH = object()
"""Stands for the node's result."""


class ChannelWriteEntry(NamedTuple):
    """What a node writes to one channel.

    Attributes:
        channel: The channel.
        value: What to write; the node's result by default.
        skip_none: Write nothing instead of None.
        mapper: Makes what is written of the value.
    """

    channel: str
    value: Any = PASSTHROUGH
    skip_none: bool = False
    mapper: Callable[[Any], Any] | None = None


class NodeBuilder:
    """Makes a node of `Pregel`: what starts it, what it reads, what it does and where the result goes.

    Every method returns the builder.
    """

    def __init__(self) -> None:
        self._single: str | None = None
        self._triggers: list[str] = []
        self._reads: list[str] = []
        self._steps: list[Action] = []
        self._entries: list[ChannelWriteEntry] = []
        self._retry: tuple[RetryPolicy, ...] = ()
        self._cache: CachePolicy | None = None
        self._timeout: float | timedelta | TimeoutPolicy | None = None
        self._tags: list[str] = []
        self._metadata: dict[str, Any] = {}

    def subscribe_only(self, channel: str) -> Self:
        """Start the node by one channel, whose value is its input.

        Raises:
            GraphValidationError: The node has other channels already.
        """
        if self._triggers or self._reads:
            raise GraphValidationError(
                f"the node subscribes to {', '.join(self._triggers + self._reads)} already",
                hint="subscribe_only stands alone; for several channels: subscribe_to('a', 'b')",
            )
        self._single = channel
        self._triggers = [channel]
        return self

    def subscribe_to(self, *channels: str, read: bool = True) -> Self:
        """Start the node by any of these channels.

        Args:
            channels: The channels.
            read: Whether their values are part of the node's input, a dict.

        Raises:
            GraphValidationError: The node has a single channel.
        """
        self._refuse_single()
        self._triggers += [name for name in channels if name not in self._triggers]
        return self.read_from(*channels) if read else self

    def read_from(self, *channels: str) -> Self:
        """Add channels to the node's input that don't start it.

        Raises:
            GraphValidationError: The node has a single channel.
        """
        self._refuse_single()
        self._reads += [name for name in channels if name not in self._reads]
        return self

    def _refuse_single(self) -> None:
        if self._single is not None:
            raise GraphValidationError(
                f"the node subscribes to {self._single!r} only, so it can't have more channels",
                hint="use subscribe_to for all of them: then the input is a dict",
            )

    def do(self, node: Any) -> Self:
        """Add what the node does: a function or runnable; each takes what the one before returned."""
        self._steps.append(Action(node))
        return self

    def write_to(self, *channels: str | ChannelWriteEntry, **kwargs: Any) -> Self:
        """Write the result to channels.

        Args:
            channels: Channels that take the result, or entries that say more.
            kwargs: By channel, a constant, or a function of the result.
        """
        for channel in channels:
            self._entries.append(channel if isinstance(channel, ChannelWriteEntry) else ChannelWriteEntry(channel))
        for name, value in kwargs.items():
            made = ChannelWriteEntry(name, mapper=value) if callable(value) else ChannelWriteEntry(name, value)
            self._entries.append(made)
        return self

    def meta(self, *tags: str, **metadata: Any) -> Self:
        """Add tags and metadata to the node's config."""
        self._tags += tags
        self._metadata.update(metadata)
        return self

    def add_retry_policies(self, *policies: RetryPolicy) -> Self:
        """Add retry policies; the first that matches an error decides."""
        self._retry += policies
        return self

    def add_cache_policy(self, policy: CachePolicy) -> Self:
        """Let results be used again."""
        self._cache = policy
        return self

    def set_timeout(self, timeout: float | timedelta | TimeoutPolicy | None) -> Self:
        """Limit the time of an attempt; for asynchronous nodes only."""
        self._timeout = timeout
        return self

    def build(self, name: str = "") -> Node:
        """Return the node.

        Args:
            name: Its name in the graph.

        Raises:
            GraphValidationError: It has a timeout, and its function runs in a thread, where nothing can stop it.
        """
        action = _in_a_row(self._steps)
        reader = StateReader(self._reads, None, _input_of) if self._single is None else ValueReader(self._single)
        return Node(
            name,
            action,
            tuple(self._triggers),
            reader,
            _Writer(self._entries),
            retry=self._retry,
            cache=self._cache,
            timeout=timeout_of(name, action, self._timeout),
            metadata=self._metadata or None,
            tags=tuple(self._tags),
        )


def _input_of(values: dict[str, Any]) -> Any:
    return values or MISSING


class _Writer:
    """Writes a node's result to channels."""

    __slots__ = ("entries",)

    def __init__(self, entries: Sequence[ChannelWriteEntry]) -> None:
        self.entries = tuple(entries)

    def __call__(self, result: Any, task: Task) -> None:
        for channel, given, skip_none, mapper in self.entries:
            value = result if given is PASSTHROUGH else given
            if mapper is not None:
                value = mapper(value)
            if value is not None or not skip_none:
                task.writes.append((channel, value))


class _Row:
    """Actions of which each takes what the one before returned."""

    name = "row"

    def __init__(self, steps: Sequence[Action]) -> None:
        self.steps = tuple(steps)

    def invoke(self, value: Any, config: RunnableConfig) -> Any:
        scope: TaskScope = config[CONF][SCOPE_KEY]
        for step in self.steps:
            value = step.run(value, scope)
        return value

    async def ainvoke(self, value: Any, config: RunnableConfig) -> Any:
        scope: TaskScope = config[CONF][SCOPE_KEY]
        for step in self.steps:
            value = await step.arun(value, scope)
        return value


def _in_a_row(steps: Sequence[Action]) -> Action | None:
    if len(steps) < 2:
        return steps[0] if steps else None
    return Action(_Row(steps))


def plan_of(
    nodes: Mapping[str, Node | NodeBuilder],
    channels: Mapping[str, BaseChannel[Any, Any, Any]],
    input_channels: str | Sequence[str],
    output_channels: str | Sequence[str],
    stream_channels: str | Sequence[str] | None,
) -> Plan:
    """Return the plan of nodes and channels made by hand; see `Pregel`.

    Raises:
        UsageError: A channel is no channel.
    """
    for name, channel in channels.items():
        if not isinstance(channel, BaseChannel):
            raise UsageError(f"channel {name!r} is {channel!r}, not a channel", hint="such as LastValue(int)")
    built = {name: node.build(name) if isinstance(node, NodeBuilder) else node for name, node in nodes.items()}
    return Plan(
        nodes=built,
        channels={**channels, TASKS: Topic(Send, False, TASKS)},
        input_channels=_listed(input_channels),
        output_channels=_listed(output_channels),
        stream_channels=list(channels) if stream_channels is None else _listed(stream_channels),
    )


def _listed(names: str | Sequence[str]) -> str | list[str]:
    return names if isinstance(names, str) else list(names)


def validate(plan: Plan, before: Any, after: Any) -> None:
    """Look for what a graph names and doesn't have.

    Raises:
        GraphValidationError: It names a channel or a node that isn't there.
    """
    known = plan.channels.keys()
    for name, node in plan.nodes.items():
        if not node.triggers:
            raise GraphValidationError(f"nothing starts node {name!r}", hint="subscribe it to a channel")
        _check(known, f"node {name!r} subscribes to", node.triggers)
        reader = cast("Any", node.reader)
        _check(known, f"node {name!r} reads", getattr(reader, "names", ()))
        if isinstance(node.write, _Writer):
            _check(known, f"node {name!r} writes to", [entry.channel for entry in node.write.entries])
    _check(known, "input_channels names", plan.input_channels)
    _check(known, "output_channels names", plan.output_channels)
    _check(known, "stream_channels names", plan.stream_channels)
    for stops in (before, after):
        if stops != "*":
            _check(plan.nodes.keys(), "an interrupt names the node", stops, "nodes")


def _check(known: Any, who: str, names: str | Sequence[str], what: str = "channels") -> None:
    for name in (names,) if isinstance(names, str) else names:
        if name not in known:
            shown = ", ".join(sorted(k for k in known if not k.startswith("__"))) or "none"
            raise GraphValidationError(f"{who} {name!r}, which isn't there", hint=f"{what} are: {shown}")
