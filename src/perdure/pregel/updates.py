"""Changing a thread's state from outside, as if a node had written it: `update_state` and `bulk_update_state`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.ids import new_id
from perdure.checkpoint.serde.types import ERROR, INTERRUPT
from perdure.constants import CONF, CONTROL_WRITES, COPY, END, INPUT, NULL_TASK_ID
from perdure.errors import InvalidUpdateError
from perdure.pregel.driver import failure_of
from perdure.pregel.effects import Execute, Load, LoadHead, Loop, Store
from perdure.pregel.journal import make_checkpoint
from perdure.pregel.machine import Machine, Writes
from perdure.pregel.run import Run
from perdure.pregel.snapshot import machine_at
from perdure.pregel.task import Task, task_id
from perdure.types import RunnableConfig, StateUpdate

if TYPE_CHECKING:
    from perdure.checkpoint.base import CheckpointTuple


class Updater:
    """Applies supersteps of updates to a thread, each as one checkpoint.

    Args:
        run: Carries the settings, the saver and the turn.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.saver = run.saver
        run.journal.is_off = True  # an update's writes are stored with its checkpoint
        self.config: RunnableConfig = {CONF: {"thread_id": run.thread_id, "checkpoint_ns": run.settings.ns}}

    def loop(self, supersteps: Sequence[Sequence[StateUpdate]]) -> Loop:
        """Apply the supersteps in order; `config` then addresses the last checkpoint made."""
        checkpoint_id = self.run.settings.checkpoint_id
        for updates in supersteps:
            if not updates:
                msg = "a superstep of bulk_update_state needs at least one StateUpdate"
                raise InvalidUpdateError(msg)
            yield from self._superstep(list(updates), checkpoint_id, is_live=checkpoint_id is None)
            checkpoint_id = self.config[CONF]["checkpoint_id"]

    def _superstep(self, updates: list[StateUpdate], checkpoint_id: str | None, *, is_live: bool) -> Loop:
        conf = {"thread_id": self.run.thread_id, "checkpoint_ns": self.run.settings.ns}
        saved: CheckpointTuple | None = yield Load(
            {CONF: {**conf, "checkpoint_id": checkpoint_id} if checkpoint_id else conf}
        )
        head = yield LoadHead()
        machine = machine_at(self.run.plan, self.run.settings.ns, self.saver, saved)
        if saved is None and updates[0].as_node != INPUT:
            machine.step = 0
        self.run.machine = machine
        step = _Step(self, machine, saved, head, is_live=is_live)
        as_node = updates[0].as_node
        if as_node in (END, INPUT, COPY) or (updates[0].values is None and as_node is None):
            if len(updates) > 1 and as_node != COPY:
                msg = f"a superstep that updates as {as_node!r} takes one update, not {len(updates)}"
                raise InvalidUpdateError(msg)
            yield from step.special(updates)
        else:
            yield from step.as_nodes(updates)


