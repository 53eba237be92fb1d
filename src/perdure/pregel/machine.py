"""The superstep as a pure machine: plan the tasks, apply their writes. No I/O and no clock.

Rules:
1. A channel's version grows when its value changes; all channels changed in a superstep get the same new version.
2. A node is due when one of its triggers has a version that the node hasn't seen.
3. A task's id depends on the checkpoint, the namespace, the step, and what started it: planning the same superstep
   again gives the same ids, which is how stored writes find their tasks.
4. Writes are applied in the order of the tasks' paths, never in the order in which tasks ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.channels.base import MISSING
from perdure.checkpoint.serde.types import INTERRUPT
from perdure.constants import INPUT, PUSH, RESERVED_WRITES, TASKS
from perdure.errors import InvalidUpdateError
from perdure.pregel.plan import Plan, StateReader, selects
from perdure.pregel.task import Task
from perdure.types import Send

if TYPE_CHECKING:
    from perdure.checkpoint.base import Checkpoint
    from perdure.types import All


class Writes(NamedTuple):
    """Writes that come from no task: a run's input, a caller's command, a state update."""

    path: tuple[str | int, ...]
    name: str
    triggers: tuple[str, ...]
    writes: Sequence[tuple[str, Any]]


def int_version(current: Any, _channel: None = None) -> int:
    """Return the next version where no saver has a say."""
    return 1 if current is None else int(current) + 1


class Machine:
    """The state of a graph between two supersteps.

    Args:
        plan: What to run.
        ns: The checkpoint namespace, part of the tasks' ids.
        next_version: The saver's `get_next_version`.

    Attributes:
        channels: By name.
        versions: Of the channels that were ever written.
        seen: The versions that each node has seen.
        updated: Channels that the last superstep changed, or None if unknown (then all nodes are looked at).
        changed: Channels that got a new version since the last checkpoint.
        checkpoint_id: Of the checkpoint that the next superstep runs on.
        salt: Tells the tasks of runs apart that have no checkpoints.
    """

    __slots__ = (
        "_live",
        "_next_version",
        "_top",
        "changed",
        "channels",
        "checkpoint_id",
        "ns",
        "plan",
        "salt",
        "seen",
        "step",
        "stop",
        "updated",
        "versions",
    )

    def __init__(self, plan: Plan, ns: str = "", next_version: Callable[..., Any] = int_version) -> None:
        self.plan = plan
        self.ns = ns
        self._next_version = next_version
        self._top: Any = None
        self.channels = {name: proto.from_checkpoint(MISSING) for name, proto in plan.channels.items()}
        for name, channel in self.channels.items():
            channel.key = name
        self._live = set(plan.volatile)  # those that may be available, of the channels that passing by may change
        self.versions: dict[str, Any] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.updated: set[str] | None = None
        self.changed: set[str] = set()
        self.checkpoint_id = ""
        self.salt = ""
        self.step = -1
        self.stop = 0

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take the state of a stored checkpoint."""
        values = checkpoint["channel_values"]
        for name, proto in self.plan.channels.items():
            if name in values:
                channel = self.channels[name] = proto.from_checkpoint(values[name])
                channel.key = name
        self.versions = dict(checkpoint["channel_versions"])
        self.seen = {node: dict(seen) for node, seen in checkpoint["versions_seen"].items()}
        updated = checkpoint.get("updated_channels")
        self.updated = None if updated is None else set(updated)
        self._top = max(self.versions.values(), default=None)
        self._live = set(self.plan.volatile)
        self.checkpoint_id = checkpoint["id"]

    def values(self) -> dict[str, Any]:
        """Return what has to be stored of the channels."""
        values = {}
        channels = self.channels
        for name in self.versions:
            if name in channels and (value := channels[name].checkpoint()) is not MISSING:
                values[name] = value
        return values

    def read(self, names: str | Sequence[str]) -> Any:
        """Return the value of one channel (None if empty), or a dict of those that have one."""
        channels = self.channels
        if isinstance(names, str):
            value = channels[names].peek()
            return None if value is MISSING else value
        return {name: value for name in names if (value := channels[name].peek()) is not MISSING}

    # -- plan

    def tasks(self) -> dict[str, Task]:
        """Plan the next superstep only to look at it; return its tasks by id, without what they would be given.

        A state that its own schema doesn't take can be looked at, and mended, like any other.
        """
        return {task.id: task for task in self.due(is_look=True)}

    def due(self, *, is_look: bool = False) -> list[Task]:
        """Plan the next superstep: sends first, in their order, then nodes that are due."""
        tasks: list[Task] = []
        channels = self.channels
        at, step = self.checkpoint_id or self.salt, self.step
        if TASKS in self._live and (topic := channels[TASKS]).is_available():
            self._plan_sends(topic.get(), tasks)
        for name in self._candidates():
            node = self.plan.nodes[name]
            if self._is_due(name, node.triggers):
                is_read = not is_look or type(node.reader) is not StateReader
                value = node.reader.read(channels, step, self.stop) if is_read else None
                if value is not MISSING:
                    tasks.append(Task((at, step, node.key), name, node.path, node, value, node.triggers, self.ns))
        return tasks

    def _plan_sends(self, sends: Sequence[Send], tasks: list[Task]) -> None:
        ns, triggers, on, step = self.ns, (PUSH,), self.checkpoint_id or self.salt, self.step
        for at, send in enumerate(sends):
            node = self.plan.nodes.get(send.node)
            if node is None:
                raise InvalidUpdateError(
                    f"a Send goes to {send.node!r}, which isn't a node of this graph",
                    hint=f"nodes are: {', '.join(sorted(self.plan.nodes))}",
                )
            task = Task((on, step, f"{PUSH}{at}"), send.node, (PUSH, at, False), node, send.arg, triggers, ns)
            if send.timeout is not None:
                task.timeout = send.timeout
            tasks.append(task)

    def _candidates(self) -> Iterable[str]:
        if self.updated is None:
            return self.plan.nodes
        by = self.plan.triggered_by
        hit: tuple[str, ...] = ()
        for channel in self.updated:
            if (names := by.get(channel)) is not None:
                hit += names
        return hit if len(hit) < 2 else sorted({*hit})

    def _is_due(self, name: str, triggers: Sequence[str]) -> bool:
        seen = self.seen.get(name)
        versions = self.versions
        for trigger in triggers:
            version = versions.get(trigger)
            if version is None or not self.channels[trigger].is_available():
                continue
            if seen is None or (last := seen.get(trigger)) is None or version > last:
                return True
        return False

    # -- apply

    def apply(self, tasks: Sequence[Task | Writes]) -> None:
        """Apply the writes of a superstep's tasks and note what they have seen.

        Raises:
            InvalidUpdateError: A channel can't take its updates. The channels are then in an undefined state.
        """
        if len(tasks) > 1:
            tasks = sorted(tasks, key=_path)
        is_step = False
        version = self._next_version(self._top, None)
        consuming = self.plan.consuming
        versions = self.versions
        for task in tasks:
            seen = self.seen.get(task.name)
            if seen is None:
                seen = self.seen[task.name] = {}
            for trigger in task.triggers:
                is_step = True
                if trigger in versions:
                    seen[trigger] = versions[trigger]
        if consuming:
            self._consume(tasks, version)
        updated = self._update(tasks, version)
        if is_step:
            if not self._live <= updated:
                self._pass_by(updated, version)
            if self.plan.finishing and updated.isdisjoint(self.plan.triggered_by):
                self._finish(updated, version)
        self.updated = updated

    def apply_outside(self, writes: Sequence[tuple[str, Any]]) -> None:
        """Apply writes that come from no task; what was due before stays due."""
        before = self.updated
        self.apply([Writes((), INPUT, (), writes)])
        if self.updated is not None:
            self.updated = None if before is None else before | self.updated

    def _bump(self, name: str, version: Any) -> None:
        self.versions[name] = self._top = version
        self.changed.add(name)

    def _consume(self, tasks: Sequence[Task | Writes], version: Any) -> None:
        channels = self.channels
        for name in self.plan.consuming.intersection(trigger for task in tasks for trigger in task.triggers):
            if channels[name].consume():
                self._bump(name, version)

    def _update(self, tasks: Sequence[Task | Writes], version: Any) -> set[str]:
        pending: dict[str, list[Any]] = {}
        for task in tasks:
            for name, value in task.writes:
                if name in pending:
                    pending[name].append(value)
                else:
                    pending[name] = [value]
        updated: set[str] = set()
        channels, versions, changed, holding = self.channels, self.versions, self.changed, self.plan.holding
        for name, values in pending.items():
            channel = channels.get(name)
            if channel is None:
                if name in RESERVED_WRITES:
                    continue
                raise _unknown_channel(name, tasks)
            if channel.update(values):
                versions[name] = self._top = version
                changed.add(name)
                if name in holding or channel.is_available():
                    updated.add(name)
                    if channel.volatile:
                        self._live.add(name)
        return updated

    def _pass_by(self, updated: set[str], version: Any) -> None:
        """Tell the channels that nobody wrote that a superstep has passed."""
        for name in self._live - updated:
            channel = self.channels[name]
            if channel.is_available() and channel.update(()):
                self._bump(name, version)
                if channel.is_available():
                    updated.add(name)
            if not channel.is_available():
                self._live.discard(name)

    def _finish(self, updated: set[str], version: Any) -> None:
        """Tell all channels that nothing else is left to do; those that waited for it may start a node."""
        for name in self.plan.finishing:
            channel = self.channels[name]
            if channel.finish():
                self._bump(name, version)
                if channel.is_available():
                    updated.add(name)
                    self._live.add(name)

    # -- stopping by name

    def stops(self, names: All | Sequence[str], tasks: Iterable[Task]) -> bool:
        """Tell whether a superstep with these tasks stops for `interrupt_before` or `interrupt_after`.

        It doesn't when nothing has changed since it last stopped.
        """
        if not names:
            return False
        seen = self.seen.get(INTERRUPT, {})
        versions = self.versions
        if not any(name not in seen or version > seen[name] for name, version in versions.items()):
            return False
        hidden = "langsmith:hidden"
        return any((hidden not in task.node.tags) if names == "*" else selects(names, task.name) for task in tasks)

    def note_stop(self) -> None:
        """Note that the caller has seen the current state, so that the next run goes past it."""
        self.seen[INTERRUPT] = {name: v for name, v in self.versions.items() if name in self.channels}


def _path(task: Task | Writes) -> tuple[str | int, ...]:
    return task.path[:3]


def _unknown_channel(name: str, tasks: Sequence[Task | Writes]) -> InvalidUpdateError:
    writers = sorted({task.name for task in tasks for channel, _ in task.writes if channel == name})
    if name.startswith("branch:to:"):
        goal = name.removeprefix("branch:to:")
        return InvalidUpdateError(f"node {', '.join(writers)!r} goes to {goal!r}, which isn't a node of this graph")
    return InvalidUpdateError(
        f"{', '.join(writers)!r} wrote to {name!r}, which isn't a channel of this graph", channel=name
    )
