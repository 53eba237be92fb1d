"""What a run stores, in which order: tasks' writes, checkpoints, and what durability `exit` keeps back.

A superstep's checkpoint carries the writes of the task that ended last, so a superstep of one task is one commit.
Everything is encoded when it is handed over, so a value that changes later doesn't change what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perdure.channels.base import MISSING
from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.ids import new_id
from perdure.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED
from perdure.constants import CONF, NO_WRITES, NULL_TASK_ID, START, TASKS
from perdure.errors import GraphBubbleUp, GraphInterrupt, SerializationError
from perdure.pregel.clock import now
from perdure.tuples import build
from perdure.types import RunnableConfig, Send

if TYPE_CHECKING:
    from perdure.checkpoint.base import Checkpoint
    from perdure.pregel.machine import Machine
    from perdure.pregel.run import Run
    from perdure.pregel.task import Task

CHECKPOINT_VERSION = 4

Prepared = list[Any]
"""Encoded commits, for the driver to make durable in this order, all or nothing."""


def view_changes(machine: Machine, id_: str) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the machine's live state as a checkpoint, with the values that changed, and the new versions.

    It is to be encoded at once.
    """
    channels, versions = machine.channels, machine.versions
    values, new = {}, {}
    for name in machine.changed:
        new[name] = versions[name]
        if (value := channels[name].checkpoint()) is not MISSING:
            values[name] = value
    updated = machine.updated
    made: Checkpoint = {
        "v": CHECKPOINT_VERSION,
        "id": id_,
        "ts": now(),
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": machine.seen,
        "updated_channels": None if updated is None else sorted(updated),
    }
    return made, new


def make_checkpoint(machine: Machine, id_: str) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the machine's state as a checkpoint, and the new versions."""
    seen = machine.seen.copy()
    for node in seen:
        seen[node] = seen[node].copy()
    made: Checkpoint = {
        "v": CHECKPOINT_VERSION,
        "id": id_,
        "ts": now(),
        "channel_values": machine.values(),
        "channel_versions": machine.versions.copy(),
        "versions_seen": seen,
        "updated_channels": None if machine.updated is None else sorted(machine.updated),
    }
    return made, {name: machine.versions[name] for name in machine.changed}


