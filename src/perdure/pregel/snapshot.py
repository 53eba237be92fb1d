"""A stored checkpoint as people see it: the values, what runs next, errors, questions and results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.checkpoint.serde.types import ERROR, INTERRUPT
from perdure.constants import CONF, CONTROL_WRITES, NULL_TASK_ID, RESERVED_WRITES
from perdure.pregel import stream
from perdure.pregel.effects import Load
from perdure.pregel.machine import Machine, int_version
from perdure.types import Interrupt, PregelTask, RunnableConfig, StateSnapshot

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, StoredCheckpoint
    from perdure.pregel.plan import Plan
    from perdure.pregel.run import Run
    from perdure.pregel.task import Task

SnapshotOp = Generator[Load, Any, StateSnapshot]


def machine_at(plan: Plan, ns: str, saver: BaseCheckpointSaver[Any] | None, saved: CheckpointTuple | None) -> Machine:
    """Return a machine in the state of a stored checkpoint."""
    machine = Machine(plan, ns, int_version if saver is None else saver.get_next_version)
    if saved is not None:
        if plan.versions is not None and saver is not None:
            saved = plan.versions.shown(saved, plan, saver)
        machine.restore(saved.checkpoint)
        machine.step = int(saved.metadata.get("step", -2)) + 1
    machine.stop = machine.step + 2
    return machine


def task_results(task: Task, pending: Sequence[tuple[str, str, Any]], output: str | Sequence[str]) -> PregelTask:
    """Return a task as a snapshot shows it, from the writes stored for it."""
    mine = [(name, value) for tid, name, value in pending if tid == task.id]
    error = next((value for name, value in mine if name == ERROR), None)
    interrupts: list[Interrupt] = []
    for name, value in mine:
        if name == INTERRUPT:
            interrupts += value if isinstance(value, (list, tuple)) else [value]
    is_done = any(name not in CONTROL_WRITES for name, _ in mine)
    result: Any = None
    if is_done:
        visible = [(name, value) for name, value in mine if name not in RESERVED_WRITES]
        result = stream.result_of(output, visible)
    return PregelTask(task.id, task.name, task.path, error, tuple(interrupts), None, result)


def take_snapshot(
    plan: Plan,
    saved: CheckpointTuple | None,
    saver: BaseCheckpointSaver[Any],
    config: RunnableConfig,
    *,
    is_live: bool,
    subgraphs: bool,
    asked: RunnableConfig | None = None,
) -> SnapshotOp:
    """Make the snapshot of a stored checkpoint.

    Args:
        asked: The config as the caller gave it, to show where there is no checkpoint.
        is_live: Show the thread as it stands, with the output of tasks that have finished already; otherwise
            as it was when the checkpoint was made.
        subgraphs: Include the states of subgraphs, not only their addresses.
    """
    if saved is None:
        asked = asked if asked is not None else config
        return StateSnapshot({}, (), asked, None, None, None, (), ())
    ns = saved.config[CONF].get("checkpoint_ns", "")
    machine = machine_at(plan, ns, saver, saved)
    adapted = saved if plan.versions is None else plan.versions.shown(saved, plan, saver)
    pending = list(adapted.pending_writes or ())
    if is_live:
        nulls = [(name, value) for tid, name, value in pending if tid == NULL_TASK_ID]
        if nulls:
            machine.apply_outside(nulls)
    machine.updated = None  # look at all nodes, so that `next` is in the order in which they were added
    tasks = machine.tasks()
    done = _apply_done(machine, tasks, pending) if is_live else set()
    shown = []
    for task in tasks.values():
        found = task_results(task, pending, plan.stream_channels)
        if is_live and task.id in done:
            found = found._replace(interrupts=())
        state = yield from _subgraph_state(task, saved, saver, subgraphs=subgraphs)
        shown.append(found._replace(state=state))
    return StateSnapshot(
        values=machine.read(plan.stream_channels),
        next=tuple(task.name for task in tasks.values() if task.id not in done),
        config=_shown_config(config, saved),
        metadata=saved.metadata,
        created_at=saved.checkpoint["ts"],
        parent_config=_shown_parent(saved),
        tasks=tuple(shown),
        interrupts=tuple(i for task in shown for i in task.interrupts),
    )


def snapshot_of(
    plan: Plan, saved: CheckpointTuple, saver: BaseCheckpointSaver[Any], config: RunnableConfig, *, is_live: bool
) -> StateSnapshot:
    """Make the snapshot of a stored checkpoint without looking at its subgraphs; see `take_snapshot`."""
    op = take_snapshot(plan, saved, saver, config, is_live=is_live, subgraphs=False)
    try:
        op.send(None)
    except StopIteration as done:
        return cast("StateSnapshot", done.value)
    msg = "a snapshot without subgraphs asked for another checkpoint"
    raise AssertionError(msg)


class _DeferredSnapshot(StateSnapshot):
    """A snapshot of which values and tasks are made when somebody asks for one of them.

    A history is mostly looked through by metadata, and the values of each of its checkpoints may be large. (The type
    checkers rightly mind that fields become properties: tuples have no other way to make one late.)
    """

    maker: Callable[[], StateSnapshot]
    _made: StateSnapshot | None = None

    def _whole(self) -> StateSnapshot:
        if self._made is None:
            self._made = self.maker()
        return self._made

    @property
    def values(self) -> Any:
        return self._whole()[0]

    @property
    def next(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._whole()[1]

    @property
    def tasks(self) -> tuple[PregelTask, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._whole()[6]

    @property
    def interrupts(self) -> tuple[Interrupt, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._whole()[7]

    def __getitem__(self, at: Any) -> Any:
        return self._whole()[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._whole())

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, _DeferredSnapshot) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._whole())

    def __repr__(self) -> str:
        return repr(self._whole())

    def __reduce__(self) -> tuple[Any, ...]:
        return StateSnapshot, tuple(self._whole())

    def _replace(self, **changes: Any) -> StateSnapshot:  # type: ignore[override]  # what comes out is a plain one
        return self._whole()._replace(**changes)

    def _asdict(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._whole()._asdict()


_DeferredSnapshot.__name__ = _DeferredSnapshot.__qualname__ = StateSnapshot.__name__  # to everybody else it is one


def deferred_snapshot(
    plan: Plan, stored: StoredCheckpoint, saver: BaseCheckpointSaver[Any], config: RunnableConfig
) -> StateSnapshot:
    """Make the snapshot of a stored checkpoint as it was when it was made; what isn't asked for isn't decoded."""

    def make() -> StateSnapshot:
        return snapshot_of(plan, stored.open(), saver, config, is_live=False)

    at, parent = _shown_config(config, stored), _shown_parent(stored)
    snapshot = _DeferredSnapshot({}, (), at, stored.metadata, stored.ts, parent, (), ())
    snapshot.maker = make
    return snapshot


def _apply_done(machine: Machine, tasks: dict[str, Task], pending: Sequence[tuple[str, str, Any]]) -> set[str]:
    """Apply the writes of finished tasks to the machine, and return their ids."""
    for tid, name, value in pending:
        if tid in tasks and name not in CONTROL_WRITES:
            tasks[tid].writes.append((name, value))
    finished = [task for task in tasks.values() if task.writes]
    if finished:
        machine.apply(finished)
    return {task.id for task in finished}


def _subgraph_state(
    task: Task, saved: CheckpointTuple, saver: BaseCheckpointSaver[Any], *, subgraphs: bool
) -> Generator[Load, Any, RunnableConfig | StateSnapshot | None]:
    graph = task.node.subgraph
    if graph is None or graph.checkpointer is False:
        return None
    from perdure.pregel.scope import strip_task_ids

    conf = saved.config[CONF]
    ns = strip_task_ids(task.ns) if graph.checkpointer is True else task.ns
    config: RunnableConfig = {CONF: {"thread_id": conf["thread_id"], "checkpoint_ns": ns}}
    if not subgraphs:
        return config
    inner: CheckpointTuple | None = yield Load(config)
    return (yield from take_snapshot(graph.plan, inner, saver, config, is_live=True, subgraphs=True))


def _shown_config(config: RunnableConfig, saved: CheckpointTuple | StoredCheckpoint) -> RunnableConfig:
    mine = {k: v for k, v in config.get(CONF, {}).items() if not k.startswith("__")}
    shown: RunnableConfig = {CONF: {**mine, **saved.config[CONF]}}
    _add_map(shown, saved)
    return shown


def _shown_parent(saved: CheckpointTuple | StoredCheckpoint) -> RunnableConfig | None:
    if saved.parent_config is None:
        return None
    shown: RunnableConfig = {CONF: dict(saved.parent_config[CONF])}
    _add_map(shown, saved)
    return shown


def _add_map(config: RunnableConfig, saved: CheckpointTuple | StoredCheckpoint) -> None:
    """Add the checkpoints of the namespaces around, by which a subgraph's checkpoint can be addressed from the root."""
    if parents := saved.metadata.get("parents"):
        conf = config[CONF]
        conf["checkpoint_map"] = {**parents, conf.get("checkpoint_ns", ""): conf["checkpoint_id"]}


