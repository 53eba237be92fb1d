"""One run of a graph: which effects it needs, in which order. No I/O: the drivers do what it asks.

The loop is a generator. It yields effects and is sent their outcome:

1. `Load` is answered with the stored checkpoint or None.
2. `Execute` is answered with the first failure or None, once every task has ended. While the tasks run, the driver
   hands those that ended to `ended`, and stores what that returns before anything counts it.
3. `Store` is answered when the commits are durable (or queued in order, with durability `async`).

A superstep's checkpoint carries the writes of the task that ended last, so a superstep of one task is one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.channels import UntrackedValue
from perdure.channels.base import MISSING
from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.ids import new_id
from perdure.pregel.clock import now
from perdure.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from perdure.constants import CONF, CONTROL_WRITES, INPUT, NO_WRITES, NS_SEP, NULL_TASK_ID, TASKS
from perdure.errors import (
    ConflictError,
    EmptyInputError,
    ErrorCode,
    GraphBubbleUp,
    GraphDrained,
    GraphInterrupt,
    GraphRecursionError,
    SerializationError,
    UnknownInterruptError,
)
from perdure.pregel import stream
from perdure.pregel.commands import command_writes
from perdure.pregel.machine import Machine, Writes, int_version
from perdure.pregel.stream import SILENT, Sink
from perdure.types import Command, Interrupt, RunnableConfig, Send

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple
    from perdure.pregel.plan import Plan
    from perdure.pregel.scope import TaskScope
    from perdure.pregel.task import Task
    from perdure.pregel.turns import Turn
    from perdure.runtime import RunControl, ServerInfo
    from perdure.types import All, Durability

CHECKPOINT_VERSION = 4


class Load(NamedTuple):
    """Ask for a stored checkpoint."""

    config: RunnableConfig


class LoadBefore(NamedTuple):
    """Ask for the newest stored checkpoint of the namespace that is older than another one."""

    config: RunnableConfig
    before: str


class LoadHead(NamedTuple):
    """Ask for the id of the newest checkpoint of the namespace."""


class Store(NamedTuple):
    """Ask for prepared commits to be made durable, all or nothing."""

    prepared: Sequence[Any]


class Execute(NamedTuple):
    """Ask for tasks to be run."""

    tasks: Sequence[Task]


Effect = Load | LoadBefore | LoadHead | Store | Execute
Loop = Generator[Effect, Any, None]


class Settings(NamedTuple):
    """What a call fixes for a whole run.

    Attributes:
        config: The caller's config, merged with the graph's defaults.
        thread_id: The thread, if there is a saver.
        ns: The checkpoint namespace.
        checkpoint_id: The checkpoint that the caller addressed, if any.
        limit: Supersteps that the run may take.
    """

    plan: Plan
    config: RunnableConfig
    saver: BaseCheckpointSaver[Any] | None
    thread_id: str | None
    ns: str
    checkpoint_id: str | None
    limit: int
    durability: Durability
    stable: bool
    output_keys: str | list[str]
    interrupt_before: All | Sequence[str]
    interrupt_after: All | Sequence[str]
    context: Any
    store: Any
    control: RunControl | None
    parent: TaskScope | None
    sink: Sink = SILENT
    owns_sink: bool = True
    previous: Any = None
    server_info: ServerInfo | None = None


class Run:
    """The state of one run; see the module's docstring for the protocol of `loop`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plan = settings.plan
        self.config = settings.config
        self.saver = settings.saver
        self.sink = settings.sink
        self.owns_sink = settings.owns_sink
        self.listens = settings.owns_sink and settings.sink.is_live
        self.parent = settings.parent
        self.thread_id = settings.thread_id
        self.context = settings.context
        self.store = settings.store
        self.control = settings.control
        self.previous = settings.previous
        self.server_info = settings.server_info
        self.turn: Turn | None = settings.parent.run.turn if settings.parent else None
        next_version = int_version if self.saver is None else self.saver.get_next_version
        self.machine = Machine(settings.plan, settings.ns, next_version)
        self.stream_ns = tuple(settings.ns.split(NS_SEP)) if settings.ns else ()
        self.run_id = str(run_id) if (run_id := settings.config.get("run_id")) else None
        self.interrupts: tuple[Interrupt, ...] = ()
        self.resuming = False
        self.is_stopped = False
        self.replayed: str | None = None
        self.keeps_writes = settings.saver is not None
        self.tasks: dict[str, Task] = {}
        self._answers: dict[str, Any] = {}
        self._null_answers: list[Any] = []
        self._null_consumed = False
        self.pending: list[tuple[str, str, Any]] = []
        self._unsaved: list[Any] = []
        self._single: Task | None = None
        self._head: str | None = None
        self._parent_id: str | None = None
        self._deferred: tuple[str | None, Commit] | None = None
        self._untracked = {n for n, c in self.plan.channels.items() if isinstance(c, UntrackedValue)}
        self._metadata_extra: dict[str, Any] | None = None
        self._last_checkpoint: tuple[dict[str, Any], str | None] | None = None

    # -- for tasks

    @property
    def durability(self) -> Durability:
        """When supersteps are stored."""
        return self.settings.durability

    def threads(self) -> Any:
        """Return the executor for plain functions in asynchronous runs; None is the loop's own."""
        return None

    def with_callbacks(self, config: RunnableConfig, scope: TaskScope) -> RunnableConfig:
        """Let LangChain runnables inside a node report to this run's stream, when somebody listens."""
        if self.sink.wants("messages"):
            from perdure.interop.langchain import with_message_stream

            return with_message_stream(config, scope)
        return config

    def config_scalars(self) -> dict[str, Any]:
        """Return what the caller's config adds to metadata."""
        if self._metadata_extra is None:
            self._metadata_extra = metadata_extra(self.config)
        return self._metadata_extra

    def checkpoint_map(self) -> dict[str, str]:
        """Return the current checkpoint of this namespace and of each one around it."""
        around = self.parent.run.checkpoint_map() if self.parent else {}
        return {**around, self.machine.ns: self.machine.checkpoint_id}

    def answer(self, interrupt_id: str) -> Any:
        """Return the caller's answer to a question, once; MISSING if there is none."""
        run: Run | None = self
        while run is not None:
            if interrupt_id in run._answers:  # noqa: SLF001 - the same class
                return run._answers[interrupt_id]
            if run._null_answers:  # noqa: SLF001 - the same class
                run._null_consumed = True  # noqa: SLF001 - the same class
                return run._null_answers.pop()
            run = run.parent.run if run.parent else None
        return MISSING

    # -- the loop

    def loop(self, value: Any) -> Loop:
        """Run the graph on an input.

        Raises:
            GraphInterrupt: A nested run stops to ask (a root run ends normally, with `interrupts`).
            GraphRecursionError: More supersteps than the limit.
            GraphDrained: The run was asked to stop between two supersteps.
        """
        try:
            yield from self._start(value)
            yield from self._supersteps()
        except GraphInterrupt as stop:
            self.is_stopped = True
            self.interrupts = tuple(stop.args[0])
            yield from self._at_exit(failed=True)
            self._emit_stop()
            self._show_finished()
            if self.parent is not None:
                raise
        except BaseException as error:
            if not isinstance(error, (GeneratorExit, ConflictError)):
                if self._unsaved:
                    yield from self._put_prepared([])
                yield from self._at_exit(failed=True)
            raise
        else:
            yield from self._at_exit(failed=False)

    def _start(self, value: Any) -> Loop:
        saved: CheckpointTuple | None = None
        if self.saver is not None:
            before = self._replayed_from()
            if before is None:
                saved = yield Load(self._address(self.settings.checkpoint_id))
            else:
                saved = yield LoadBefore(self._address(None), before)
            self._head = saved.checkpoint["id"] if saved else None
            if self.settings.checkpoint_id is not None or before is not None:
                self._head = yield LoadHead()
        self._restore(saved)
        machine = self.machine
        machine.stop = machine.step + self.settings.limit + 1
        self.resuming = bool(machine.versions) and self._is_resume(value, saved)
        is_command = isinstance(value, Command) and (value.resume is not None or bool(machine.versions))
        if is_command:
            yield from self._take_command(value)
        self._apply_null_writes()
        if self.resuming:
            machine.note_stop()
            if value is None and self._is_replay(saved):
                self.replayed = self.settings.checkpoint_id
                yield from self._fork()
            elif saved is not None:
                parent = saved.parent_config
                parent_id = parent[CONF]["checkpoint_id"] if parent else None
                self._last_checkpoint = (dict(saved.metadata), parent_id)
            self._emit_values()
        elif value is not None and not is_command:
            yield from self._take_input(value)
        elif not machine.versions:
            raise EmptyInputError(
                "the run got no input, and its thread has nothing to resume",
                hint="pass an input, or check thread_id: "
                f"{self.thread_id!r} has no checkpoint" if self.saver else "pass an input",
            )

    def _replayed_from(self) -> str | None:
        """Return the old checkpoint that the root run replays, to a subgraph with a memory that it calls first."""
        root: Run = self
        while root.parent is not None:
            root = root.parent.run
        if root is self or not self.settings.stable or root.replayed is None or not root.resuming:
            return None
        return root.replayed

    def _restore(self, saved: CheckpointTuple | None) -> None:
        if saved is None:
            return
        machine = self.machine
        machine.restore(saved.checkpoint)
        machine.step = int(saved.metadata.get("step", -2)) + 1
        self._parent_id = saved.checkpoint["id"]
        self.pending = list(saved.pending_writes or ())

    def _is_resume(self, value: Any, saved: CheckpointTuple | None) -> bool:
        if self.parent is not None:
            return self.parent.run.resuming and self._replayed_from() is None
        if value is None or isinstance(value, Command):
            return True
        return bool(saved and self.run_id and saved.metadata.get("run_id") == self.run_id)

    def _is_replay(self, saved: CheckpointTuple | None) -> bool:
        """Tell whether the caller addressed a checkpoint to run again from.

        A head that an update or a fork made hasn't run yet: going on from it is no replay.
        """
        if self.settings.checkpoint_id is None or saved is None:
            return False
        return saved.checkpoint["id"] != self._head or saved.metadata.get("source") not in ("update", "fork")

    def _fork(self) -> Loop:
        """Make a copy of the addressed checkpoint the head: its tasks run again."""
        self.pending = []
        self.machine.updated = None
        yield from self._checkpoint("fork")

    def _take_command(self, command: Command[Any]) -> Loop:
        writes = command_writes(command)
        if command.resume is not None:
            writes = [(name, self._addressed(value) if name == RESUME else value) for name, value in writes]
        if not writes:
            raise EmptyInputError("the Command is empty", hint="give it an update, a goto or a resume value")
        if self.settings.checkpoint_id not in (None, self._head):
            self.pending = []  # an old checkpoint: its tasks run again
        self.pending = [w for w in self.pending if w[0] != NULL_TASK_ID]
        self.pending += [(NULL_TASK_ID, name, value) for name, value in writes]
        if self._parent_id is not None:
            yield from self._put_writes([TaskWrites(NULL_TASK_ID, "", writes)])

    def open_interrupts(self) -> dict[str, Interrupt]:
        """Return the questions that are open on the loaded checkpoint, by id."""
        done = {tid for tid, name, _ in self.pending if name not in CONTROL_WRITES}
        found: dict[str, Interrupt] = {}
        for tid, name, value in self.pending:
            if name == INTERRUPT and tid not in done:
                found.update((i.id, i) for i in (value if isinstance(value, (list, tuple)) else (value,)))
        return found

    def _addressed(self, resume: Any) -> Any:
        """Address a caller's answer to the question that is open, so that no other one can get it.

        An answer is kept as {interrupt id: value}. Where no question is open, it stays as it is, for the first to ask.

        Raises:
            UnknownInterruptError: It is for a question that isn't open, or it isn't clear for which one it is.
        """
        if self.saver is None:
            raise UnknownInterruptError(
                "Command(resume=...) needs a checkpointer: without one there is nothing to resume",
                hint="compile the graph with one: builder.compile(checkpointer=InMemorySaver())",
            )
        is_open = self.open_interrupts()
        hint = f"open are: {', '.join(is_open) or 'none'}; get_state(config).interrupts lists them"
        if _is_addressed(resume):
            if unknown := [key for key in resume if key not in is_open]:
                raise UnknownInterruptError(
                    f"no open interrupt has the id {', '.join(unknown)}",
                    hint=hint,
                    reason="not_pending",
                    thread_id=self.thread_id,
                )
            return dict(resume)
        if len(is_open) > 1:
            raise UnknownInterruptError(
                f"{len(is_open)} interrupts are open, and one answer came without an id",
                hint=f"pass Command(resume={{id: answer, ...}}); {hint}",
                reason="ambiguous",
                thread_id=self.thread_id,
            )
        return {id_: resume for id_ in is_open} or resume

    def _apply_null_writes(self) -> None:
        mine = [(name, value) for tid, name, value in self.pending if tid == NULL_TASK_ID]
        for name, value in mine:
            if name == RESUME and _is_addressed(value):
                self._answers.update(value)
            elif name == RESUME and value is not None:
                self._null_answers = [value]
        if mine:
            self.machine.apply_outside(mine)

    def _take_input(self, value: Any) -> Loop:
        """Start anew from an input; tasks that the thread hadn't finished are dropped."""
        machine = self.machine
        dropped = list(machine.tasks().values()) if machine.versions else []
        machine.apply([*dropped, Writes((), INPUT, (), [(self.plan.input_channel, value)])])
        self.pending = []
        yield from self._checkpoint("input")

    def _supersteps(self) -> Loop:
        machine = self.machine
        settings = self.settings
        while True:
            self._check_stop_request()
            tasks = self._plan()
            self._emit_checkpoint()
            if machine.step > machine.stop:
                raise self._too_many_steps()
            if not tasks:
                return
            if settings.interrupt_before and machine.stops(settings.interrupt_before, tasks.values()):
                raise GraphInterrupt(())
            todo = [task for task in tasks.values() if not task.saved]
            if todo:
                self._emit_starts(todo)
                yield from self._execute(todo)
            yield from self._apply(list(tasks.values()))
            if settings.interrupt_after and machine.stops(settings.interrupt_after, tasks.values()):
                raise GraphInterrupt(())

    def _plan(self) -> dict[str, Task]:
        tasks = self.tasks = self.machine.tasks()
        if self.pending and tasks:
            for tid, name, value in self.pending:
                task = tasks.get(tid)
                if task is None or name in (ERROR, INTERRUPT):
                    continue
                if name == RESUME:
                    task.resume = list(value)
                else:
                    task.writes.append((name, value))
            for task in tasks.values():
                if task.writes:
                    task.saved = True
                    self._emit_update(task, cached=True)
        return tasks

    def _execute(self, todo: list[Task]) -> Loop:
        self._single = todo[0] if len(todo) == 1 else None
        failure = yield Execute(todo)
        bubbles = [task.failure for task in todo if isinstance(task.failure, GraphBubbleUp)]
        if failure is None and not bubbles:
            return
        self._flush_single()
        if self._unsaved:
            yield from self._put_prepared([])
        if failure is not None:
            raise failure
        for bubble in bubbles:
            if not isinstance(bubble, GraphInterrupt):
                raise bubble
        raise GraphInterrupt([i for task in todo for i in task.interrupts])

    def _apply(self, tasks: list[Task]) -> Loop:
        self.machine.apply(tasks)
        self.pending = []
        if self.sink.wants("values") and any(
            stream.writes_values(self.settings.output_keys, task.writes) for task in tasks
        ):
            self._emit_values()
        yield from self._checkpoint("loop")
        self.resuming = False
        self.tasks = {}
        self._answers = {}

    def _check_stop_request(self) -> None:
        control, turn = self.control, self.turn
        if control is not None and control.reason is not None:
            raise GraphDrained(control.reason)
        if turn is not None and turn.is_asked_to_stop:
            raise GraphDrained("another run of the thread asked for the turn (busy='interrupt')")

    def _too_many_steps(self) -> GraphRecursionError:
        limit = self.settings.limit
        return GraphRecursionError(
            f"the run took {limit} supersteps without ending ({ErrorCode.GRAPH_RECURSION_LIMIT.value})",
            hint='raise the limit with config={"recursion_limit": ...}, or look for a loop without an exit; '
            "the thread's last checkpoint is kept and can be resumed",
            thread_id=self.thread_id,
        )

    # -- tasks that ended

    def ended(self, batch: Sequence[Task]) -> None:
        """Note tasks that ended, and keep their writes for the next commit."""
        for task in batch:
            self._note_end(task)
            if self.keeps_writes and task is not self._single:
                self._keep(task)

    def take_unsaved(self) -> list[Any]:
        """Return the prepared writes that no commit has carried yet; the caller commits them."""
        if self.durability == "exit":
            return []
        unsaved, self._unsaved = self._unsaved, []
        return unsaved

    def _note_end(self, task: Task) -> None:
        if task.failure is None and not task.writes:
            task.writes.append((NO_WRITES, None))
        if self.sink.modes:
            self._emit_end(task)

    def _keep(self, task: Task) -> None:
        """Encode a task's writes; a task whose writes can't be stored has failed."""
        try:
            writes = [self._task_writes(task)]
            if self._null_consumed:
                writes.append(TaskWrites(NULL_TASK_ID, "", [(RESUME, None)]))
            self._unsaved.append(self._prepare(Commit(**self._place(), writes=writes), [task]))
        except SerializationError as error:
            task.failure = error
            task.writes = [(ERROR, error)]
            writes = [TaskWrites(task.id, task.path_text, [(ERROR, error)])]
            self._unsaved.append(self._prepare(Commit(**self._place(), writes=writes), [task]))

    def _task_writes(self, task: Task) -> TaskWrites:
        if isinstance(task.failure, GraphInterrupt):
            writes: list[tuple[str, Any]] = [(INTERRUPT, list(task.interrupts))] if task.interrupts else []
        elif isinstance(task.failure, GraphBubbleUp):
            writes = []
        elif task.failure is not None:
            writes = [(ERROR, task.failure)]
        else:
            writes = task.writes
            if self._untracked:
                writes = self._without_untracked(writes)
        if task.resumed:
            writes = [*writes, (RESUME, list(task.resume))]
        return TaskWrites(task.id, task.path_text, writes)

    def _without_untracked(self, writes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        kept = []
        for name, value in writes:
            if name in self._untracked:
                continue
            if name == TASKS and isinstance(value, Send) and isinstance(value.arg, dict):
                arg = {k: v for k, v in value.arg.items() if k not in self._untracked}
                value = Send(value.node, arg, timeout=value.timeout)  # noqa: PLW2901 - the stored form
            kept.append((name, value))
        return kept or [(NO_WRITES, None)]

    def _flush_single(self) -> None:
        task, self._single = self._single, None
        if self.saver is not None and task is not None:
            self._keep(task)

    # -- commits

    def _place(self) -> dict[str, Any]:
        return {
            "thread_id": self.thread_id,
            "checkpoint_ns": self.machine.ns,
            "parent_id": self.machine.checkpoint_id or None,
            "lease": self.turn.lease if self.turn is not None else None,
        }

    def _address(self, checkpoint_id: str | None) -> RunnableConfig:
        conf: dict[str, Any] = {"thread_id": self.thread_id, "checkpoint_ns": self.machine.ns}
        if checkpoint_id is not None:
            conf["checkpoint_id"] = checkpoint_id
        return {CONF: conf}

    def _prepare(self, commit: Commit, tasks: Sequence[Task]) -> Any:
        """Encode a commit, and name the node in the error if that fails."""
        assert self.saver is not None  # noqa: S101 - for the type checker: only called with a saver
        try:
            return self.saver.prepare(commit)
        except SerializationError as error:
            writers = [t.name for t in tasks if any(name == error.channel for name, _ in t.writes)]
            node = ", ".join(sorted(set(writers))) or None
            if node is None:
                raise
            raise type(error)(
                f"node {node!r} wrote to channel {error.channel!r} what can't be stored: {error.args[0]}",
                hint=error.hint,
                node=node,
                channel=error.channel,
                path=error.path,
                thread_id=self.thread_id,
            ) from error

    def _metadata(self, source: str) -> dict[str, Any]:
        parents = self.parent.run.checkpoint_map() if self.parent else {}
        return {"source": source, "step": self.machine.step, "parents": parents, **self.config_scalars()}

    def _checkpoint(self, source: str) -> Loop:
        """Store the machine's state as the new head, together with the writes that led to it."""
        machine = self.machine
        if self.saver is None:
            if self.sink.wants("checkpoints") or self.sink.wants("debug"):
                self._last_checkpoint = (self._metadata(source), None)
            machine.step += 1
            return
        task, self._single = self._single, None
        writes = [self._task_writes(task)] if task is not None else []
        tasks = list(self.tasks.values())
        place = self._place()
        parent_id = machine.checkpoint_id
        id_ = new_id(max(parent_id, self._head or ""))
        checkpoint: Checkpoint = {
            "v": CHECKPOINT_VERSION,
            "id": id_,
            "ts": now(),
            "channel_values": machine.values(),
            "channel_versions": dict(machine.versions),
            "versions_seen": {node: dict(seen) for node, seen in machine.seen.items()},
            "updated_channels": None if machine.updated is None else sorted(machine.updated),
        }
        metadata = self._metadata(source)
        commit = Commit(
            **place,
            writes=writes,
            checkpoint=checkpoint,
            metadata=metadata,  # type: ignore[arg-type]  # the TypedDict plus what the caller's config adds
            new_versions={name: machine.versions[name] for name in machine.changed},
            expected_head=self._head,
        )
        stored_parent = self._deferred[0] if self._deferred else parent_id or None
        self._last_checkpoint = (metadata, stored_parent)
        machine.checkpoint_id = id_
        machine.step += 1
        if self.durability == "exit":
            self._defer(commit, parent_id)
            return
        prepared = self._prepare(commit, tasks)
        machine.changed = set()
        self._head = id_
        yield from self._put_prepared([prepared])

    def _defer(self, commit: Commit, parent_id: str) -> None:
        """Keep only the newest checkpoint for the end of the run."""
        stored_parent = self._deferred[0] if self._deferred else parent_id or None
        self._deferred = (stored_parent, commit._replace(writes=(), parent_id=stored_parent))
        self._unsaved = []

    def _put_writes(self, writes: Sequence[TaskWrites]) -> Loop:
        if self.saver is not None and self.durability != "exit":
            yield Store([self._prepare(Commit(**self._place(), writes=writes), ())])

    def _put_prepared(self, prepared: list[Any]) -> Loop:
        if self.durability == "exit":
            return
        unsaved, self._unsaved = self._unsaved, []
        yield Store([*unsaved, *prepared])

    def _at_exit(self, *, failed: bool) -> Loop:
        """Store what durability `exit` has kept back."""
        if self.durability != "exit" or self.saver is None:
            return
        if self.parent is not None and not failed and not self.settings.stable:
            return
        deferred, self._deferred = self._deferred, None
        prepared = []
        if deferred is not None:
            prepared.append(self._prepare(deferred[1], list(self.tasks.values())))
            self._head = self.machine.checkpoint_id
        nulls = [(name, value) for tid, name, value in self.pending if tid == NULL_TASK_ID]
        if failed and nulls and self._parent_id == self.machine.checkpoint_id:
            writes = [TaskWrites(NULL_TASK_ID, "", nulls)]
            prepared.append(self._prepare(Commit(**self._place(), writes=writes), ()))
        unsaved, self._unsaved = self._unsaved, []
        if prepared or unsaved:
            yield Store([*prepared, *unsaved])

    # -- events

    def output(self) -> Any:
        """Return what the run returns: the output channels, with the open interrupts."""
        value = self.machine.read(self.settings.output_keys)
        if self.interrupts and isinstance(value, dict):
            value[INTERRUPT] = list(self.interrupts)
        return value

    def _emit(self, mode: str, payload: Callable[[], Any]) -> None:
        if self.sink.wants(mode):
            self.sink.put(self.stream_ns, mode, payload())

    def _emit_values(self) -> None:
        self._emit("values", lambda: self.machine.read(self.settings.output_keys))

    def _emit_stop(self) -> None:
        if not self.interrupts:
            self._emit("updates", lambda: {INTERRUPT: ()})

    def _show_finished(self) -> None:
        """Let the output include what tasks of the stopped superstep have finished; it counts once the step does."""
        finished = [task for task in self.tasks.values() if task.is_finished]
        if finished and self.parent is None:
            self.machine.apply(finished)
            if any(stream.writes_values(self.settings.output_keys, task.writes) for task in finished):
                self._emit_values()

    def _emit_starts(self, tasks: Sequence[Task]) -> None:
        sink = self.sink
        if not (sink.wants("tasks") or sink.wants("debug")):
            return
        for task in tasks:
            if stream.TAG_HIDDEN in task.node.tags:
                continue
            payload = stream.task_payload(task)
            self._emit("tasks", lambda payload=payload: payload)  # type: ignore[misc]  # bound at once
            self._emit("debug", lambda payload=payload: stream.debug_event("task", self.machine.step, payload))  # type: ignore[misc]  # bound at once

    def _emit_end(self, task: Task) -> None:
        if task.interrupts:
            self._emit("updates", lambda: {INTERRUPT: task.interrupts})
            self._emit("values", lambda: {**self._dict_output(), INTERRUPT: task.interrupts})
        elif task.failure is None:
            self._emit_update(task, cached=False)
            if self.sink.wants("messages"):
                self._emit_messages(task)
        if isinstance(task.failure, GraphBubbleUp) and not task.interrupts:
            return
        if stream.TAG_HIDDEN not in task.node.tags and (self.sink.wants("tasks") or self.sink.wants("debug")):
            payload = stream.result_payload(task, self.plan.stream_channels)
            self._emit("tasks", lambda: payload)
            self._emit("debug", lambda: stream.debug_event("task_result", self.machine.step, payload))

    def _dict_output(self) -> dict[str, Any]:
        value = self.machine.read(self.settings.output_keys)
        return value if isinstance(value, dict) else {}

    def _emit_update(self, task: Task, *, cached: bool) -> None:
        if self.sink.wants("updates"):
            payload = stream.map_updates(self.settings.output_keys, [task], cached=cached)
            if payload is not None:
                self.sink.put(self.stream_ns, "updates", payload)

    def _emit_messages(self, task: Task) -> None:
        from perdure.pregel.scope import TaskScope

        if task.name == self.plan.input_channel:
            return
        seen = self.sink.seen_messages
        seen.update(filter(None, map(stream.message_id, stream.messages_in(_values_of(task.input)))))
        metadata = None
        for message in stream.messages_in(value for name, value in task.writes if name in self.plan.stream_channels):
            id_ = stream.message_id(message)
            if id_ is not None and id_ in seen:
                continue
            if id_ is not None:
                seen.add(id_)
            metadata = metadata or TaskScope(self, task).message_metadata()
            self.sink.put(self.stream_ns, "messages", (message, metadata))

    def _emit_checkpoint(self) -> None:
        told, self._last_checkpoint = self._last_checkpoint, None
        sink = self.sink
        if told is None or not (sink.wants("checkpoints") or sink.wants("debug")):
            return
        from perdure.pregel.snapshot import checkpoint_payload

        payload = checkpoint_payload(self, *told)
        self._emit("checkpoints", lambda: payload)
        self._emit("debug", lambda: stream.debug_event("checkpoint", self.machine.step - 1, payload))


def _values_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(vars(value).values()) if hasattr(value, "__dict__") else [value]


def _is_addressed(resume: Any) -> bool:
    """Tell whether an answer is a dict from interrupt ids to values."""
    return isinstance(resume, dict) and bool(resume) and all(_is_interrupt_id(key) for key in resume)


def _is_interrupt_id(key: Any) -> bool:
    return isinstance(key, str) and len(key) == 32 and all(c in "0123456789abcdef" for c in key)  # noqa: PLR2004 - xxh3_128


_SCALARS = (str, int, bool, float)
_NOT_METADATA = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})


def metadata_extra(config: RunnableConfig) -> dict[str, Any]:
    """Return what a caller's config adds to its checkpoints' metadata: its metadata and its scalar parameters."""
    found: dict[str, Any] = {}
    if run_id := config.get("run_id"):
        found["run_id"] = str(run_id)
    for source in (config.get("metadata") or {}, config.get(CONF) or {}):
        for key, value in source.items():
            if key in found or key in _NOT_METADATA or key.startswith(("__", "langgraph_")):
                continue
            if isinstance(value, _SCALARS):
                found[key] = value.replace("\x00", "") if isinstance(value, str) else value
    return found


