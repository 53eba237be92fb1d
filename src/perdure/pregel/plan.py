"""The immutable plan that the engine runs: nodes, channels and what triggers what."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perdure.channels.base import MISSING, BaseChannel
from perdure.channels.binop import BinaryOperatorAggregate
from perdure.channels.ephemeral_value import EphemeralValue
from perdure.channels.last_value import LastValue
from perdure.channels.untracked_value import UntrackedValue
from perdure.constants import PULL, START, TASKS
from perdure.errors import EmptyInputError, InvalidUpdateError
from perdure.managed import ManagedValue
from perdure.types import RetryPolicy

if TYPE_CHECKING:
    from perdure.pregel.action import Action
    from perdure.pregel.machine import Writes
    from perdure.pregel.task import Task
    from perdure.pregel.versions import Versions
    from perdure.types import All, CachePolicy, TimeoutPolicy, TracePolicy

Channels = dict[str, BaseChannel[Any, Any, Any]]


class StateReader:
    """Reads a node's input from the channels.

    Args:
        names: The channels to read, in the order of the schema.
        managed: State keys whose value comes from the run.
        mapper: Turns the dict of what is available into the node's input; None leaves the dict.
    """

    __slots__ = ("managed", "mapper", "names")

    def __init__(
        self,
        names: Sequence[str],
        managed: Mapping[str, type[ManagedValue]] | None = None,
        mapper: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.managed = tuple((managed or {}).items())
        self.mapper = mapper

    def read(
        self,
        channels: Mapping[str, BaseChannel[Any, Any, Any]],
        step: int,
        stop: int,
        overlay: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        state = {}
        for name in self.names:
            value = overlay[name] if name in overlay else channels[name].peek()
            if value is not MISSING:
                state[name] = value
        for name, manager in self.managed:
            state[name] = manager.get(step, stop)
        return state if self.mapper is None else self.mapper(state)


class ValueReader:
    """Reads one channel's value as the node's input."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, channels: Mapping[str, BaseChannel[Any, Any, Any]], step: int, stop: int) -> Any:
        return channels[self.name].peek()