class _Step:
    """One superstep of updates on one checkpoint."""

    def __init__(
        self, updater: Updater, machine: Machine, saved: CheckpointTuple | None, head: str | None, *, is_live: bool
    ) -> None:
        self.is_live = is_live
        self.updater = updater
        self.run = updater.run
        self.machine = machine
        self.saved = saved
        self.head = head
        self.pending = list(saved.pending_writes or ()) if saved else []
        self.parents = dict(saved.metadata.get("parents", {})) if saved else {}

    # -- the special nodes

    def special(self, updates: list[StateUpdate]) -> Loop:
        values, as_node = updates[0].values, updates[0].as_node
        if as_node == COPY:
            yield from self._copy(values)
        elif as_node == INPUT:
            yield from self._as_input(values)
        else:
            if values is not None:
                msg = "an update as END takes no values: it ends what was going to run"
                raise InvalidUpdateError(msg)
            if as_node == END:
                self._end_all()
            yield from self._save("update", [])

    def _end_all(self) -> None:
        tasks = self.machine.tasks()
        self._apply_nulls()
        self._add_finished(tasks)
        self.machine.apply(list(tasks.values()))

    def _as_input(self, values: Any) -> Loop:
        machine = self.machine
        if values is None:
            msg = "an update as input needs values"
            raise InvalidUpdateError(msg)
        dropped = machine.due(is_look=True) if machine.versions else []
        machine.apply([*dropped, Writes((), INPUT, (), self.run.plan.input_writes(values))])
        yield from self._save("input", [])

    def _copy(self, then: Any) -> Loop:
        if self.saved is None:
            msg = "there is no checkpoint to copy"
            raise InvalidUpdateError(msg)
        parent = self.saved.parent_config
        parent_id = parent[CONF]["checkpoint_id"] if parent else None
        self.machine.updated = None
        yield from self._save("fork", [], parent_id=parent_id)
        if isinstance(then, list) and then:
            updates = [StateUpdate(*u) if isinstance(u, (tuple, list)) else StateUpdate(u) for u in then]
            yield from self.updater._superstep(updates, self.updater.config[CONF]["checkpoint_id"], is_live=False)  # noqa: SLF001 - a part of this module

    # -- as nodes

    def as_nodes(self, updates: list[StateUpdate]) -> Loop:
        machine = self.machine
        if self.is_live:
            self._apply_nulls()
            self._apply_finished()
        done = {tid for tid, name, _ in self.pending if name not in CONTROL_WRITES}
        due = {task.name: task.id for task in machine.due(is_look=True) if task.id not in done}
        planned = [self._planned(update) for update in updates]
        tasks = []
        for at, (name, values, given_id) in enumerate(planned):
            tasks.append(self._task(name, values, given_id or due.pop(name, None), at))
        yield Execute(tasks)
        failure = failure_of(tasks)
        if failure is not None:
            raise failure
        stored = [TaskWrites(task.id, "", list(task.writes)) for task in tasks] if self.saved is not None else []
        machine.apply(tasks)
        yield from self._save("update", stored)

    def _apply_nulls(self) -> None:
        nulls = [(name, value) for tid, name, value in self.pending if tid == NULL_TASK_ID]
        if nulls:
            self.machine.apply_outside(nulls)

    def _apply_finished(self) -> None:
        tasks = self.machine.tasks()
        finished = self._add_finished(tasks)
        if finished:
            self.machine.apply(finished)

    def _add_finished(self, tasks: dict[str, Task]) -> list[Task]:
        for tid, name, value in self.pending:
            if tid in tasks and name not in (ERROR, INTERRUPT) and name not in CONTROL_WRITES:
                tasks[tid].writes.append((name, value))
        return [task for task in tasks.values() if task.writes]

    def _planned(self, update: StateUpdate) -> tuple[str, Any, str | None]:
        name = update.as_node or self._infer(update)
        if name not in self.run.plan.nodes:
            raise InvalidUpdateError(
                f"there is no node {name!r} to update as",
                hint=f"nodes are: {', '.join(sorted(self.run.plan.nodes))}",
            )
        return name, update.values, update.task_id

    def _infer(self, update: StateUpdate) -> str:
        """Find the node that wrote last: an update without as_node counts as its work."""
        nodes = self.run.plan.nodes
        seen = self.machine.seen
        if len(nodes) == 1:
            return next(iter(nodes))
        if not any(v for node, v in seen.items() if node in nodes):
            first = self.run.plan.input_channels
            if isinstance(first, str) and first in nodes:
                return first
        last = sorted(((max(v.values()), node) for node, v in seen.items() if v and node in nodes), reverse=True)
        if last and (len(last) == 1 or last[0][0] != last[1][0]):
            return last[0][1]
        raise InvalidUpdateError(
            f"can't tell as which node to apply the update {update.values!r}: "
            + (f"{', '.join(n for v, n in last if v == last[0][0])} ran last" if last else "no node has run"),
            hint="say it: update_state(config, values, as_node='...')",
        )

    def _task(self, name: str, values: Any, given_id: str | None, at: int) -> Task:
        machine = self.machine
        node = self.run.plan.nodes[name]
        id_ = given_id or task_id(
            "\0".join((machine.checkpoint_id, machine.ns, str(machine.step), name, INTERRUPT, str(at)))
        )
        return Task(id_, name, (INTERRUPT, at), _passive(node), values, (INTERRUPT,), machine.ns)

    # -- commit

    def _save(self, source: str, stored: list[TaskWrites], *, parent_id: str | None = None) -> Loop:
        run, machine = self.run, self.machine
        base = self.saved.checkpoint["id"] if self.saved else None
        parent = parent_id if source == "fork" else base
        id_ = new_id(max(base or "", self.head or ""))
        if source != "input":
            machine.updated = None  # what runs next is to be looked for among all nodes
        metadata = {"source": source, "step": machine.step, "parents": self.parents, **run.metadata_extra}
        made, new = make_checkpoint(machine, id_)
        commit = Commit(
            thread_id=run.thread_id or "",
            checkpoint_ns=machine.ns,
            parent_id=parent,
            writes=[w for w in stored if w.writes],
            checkpoint=made,
            metadata=metadata,  # type: ignore[arg-type]  # the TypedDict plus what the caller's config adds
            new_versions=dict(machine.versions) if source == "fork" else new,
            expected_head=self.head,
            lease=run.turn.lease if run.turn else None,
        )
        assert run.saver is not None
        yield Store([run.saver.prepare(commit)])
        conf: dict[str, Any] = {"thread_id": run.thread_id, "checkpoint_ns": machine.ns, "checkpoint_id": id_}
        self.updater.config = {CONF: conf}


def _passive(node: Any) -> Any:
    """Return the node without its action: an update is what the action would have returned."""
    import dataclasses

    return dataclasses.replace(node, action=None, retry=())
