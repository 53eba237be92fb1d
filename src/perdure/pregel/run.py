"""One run of a graph: its start, its supersteps, its end. No I/O: see `effects` for the protocol with the driver."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import proxy

from perdure.channels.base import MISSING
from perdure.checkpoint.base import TaskWrites
from perdure.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED
from perdure.constants import CONF, INPUT, NO_WRITES, NS_SEP, NULL_TASK_ID, PREVIOUS
from perdure.errors import (
    ConflictError,
    EmptyInputError,
    ErrorCode,
    GraphBubbleUp,
    GraphDrained,
    GraphInterrupt,
    GraphRecursionError,
    InvalidResumeError,
    StepTimeoutError,
    UnknownInterruptError,
)
from perdure.pregel.answers import Answers, addressed
from perdure.pregel.commands import command_writes
from perdure.pregel.driver import failure_of
from perdure.pregel.effects import Effect, Execute, Load, LoadBefore, LoadHead, Loop, Memorise, Recall, Store
from perdure.pregel.handling import Failure
from perdure.pregel.journal import Journal
from perdure.pregel.machine import Machine, Writes, int_version
from perdure.pregel.settings import Settings, metadata_extra
from perdure.pregel.stream import writes_values
from perdure.pregel.teller import Teller
from perdure.types import Command, Interrupt, RunnableConfig

if TYPE_CHECKING:
    from perdure.checkpoint.base import CheckpointTuple
    from perdure.pregel.scope import TaskScope
    from perdure.pregel.task import Task
    from perdure.pregel.turns import Turn
    from perdure.types import Durability


class Run:
    """The state of one run.

    Attributes:
        machine: The graph's state.
        tasks: The tasks of the current superstep.
        pending: The writes stored for the current checkpoint: (task id, channel, value).
        returned: What calls of the current superstep's tasks have returned, by the call's id.
        resuming: Whether this superstep goes on where an earlier run stopped.
        interrupts: The questions that the run stopped to ask.
        replayed: The old checkpoint that the caller asked to run again from.
        turn: The thread's turn; the same for all graphs called from inside.
        observer: Who is told of the run as it goes, see `perdure.interop.otel`; None for nobody.
        tells_tasks: Whether it is told of tasks too.
        within: What the observer keeps of the current superstep.
        is_late: Whether the superstep has taken longer than it may; its driver notices.
        owed: What handlers that are coroutine functions have left to wait for.
        commits: The driver's way to the saver, for the drivers of graphs called from inside.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plan = settings.plan
        self.config = settings.config
        self.saver = settings.saver
        self.sink = settings.sink
        self.parent = settings.parent
        self.thread_id = settings.thread_id
        self.context = settings.context
        self.store: Any = settings.store
        self.cache: Any = settings.cache
        self._has_cached_nodes = settings.cache is not None and settings.plan.has_cached_nodes
        self.control = settings.control
        self.observer: Any = settings.observer
        self.tells_tasks = self.observer is not None and self.observer.tells_tasks
        self.within: Any = None
        self.server_info = settings.server_info
        self.durability: Durability = settings.durability
        self.owns_sink = settings.owns_sink
        self.listens = settings.owns_sink and settings.sink.is_live
        self.turn: Turn | None = settings.parent.run.turn if settings.parent else None
        next_version = int_version if self.saver is None else self.saver.get_next_version
        self.machine = Machine(settings.plan, settings.ns, next_version)
        if self.saver is None and self.parent is None:
            self.machine.salt = uuid4().hex
        self.stream_ns = tuple(settings.ns.split(NS_SEP)) if settings.ns else ()
        self.run_id = str(run_id) if (run_id := settings.config.get("run_id")) else None
        self.tasks: Sequence[Task] = ()
        self._has_stopped = False
        self.step_timeout = settings.step_timeout
        # What a channel held for one superstep is gone at the run's end, and is its output all the same.
        self._keeps_output = not settings.plan.volatile.isdisjoint(_listed(settings.output_keys))
        self._output: Any = MISSING
        self.is_late = False
        self.commits: Any = None
        self.pending: list[tuple[str, str, Any]] = []
        self.returned: dict[str, Any] = {}
        self._saved: tuple[Any, dict[str, list[tuple[str, Any]]]] = (None, {})
        self.interrupts: tuple[Interrupt, ...] = ()
        self.resuming = False
        self.replayed: str | None = None
        self.answers = Answers()
        self.journal = Journal(self)
        self.teller = Teller(self)
        self.owed: list[Any] = []

    # -- for tasks

    @cached_property
    def metadata_extra(self) -> dict[str, Any]:
        """What the caller's config, and the graph's version, add to metadata."""
        extra = metadata_extra(self.config)
        return extra if self.plan.versions is None else {**extra, **self.plan.versions.marks}

    def with_callbacks(self, config: RunnableConfig, scope: TaskScope) -> RunnableConfig:
        """Let LangChain runnables inside a node report to this run's stream, when somebody listens."""
        if self.sink.wants("messages"):
            from perdure.interop.langchain import with_message_stream

            config = with_message_stream(config, scope)
        if self.sink.wants("tools"):
            from perdure.interop.langchain import with_tool_stream

            config = with_tool_stream(config, scope)
        return config

    def checkpoint_map(self) -> dict[str, str]:
        """Return the current checkpoint of this namespace and of each one around it."""
        around = self.parent.run.checkpoint_map() if self.parent else {}
        return {**around, self.machine.ns: self.machine.checkpoint_id}

    @property
    def previous(self) -> Any:
        """What the thread's last run saved (functional API)."""
        channel = self.machine.channels.get(PREVIOUS)
        value = MISSING if channel is None else channel.peek()
        return None if value is MISSING else value

    def saved_writes(self, task_id: str) -> list[tuple[str, Any]]:
        """Return what is stored for a task, or a call of one, on the current checkpoint."""
        of, by_task = self._saved
        if of is not self.pending:
            by_task = {}
            for tid, name, value in self.pending:
                by_task.setdefault(tid, []).append((name, value))
            self._saved = (self.pending, by_task)
        return by_task.get(task_id, [])

    def answer(self, interrupt_id: str) -> Any:
        """Return the caller's answer to a question; MISSING if there is none."""
        run: Run | None = self
        while run is not None:
            if (value := run.answers.get(interrupt_id)) is not MISSING:
                return value
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
        journal = self.journal
        try:
            yield from self._start(value)
            yield from self._supersteps()
        except GraphInterrupt as stop:
            self.interrupts = tuple(stop.args[0])
            yield from _store([*journal.take_unsaved(), *journal.at_exit(failed=True)])
            self._show_stop()
            if self.parent is not None:
                raise
            self._tell_handlers("on_interrupt")
        except BaseException as error:
            if not isinstance(error, (GeneratorExit, ConflictError)):
                yield from _store(journal.flush())
                yield from _store(journal.at_exit(failed=True))
            raise
        else:
            yield from _store([*journal.take_unsaved(), *journal.at_exit(failed=False)])

    def _start(self, value: Any) -> Loop:
        saved = yield from self._load()
        machine = self.machine
        machine.stop = machine.step + self.settings.limit + 1
        self.resuming = bool(machine.versions) and self._is_resume(value, saved)
        is_command = isinstance(value, Command) and (value.resume is not None or bool(machine.versions))
        if is_command:
            yield from self._take_command(value)
        self._apply_callers_writes()
        if self.resuming:
            self._tell_handlers("on_resume")
            yield from self._resume(value, saved)
        elif value is not None and not is_command:
            if isinstance(value, Command) and not command_writes(value):
                raise _nothing_commanded()
            yield from self._take_input(value)
        elif not machine.versions:
            raise EmptyInputError(
                "the run got no input, and there is nothing to resume"
                + (f": thread {self.thread_id!r} has no checkpoint" if self.saver else ""),
                hint="pass an input, or check the thread_id",
                thread_id=self.thread_id,
            )

    def _tell_handlers(self, name: str) -> None:
        """Tell the caller's handlers that the run stops to ask, or goes on."""
        if self.parent is not None or not self.config.get("callbacks"):
            return
        from perdure import callbacks

        run_id, at = self.config.get("run_id"), self.machine.checkpoint_id
        if name == "on_interrupt":
            asked = callbacks.GraphInterruptEvent(run_id, "pending", at, (), self.interrupts)
            self.owed += callbacks.tell(self.config, name, asked)
        else:
            self.owed += callbacks.tell(self.config, name, callbacks.GraphResumeEvent(run_id, "pending", at, ()))

    def _load(self) -> Generator[Effect, Any, CheckpointTuple | None]:
        """Take the state of the stored checkpoint that the run starts from, and return it."""
        saved: CheckpointTuple | None = None
        asked = self.settings.checkpoint_id
        if self.saver is not None:
            journal = self.journal
            before = self._replayed_from()
            saved = yield Load(journal.address(asked)) if before is None else LoadBefore(journal.address(), before)
            journal.head = saved.checkpoint["id"] if saved else None
            if asked is not None or before is not None:
                journal.head = yield LoadHead()
        if saved is not None:
            if (versions := self.plan.versions) is not None and self.saver is not None:
                saved, changed = versions.adapted(saved, self.plan, self.saver)
                self.machine.changed.update(changed)
            self.machine.restore(saved.checkpoint)
            self.machine.step = int(saved.metadata.get("step", -2)) + 1
            self.pending = list(saved.pending_writes or ())
        return saved

    def _replayed_from(self) -> str | None:
        """Return the old checkpoint that the root run replays, to a subgraph with a memory that it calls first."""
        root: Run = self
        while root.parent is not None:
            root = root.parent.run
        if root is self or not self.settings.stable or not root.resuming:
            return None
        return root.replayed

    def _is_resume(self, value: Any, saved: CheckpointTuple | None) -> bool:
        if self.parent is not None:
            return self.parent.run.resuming and self._replayed_from() is None
        if value is None or isinstance(value, Command):
            return True
        return bool(saved and self.run_id and saved.metadata.get("run_id") == self.run_id)

    def _resume(self, value: Any, saved: CheckpointTuple | None) -> Loop:
        self.machine.note_stop()
        if value is None and self._is_replay(saved):
            self.replayed = self.settings.checkpoint_id
            self.pending = []
            self.machine.updated = None
            yield from _store(self.journal.checkpoint("fork"))  # a copy becomes the head: its tasks run again
        elif saved is not None:
            parent = saved.parent_config
            self.journal.last = (dict(saved.metadata), parent[CONF]["checkpoint_id"] if parent else None)
        self.teller.values()

    def _is_replay(self, saved: CheckpointTuple | None) -> bool:
        """Tell whether the caller addressed a checkpoint to run again from.

        A head that an update or a fork made hasn't run yet: going on from it is no replay.
        """
        if self.settings.checkpoint_id is None or saved is None:
            return False
        is_head = saved.checkpoint["id"] == self.journal.head
        return not is_head or saved.metadata.get("source") not in ("update", "fork")

    def _take_command(self, command: Command[Any]) -> Loop:
        writes = command_writes(command)
        if command.resume is not None:
            if self.saver is None:
                raise UnknownInterruptError(
                    "Command(resume=...) needs a checkpointer: without one there is nothing to resume",
                    hint="compile the graph with one: builder.compile(checkpointer=InMemorySaver())",
                )
            answer = addressed(command.resume, self.pending, self.machine.tasks, self.thread_id)
            writes = [(name, answer if name == RESUME else value) for name, value in writes]
            writes = [(name, value) for name, value in writes if name != RESUME or value != {}]
        elif not writes:
            raise _nothing_commanded()
        if self.plan.checks:
            self.plan.check(self.machine.channels, Writes((), INPUT, (), writes))
        if self.settings.checkpoint_id not in (None, self.journal.head):
            self.pending = []  # an old checkpoint: its tasks run again
        self.pending = [w for w in self.pending if w[0] != NULL_TASK_ID]
        self.pending += [(NULL_TASK_ID, name, value) for name, value in writes]
        if writes and self.machine.checkpoint_id:
            yield from _store(self.journal.write([TaskWrites(NULL_TASK_ID, "", writes)]))

    def _apply_callers_writes(self) -> None:
        mine = [(name, value) for tid, name, value in self.pending if tid == NULL_TASK_ID]
        if mine:
            self.answers.take_in(mine)
            self.machine.apply_outside(mine)

    def _take_input(self, value: Any) -> Loop:
        """Start anew from an input; tasks that the thread hadn't finished are dropped."""
        machine = self.machine
        dropped = machine.due(is_look=True) if machine.versions else []
        machine.apply([*dropped, Writes((), INPUT, (), self.plan.input_writes(value))])
        self.pending = []
        prepared = self.journal.checkpoint("input")
        if self.durability == "sync" and self.plan.takes_input_alone and not self.teller.is_heard:
            self.journal.hold(prepared)  # nothing happens before the next commit, which is the next thing to come
        else:
            yield from _store(prepared)

    def _supersteps(self) -> Loop:
        machine, settings, teller, journal = self.machine, self.settings, self.teller, self.journal
        execute, store = Execute(()), Store(())  # one of each: the driver is done with it when it answers
        before, after = settings.interrupt_before, settings.interrupt_after
        control, turn = self.control, self.turn
        while True:
            if turn is not None and (turn.is_lost or turn.is_asked_to_stop):
                self._refuse_to_go_on()
            if control is not None and control.reason is not None:
                self._refuse_to_go_on()
            tasks: Sequence[Task] = machine.due()
            self.tasks = tasks
            if self.pending:
                self._give_stored(tasks)
            if teller.is_heard:
                teller.checkpoint()
            if machine.step > machine.stop:
                raise self._too_many_steps()
            if not tasks:
                return
            if before and machine.stops(before, tasks):
                raise GraphInterrupt(())
            todo: Sequence[Task] = [task for task in tasks if not task.saved] if self.pending else tasks
            if teller.is_heard:
                teller.begins(tasks)
            keys = None
            if self._has_cached_nodes:
                todo, keys = yield from self._recall(todo)
            if todo:
                journal.single = todo[0] if len(todo) == 1 else None
                execute.tasks = todo
                yield execute
                if self._has_stopped or self.is_late:
                    yield from self._fail(todo)
            if keys:
                yield from self._memorise(todo, keys)
            machine.apply(tasks)
            if self.pending:
                self.pending = []
            if self._keeps_output and any(writes_values(settings.output_keys, task.writes) for task in tasks):
                self._output = machine.read(settings.output_keys)
            if self.returned:
                self.returned = {}
            if teller.is_heard:
                teller.applied(tasks)
            store.prepared = journal.checkpoint("loop")
            execute.tasks = self.tasks = ()  # what is done with needn't outlive the commit, nor the commit itself
            todo = ()
            if not after:
                tasks = ()
            if store.prepared:
                yield store
                store.prepared = ()
            self.resuming = False
            self.answers.clear()
            if after and machine.stops(after, tasks):
                self.tasks = machine.due()
                teller.checkpoint()
                raise GraphInterrupt(())

    def _recall(self, todo: Sequence[Task]) -> Generator[Effect, Any, tuple[Sequence[Task], dict[str, Any]]]:
        """Give tasks what their nodes have returned for the same input before; return the others, and the keys."""
        from perdure.pregel.caching import key_of

        keys = {task.id: key_of(task.node, (task.input,), {}) for task in todo if task.node.cache is not None}
        if not keys:
            return todo, keys
        found = yield Recall(list(keys.values()))
        hits = [task for task in todo if task.id in keys and keys[task.id] in found]
        for task in hits:
            task.writes = [(name, value) for name, value in found[keys.pop(task.id)]]
            if self.teller.is_heard:
                self.teller.update(task, cached=True)
        self.journal.keep(hits)
        return [task for task in todo if task not in hits], keys

    def _memorise(self, done: Sequence[Task], keys: dict[str, Any]) -> Loop:
        """Let the cache keep what nodes have returned."""
        pairs = {
            keys[task.id]: (list(task.writes), task.node.cache.ttl)
            for task in done
            if task.id in keys and task.node.cache is not None
        }
        if pairs:
            yield Memorise(pairs)

    def _give_stored(self, tasks: Sequence[Task]) -> None:
        """Give the tasks of a superstep what is stored for them."""
        by_id = {task.id: task for task in tasks}
        for tid, name, value in self.pending:
            task = by_id.get(tid)
            if task is None or name in (ERROR, INTERRUPT):
                continue
            if name == RESUME:
                task.resume = list(value)
            elif name == SCHEDULED:
                task.failed = Failure(*value)
            else:
                task.writes.append((name, value))
        for task in tasks:
            task.saved = bool(task.writes)

    def _fail(self, todo: Sequence[Task]) -> Loop:
        """Store what has ended in a superstep that can't be completed, and raise why.

        Raises:
            GraphInterrupt: Tasks stopped to ask.
        """
        yield from _store(self.journal.flush())
        if (failure := failure_of(todo)) is not None:
            if isinstance(failure, InvalidResumeError):
                yield from _store(self.journal.write([TaskWrites(NULL_TASK_ID, "", [(RESUME, None)])]))
            raise failure
        if self.is_late:
            raise self._too_late(todo)
        for task in todo:
            if isinstance(task.failure, GraphBubbleUp) and not isinstance(task.failure, GraphInterrupt):
                raise task.failure
        raise GraphInterrupt([i for task in todo for i in task.interrupts])

    def _refuse_to_go_on(self) -> None:
        control, turn = self.control, self.turn
        if control is not None and control.reason is not None:
            raise GraphDrained(control.reason)
        if turn is not None and turn.is_lost:
            raise ConflictError(
                f"the lease on thread {self.thread_id!r} was lost: this run stood still for longer than its lease, and "
                "another may go on with the thread",
                hint="what was acknowledged is stored; if no other run has gone on, resume with None as input",
                thread_id=self.thread_id,
            )
        if turn is not None and turn.is_asked_to_stop:
            raise GraphDrained("another caller asked for the thread's turn (busy='interrupt')")

    def _too_many_steps(self) -> GraphRecursionError:
        limit = self.settings.limit
        return GraphRecursionError(
            f"the run took {limit} supersteps without ending ({ErrorCode.GRAPH_RECURSION_LIMIT.value})",
            hint='raise the limit with config={"recursion_limit": ...}, or look for a loop without an exit; '
            "the thread's last checkpoint is kept and can be resumed",
            thread_id=self.thread_id,
        )

    def _too_late(self, todo: Sequence[Task]) -> StepTimeoutError:
        left = ", ".join(sorted({task.name for task in todo if not task.writes and task.failure is None}))
        return StepTimeoutError(
            f"the superstep took longer than the graph's step_timeout of {self.step_timeout:g} s"
            + (f"; not finished: {left}" if left else ""),
            hint="what finished is kept; resume with None as input, or raise graph.step_timeout",
            thread_id=self.thread_id,
        )

    # -- tasks that ended

    def ended(self, batch: Sequence[Task]) -> None:
        """Note tasks that ended; called by the driver."""
        journal = self.journal
        for task in batch:
            if task.failure is not None:
                self._has_stopped = True
            elif not task.writes:
                task.writes.append((NO_WRITES, None))
        if not journal.is_off and batch and batch[0] is not journal.single and not journal.keep(batch):
            self._has_stopped = True
        if self.teller.is_heard:
            for task in batch:
                self.teller.ended(task)

    def take_unsaved(self) -> list[Any]:
        """Return the prepared writes that no commit has carried yet; the driver commits them."""
        return self.journal.take_unsaved()

    # -- the end

    def let_go(self) -> None:
        """Let its parts refer to the run weakly: it is freed as soon as nobody needs it, without a collector.

        The driver calls it when the run is over. What a thread that nothing could stop still asks of the parts works.
        A run that an error stopped is kept by its traceback, and by the task that has the error, until collected.
        """
        me = proxy(self)
        self.journal.run = self.teller.run = self.commits.run = me

    def _show_stop(self) -> None:
        """Let the output include what tasks of the stopped superstep have finished; it counts once the step does."""
        if not self.interrupts:
            self.teller.stopped()
        finished = [task for task in self.tasks if task.is_finished]
        if finished and self.parent is None:
            self.machine.apply(finished)
            self.teller.applied(finished)

    def output(self) -> Any:
        """Return what the run returns: the output channels, with the open interrupts."""
        value = self.machine.read(self.settings.output_keys) if self._output is MISSING else self._output
        if not self.interrupts:
            return value
        if isinstance(value, dict):
            return {**value, INTERRUPT: list(self.interrupts)}
        return {INTERRUPT: list(self.interrupts)} if value is None else value


def _nothing_commanded() -> EmptyInputError:
    return EmptyInputError("the Command is empty", hint="give it an update, a goto or a resume value")


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _store(prepared: list[Any]) -> Loop:
    """Ask for commits to be made durable, if there are any."""
    if prepared:
        yield Store(prepared)