def checkpoint_payload(run: Run, metadata: dict[str, Any], parent_id: str | None) -> dict[str, Any]:
    """Return the payload of the stream mode `checkpoints` for the checkpoint that a run has just made."""
    place = {"thread_id": run.thread_id, "checkpoint_ns": run.machine.ns} if run.thread_id is not None else {}
    conf = {**{k: v for k, v in run.config.get(CONF, {}).items() if not k.startswith("__")}, **place}
    parents = run.parent.run.checkpoint_map() if run.parent else {}

    def config_at(id_: str) -> RunnableConfig:
        found = {**conf, "checkpoint_id": id_}
        if parents:
            found["checkpoint_map"] = {**parents, run.machine.ns: id_}
        return {CONF: found}

    output = run.plan.stream_channels
    return {
        "config": config_at(run.machine.checkpoint_id),
        "parent_config": config_at(parent_id) if parent_id else None,
        "values": run.machine.read(output),
        "metadata": metadata,
        "next": [task.name for task in run.tasks],
        "tasks": [_task_event(run, task) for task in run.tasks],
    }


def _task_event(run: Run, task: Task) -> dict[str, Any]:
    found = task_results(task, run.pending, run.plan.stream_channels)
    event: dict[str, Any] = {"id": task.id, "name": task.name}
    if found.error is not None:
        event["error"] = found.error
    elif found.result is not None:
        event["result"] = found.result
    return {**event, "interrupts": tuple(map(stream.as_dict, found.interrupts)), "state": _subgraph_config(run, task)}


def _subgraph_config(run: Run, task: Task) -> RunnableConfig | None:
    graph = task.node.subgraph
    if graph is None or graph.checkpointer is False or run.thread_id is None:
        return None
    from perdure.pregel.scope import strip_task_ids

    ns = strip_task_ids(task.ns) if graph.checkpointer is True else task.ns
    return {CONF: {"thread_id": run.thread_id, "checkpoint_ns": ns}}