@dataclasses.dataclass(slots=True, eq=False)
class Branch:
    """A routing decision after a node.

    Attributes:
        name: Of the path function.
        action: The path function.
        reader: Reads the state that it decides on, the node's own writes included.
        route: Turns its answer into the task's writes.
    """

    name: str
    action: Action
    reader: StateReader
    route: Callable[[Any, Task], None]


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A node as the engine runs it.

    Attributes:
        name: Its name.
        action: What it calls; None passes the input on to `write`.
        triggers: Channels whose new version starts it.
        reader: Makes its input from the channels.
        write: Adds its result to the task's writes.
        branches: Decisions to take after it.
        retry: Policies; the first that matches the error decides.
        cache: How its results may be used again.
        timeout: How long an attempt may take.
        handler: What runs when it has failed for good.
        metadata: Given to its config.
        tags: Given to its config.
        trace: What traces may tell of its input and output.
        path: Of the tasks that its triggers start.
        key: What tells those tasks' ids from those of other nodes in the same superstep.
    """

    name: str
    action: Action | None
    triggers: tuple[str, ...]
    reader: StateReader | ValueReader
    write: Callable[[Any, Task], None]
    branches: tuple[Branch, ...] = ()
    retry: tuple[RetryPolicy, ...] = ()
    cache: CachePolicy | None = None
    timeout: TimeoutPolicy | None = None
    handler: Node | None = None
    metadata: Mapping[str, Any] | None = None
    tags: tuple[str, ...] = ()
    trace: TracePolicy | None = None
    path: tuple[str, str] = ("", "")
    path_text: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        self.path = (PULL, self.name)
        self.path_text = f"~{PULL}, {self.name}"
        self.key = "".join((PULL, *self.triggers))

    @property
    def subgraph(self) -> Any:
        """The graph that this node is, or that its function calls by name; None if there is none."""
        target = self.action.target if self.action else None
        return next((found for found in (target, *_named_in(target)) if _is_graph(found)), None)


def _is_graph(value: Any) -> bool:
    return hasattr(value, "plan") and hasattr(value, "get_state")


def _named_in(target: Any) -> list[Any]:
    """Return what a function names from outside of itself."""
    if not inspect.isfunction(target):
        return []
    cells = [cell.cell_contents for cell in target.__closure__ or () if _is_filled(cell)]
    return [*cells, *(target.__globals__[name] for name in target.__code__.co_names if name in target.__globals__)]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # not assigned yet
        return False


_HOLDING = (LastValue, BinaryOperatorAggregate, EphemeralValue)
"""Channels that have a value once they have taken one: nobody needs to ask them."""


class Plan:
    """Nodes and channels of a graph, with the indexes that the engine needs in every superstep.

    Args:
        nodes: By name.
        channels: Prototypes by name; `TASKS` must be among them.
        input_channels: Receive the run's input: one all of it, several its items.
        output_channels: What a run returns: a name or a list of names.
        stream_channels: What snapshots and the stream mode `values` show.
    """

    __slots__ = (
        "channels",
        "checks",
        "consuming",
        "finishing",
        "has_cached_nodes",
        "holding",
        "input_channels",
        "nodes",
        "output_channels",
        "stream_channels",
        "takes_input_alone",
        "triggered_by",
        "untracked",
        "versions",
        "volatile",
    )

    def __init__(
        self,
        *,
        nodes: Mapping[str, Node],
        channels: Channels,
        input_channels: str | list[str],
        output_channels: str | list[str],
        stream_channels: str | list[str],
    ) -> None:
        self.nodes = dict(nodes)
        self.channels = dict(channels)
        self.input_channels = input_channels
        self.output_channels = output_channels
        self.stream_channels = stream_channels
        self.versions: Versions | None = None
        self.checks: Mapping[str, Callable[[Any], None]] = {}
        start = self.nodes.get(START)
        # Whether no function of the user's runs between a run's input and the first nodes.
        self.takes_input_alone = start is not None and start.action is None and not start.branches
        self.has_cached_nodes = any(node.cache is not None for node in self.nodes.values())
        self.volatile = frozenset(name for name, channel in channels.items() if channel.volatile)
        self.holding = frozenset(name for name, channel in channels.items() if type(channel) in _HOLDING)
        self.untracked = frozenset(name for name, channel in channels.items() if isinstance(channel, UntrackedValue))
        self.consuming = frozenset(
            name for name, channel in channels.items() if type(channel).consume is not BaseChannel.consume
        )
        self.finishing = tuple(
            name for name, channel in channels.items() if type(channel).finish is not BaseChannel.finish
        )
        triggered_by: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            for trigger in node.triggers:
                triggered_by.setdefault(trigger, []).append(name)
        triggered_by.setdefault(TASKS, [])
        self.triggered_by = {name: tuple(names) for name, names in triggered_by.items()}

    def with_defaults(self, retry: tuple[RetryPolicy, ...], cache: CachePolicy | None) -> Plan:
        """Return the plan with policies for nodes that have none."""
        if not retry and cache is None:
            return self
        return Plan(
            nodes={
                name: dataclasses.replace(node, retry=node.retry or retry, cache=node.cache or cache)
                for name, node in self.nodes.items()
            },
            channels=self.channels,
            input_channels=self.input_channels,
            output_channels=self.output_channels,
            stream_channels=self.stream_channels,
        )

    def check(self, channels: Mapping[str, BaseChannel[Any, Any, Any]], task: Task | Writes) -> None:
        """Check what the state would be after a task's writes.

        Raises:
            InvalidUpdateError: A value may not be stored.
            ValidationError: Of Pydantic, if it is the run's input that has a wrong value.
        """
        written: dict[str, list[Any]] = {}
        for name, value in task.writes:
            if name in self.checks:
                written.setdefault(name, []).append(value)
        for name, values in written.items():
            try:
                self.checks[name](channels[name].preview(values))
            except InvalidUpdateError:
                raise
            except ValueError as error:
                if task.name == START and hasattr(error, "errors"):
                    error.add_note(f"it is the input's {name!r}")
                    raise
                raise InvalidUpdateError(
                    f"the state's key {name!r} would not be valid after node {task.name!r}: {_told(error)}",
                    hint="what it returned isn't stored; the thread is where it was before",
                    node=task.name,
                    channel=name,
                ) from error

    def only_own(self) -> Plan:
        """Return a copy that refuses what other versions have made."""
        new = copy(self)
        if new.versions is not None:
            new.versions = copy(new.versions)
            new.versions.policy = "refuse"
        return new

    def input_writes(self, value: Any) -> list[tuple[str, Any]]:
        """Return the writes that an input is.

        Raises:
            InvalidUpdateError: It isn't a dict, and several channels take the input.
            EmptyInputError: It has an item for none of them.
        """
        names = self.input_channels
        if isinstance(names, str):
            return [(names, value)]
        if not isinstance(value, Mapping):
            msg = f"the input must be a dict of the channels {', '.join(names)}, not {value!r:.80}"
            raise InvalidUpdateError(msg)
        writes = [(name, value[name]) for name in names if name in value]
        if not writes:
            raise EmptyInputError("the input has nothing for any input channel", hint=f"they are: {', '.join(names)}")
        return writes


def _told(error: Any) -> str:
    if not hasattr(error, "errors"):
        return str(error)
    wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors()]
    return "; ".join(wrong[:3])


def policies_of(given: RetryPolicy | Sequence[RetryPolicy] | None) -> tuple[RetryPolicy, ...]:
    """Return retry policies as a tuple; a policy is a tuple too, so it is looked for first."""
    if given is None:
        return ()
    return (given,) if isinstance(given, RetryPolicy) else tuple(given)


def selects(names: All | Sequence[str], name: str) -> bool:
    """Tell whether a choice of nodes, as in `interrupt_before`, has this one."""
    return names == "*" or name in names