class Journal:
    """Makes a run's commits.

    Attributes:
        head: The newest checkpoint of the namespace, as this run knows it: what its next commit compares with.
        last: Metadata and parent of the checkpoint just made, if the stream is heard; taken out by who tells it.
        is_off: Whether tasks' writes aren't kept, because the caller stores them otherwise.
        single: The only task of the superstep: its writes are kept with the checkpoint that they lead to.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.saver = run.saver
        self.head: str | None = None
        self.last: tuple[dict[str, Any], str | None] | None = None
        self.is_off = run.saver is None
        self._keeps_back = run.durability == "exit"
        self._sends_changes = run.saver is not None and run.saver.takes_changes and not self._keeps_back
        self._unsaved: list[Any] = []
        self.single: Task | None = None
        self._deferred: tuple[str | None, Commit] | None = None
        self._writers: dict[str, set[str]] = {}  # for durability `exit`: who wrote what is stored later
        self._untracked = run.plan.untracked

    # -- where

    def place(self) -> dict[str, Any]:
        """Return the fields of a `Commit` that say where it belongs."""
        run = self.run
        return {
            "thread_id": run.thread_id,
            "checkpoint_ns": run.machine.ns,
            "parent_id": run.machine.checkpoint_id or None,
            "lease": run.turn.lease if run.turn is not None else None,
        }

    def address(self, checkpoint_id: str | None = None) -> RunnableConfig:
        """Return the config of a checkpoint of this namespace; of the newest if no id is given."""
        conf: dict[str, Any] = {"thread_id": self.run.thread_id, "checkpoint_ns": self.run.machine.ns}
        if checkpoint_id is not None:
            conf["checkpoint_id"] = checkpoint_id
        return {CONF: conf}

    def metadata(self, source: str) -> dict[str, Any]:
        """Return the metadata of a checkpoint of this run."""
        run = self.run
        parents = run.parent.run.checkpoint_map() if run.parent is not None else {}
        return {"source": source, "step": run.machine.step, "parents": parents, **run.metadata_extra}

    # -- encoding

    def prepare(self, commit: Commit, tasks: Sequence[Task] = ()) -> Any:
        """Encode a commit, and name the node in the error if that fails.

        Raises:
            SerializationError: A value can't be stored; `node`, `channel` and `path` say which.
        """
        assert self.saver is not None
        try:
            return self.saver.prepare(commit)
        except SerializationError as error:
            writers = {task.name for task in tasks if any(name == error.channel for name, _ in task.writes)}
            writers |= self._writers.get(error.channel or "", set())
            if not writers:
                raise
            if len(writers) > 1:
                writers.discard(START)  # it only passes the input on
            node = ", ".join(sorted(writers))
            raise type(error)(
                f"node {node!r} wrote what can't be stored: {error.args[0]}",
                hint=error.hint,
                node=node,
                channel=error.channel,
                path=error.path,
                thread_id=self.run.thread_id,
            ) from error

    def keep(self, batch: Sequence[Task]) -> bool:
        """Keep the writes of tasks that ended for the next commit.

        Return False if some of them can't be stored: their task has failed.
        """
        if self.is_off or not batch:
            return True
        try:
            self._unsaved.append(self.prepare(self._commit_of(batch), batch))
        except SerializationError as error:
            if len(batch) > 1:
                kept = [self.keep([task]) for task in batch]  # all of them, whatever the first ones say
                return all(kept)
            (task,) = batch
            task.failure = error
            task.writes = [(ERROR, error)]
            self._unsaved.append(self.prepare(self._commit_of(batch), batch))
            return False
        return True

    def _commit_of(self, batch: Sequence[Task]) -> Commit:
        writes = [self.task_writes(task) for task in batch]
        if self.run.answers.null_was_taken:
            writes.append(TaskWrites(NULL_TASK_ID, "", [(RESUME, None)]))
        return Commit(**self.place(), writes=writes)

    def task_writes(self, task: Task) -> TaskWrites:
        """Return what is stored for a task that ended."""
        failure = task.failure
        if failure is None and not task.resumed and not self._untracked:
            return build(TaskWrites, (task.id, task.path_text, task.writes))
        if isinstance(failure, GraphInterrupt):
            writes: list[tuple[str, Any]] = [(INTERRUPT, list(task.interrupts))] if task.interrupts else []
        elif isinstance(failure, GraphBubbleUp):
            writes = []
        elif failure is not None:
            writes = [(ERROR, failure)]
        else:
            writes = self._tracked(task.writes)
        if task.resumed:
            writes = [*writes, (RESUME, list(task.resume))]
        return TaskWrites(task.id, task.path_text, writes)

    def _tracked(self, writes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        if not self._untracked:
            return writes
        kept = []
        for name, value in writes:
            if name in self._untracked:
                continue
            if name == TASKS and isinstance(value, Send) and isinstance(value.arg, dict):
                arg = {k: v for k, v in value.arg.items() if k not in self._untracked}
                kept.append((name, Send(value.node, arg, timeout=value.timeout)))
            else:
                kept.append((name, value))
        return kept or [(NO_WRITES, None)]

    # -- committing

    def take_unsaved(self) -> list[Any]:
        """Return the prepared writes that no commit has carried yet; the caller commits them."""
        if self._keeps_back:
            return []
        unsaved, self._unsaved = self._unsaved, []
        return unsaved

    def hold(self, prepared: Prepared) -> None:
        """Let the next commit carry a commit too."""
        self._unsaved += prepared

    def flush(self) -> Prepared:
        """Return the writes of tasks that ended, without a checkpoint: the superstep stopped."""
        task, self.single = self.single, None
        if task is not None:
            self.keep([task])
        return self.take_unsaved()

    def write(self, writes: Sequence[TaskWrites]) -> Prepared:
        """Return a commit of writes of the current checkpoint."""
        if self.saver is None or self._keeps_back:
            return []
        return [self.prepare(Commit(**self.place(), writes=writes))]

    def failed(self, task: Task) -> Prepared:
        """Return the commit of a node's failure that its error handler takes up."""
        failed = task.failed
        if self.saver is None or failed is None:
            return []
        writes = [(ERROR, failed.error), (SCHEDULED, list(failed))]
        prepared = self.prepare(Commit(**self.place(), writes=[TaskWrites(task.id, task.path_text, writes)]))
        if not self._keeps_back:
            return [prepared]
        self._unsaved.append(prepared)
        return []

    def call(self, task: Task) -> Prepared:
        """Return the commit of what a call returned, and of the answers that it used.

        Raises:
            SerializationError: The result can't be stored.
        """
        writes = list(task.writes) if task.failure is None else []
        if task.resumed:
            writes.append((RESUME, list(task.resume)))
        if self.saver is None or not writes:
            return []
        kept = [TaskWrites(task.id, task.path_text, writes)]
        if self.run.answers.null_was_taken:
            kept.append(TaskWrites(NULL_TASK_ID, "", [(RESUME, None)]))
        prepared = self.prepare(Commit(**self.place(), writes=kept), [task])
        if not self._keeps_back:
            return [prepared]
        self._unsaved.append(prepared)
        return []

    def checkpoint(self, source: str) -> Prepared:
        """Make the machine's state the new head; return its commit, with the writes that led to it."""
        run, machine = self.run, self.run.machine
        if self.saver is None:
            if run.teller.is_heard:
                self.last = (self.metadata(source), None)
            machine.step += 1
            return []
        metadata = self.metadata(source)
        task, self.single = self.single, None
        changes_only = self._sends_changes
        parent_id = machine.checkpoint_id
        head = self.head
        id_ = new_id(parent_id if parent_id == head else max(parent_id, head or ""))
        turn = run.turn
        made, new = view_changes(machine, id_) if changes_only else make_checkpoint(machine, id_)
        commit = build(
            Commit,
            (
                run.thread_id or "",
                machine.ns,
                parent_id or None,
                (self.task_writes(task),) if task is not None else (),
                made,
                metadata,
                new,
                head,
                turn.lease if turn is not None else None,
                changes_only,
            ),
        )
        stored_parent = self._deferred[0] if self._deferred else parent_id or None
        if run.teller.is_heard:
            self.last = (metadata, stored_parent)
        machine.checkpoint_id = id_
        machine.step += 1
        if self._keeps_back:
            self._deferred = (stored_parent, commit._replace(writes=(), parent_id=stored_parent))
            self._unsaved = []
            for done in run.tasks:
                for name, _ in done.writes:
                    self._writers.setdefault(name, set()).add(done.name)
            return []
        prepared = self.prepare(commit, run.tasks)
        machine.changed.clear()
        self.head = id_
        if not self._unsaved:
            return [prepared]
        return [*self.take_unsaved(), prepared]

    def at_exit(self, *, failed: bool) -> Prepared:
        """Return what durability `exit` has kept back; of a subgraph only what a later run can go on with."""
        run = self.run
        if not self._keeps_back or self.saver is None:
            return []
        if run.parent is not None and not failed and not run.settings.stable:
            return []
        prepared = []
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            prepared.append(self.prepare(deferred[1], run.tasks))
            self.head = run.machine.checkpoint_id
        nulls = [(name, value) for tid, name, value in run.pending if tid == NULL_TASK_ID]
        if failed and nulls and deferred is None:
            prepared.append(self.prepare(Commit(**self.place(), writes=[TaskWrites(NULL_TASK_ID, "", nulls)])))
        unsaved, self._unsaved = self._unsaved, []
        return [*prepared, *unsaved]
