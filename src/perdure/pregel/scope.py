"""What a running task sees of its run: config, runtime, stream writer, its own writes, questions and answers."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from datetime import datetime, timedelta
from time import time
from typing import TYPE_CHECKING, Any

from perdure.channels.base import MISSING
from perdure.checkpoint.serde.types import RESUME
from perdure.constants import CONF, NS_END, NS_SEP, SCOPE_KEY
from perdure.errors import GraphInterrupt, InvalidResumeError, UsageError
from perdure.pregel.stream import message_id
from perdure.pregel.task import Task, interrupt_id
from perdure.runtime import ExecutionInfo, Runtime, no_writer
from perdure.types import Interrupt, RunnableConfig

if TYPE_CHECKING:
    from perdure.pregel.called import Calls
    from perdure.pregel.plan import StateReader
    from perdure.pregel.run import Run


class TaskScope:
    """One task in one run; carried by a context variable while the task runs.

    Attributes:
        run: The run.
        task: The task.
        asked: How many questions the task has asked in this attempt.
        slept: How many sleeps it has begun in this attempt.
        waited: How many waits for events.
        clock: What a sign of life is told to, while the task's time is limited.
        began: When the task first asked for its runtime, in seconds since 1970.
        is_async: Whether an asynchronous driver runs the task.
        kept: The calls that the task has made in this attempt and whose results are kept, if any.
    """

    asked = 0
    slept = 0
    waited = 0
    clock: Any = None
    began: float | None = None
    is_async = False
    kept: Calls | None = None
    subgraphs_called: dict[str, int] | None = None
    _config: RunnableConfig | None = None
    _runtime: Runtime[Any] | None = None

    def __init__(self, run: Run, task: Task) -> None:
        self.run: Run = run
        self.task: Task = task

    def restart(self) -> None:
        """Forget what the last attempt did: another one begins."""
        self.asked = 0
        self.slept = 0
        self.waited = 0
        self.kept = None
        self.subgraphs_called = None
        self.let_go()

    def let_go(self) -> None:
        """Forget what refers back to it, once the task has ended: then it is freed at once, without a collector."""
        if self._config is not None or self._runtime is not None:
            self._config = self._runtime = None

    # -- questions

    def ask(self, value: Any, response_schema: Any = None) -> Any:
        """Return the answer to the task's next question.

        Raises:
            GraphInterrupt: There is none yet.
            InvalidResumeError: It isn't what the question asks for.
        """
        run, task = self.run, self.task
        nth = self.asked
        self.asked += 1
        if nth < len(task.resume):
            return validated(task.resume[nth], response_schema, task.name)
        id_ = interrupt_id(task.ns, nth)
        answer = run.answer(id_)
        if answer is MISSING:
            raise GraphInterrupt((Interrupt(value=value, id=id_, response_schema=_as_json_schema(response_schema)),))
        checked = validated(answer, response_schema, task.name)
        task.resume = [*task.resume, answer]
        task.resumed = True
        return checked

    def resume_writes(self) -> list[tuple[str, Any]]:
        """Return the write that keeps the answers that this attempt consumed."""
        return [(RESUME, list(self.task.resume))] if self.task.resumed else []

    # -- calls whose results are kept

    @property
    def calls(self) -> Calls:
        """The calls of this attempt."""
        if self.kept is None:
            from perdure.pregel.called import Calls

            self.kept = Calls(self)
        return self.kept

    def fall_asleep(self, seconds: float | timedelta | None, until: datetime | None) -> float:
        """Begin a sleep, or go on with one; return how long to wait here, see `sleeping`."""
        from perdure.pregel import sleeping

        key = sleeping.key_of(self)
        return sleeping.left(self, key, self.calls.step(key, sleeping.moment, ((seconds, until), {})))

    async def afall_asleep(self, seconds: float | timedelta | None, until: datetime | None) -> float:
        """Async twin of `fall_asleep`."""
        from perdure.pregel import sleeping

        key = sleeping.key_of(self)
        return sleeping.left(self, key, await self.calls.astep(key, sleeping.moment, ((seconds, until), {})))

    def wait_for(self, name: str, timeout: float | timedelta | None) -> Any:
        """Return the value of an event, or stop the run until it comes, see `events`."""
        from perdure.pregel import events

        key = events.begin(self, name)
        until = self.calls.step(f"{key} until", events.deadline, ((timeout,), {})) if timeout is not None else None
        wait = events.Wait(self, name, until, self.calls.id_of("event", key))
        return events.value_of(self.calls.step(key, wait.take, ((), {})), name)

    async def await_for(self, name: str, timeout: float | timedelta | None) -> Any:
        """Async twin of `wait_for`."""
        from perdure.pregel import events

        key = events.begin(self, name)
        until = None
        if timeout is not None:
            until = await self.calls.astep(f"{key} until", events.deadline, ((timeout,), {}))
        wait = events.Wait(self, name, until, self.calls.id_of("event", key))
        return events.value_of(await self.calls.astep(key, wait.atake, ((), {})), name)

    # -- storing what mustn't wait for the task's end

    def commit(self, prepared: list[Any]) -> None:
        """Make commits durable now, after the checkpoint that they belong to."""
        if prepared and self.run.saver is not None:
            self.run.commits.wait()
            self._note(self.run.saver.commit(prepared))

    async def acommit(self, prepared: list[Any]) -> None:
        """Async twin of `commit`."""
        saver = self.run.saver
        if prepared and saver is not None:
            await self.run.commits.await_()
            self._note(saver.commit(prepared) if saver.inline else await saver.acommit(prepared))

    def _note(self, stop: bool) -> None:
        if stop and self.run.turn is not None:
            self.run.turn.is_asked_to_stop = True

    # -- what nodes are given

    @property
    def writer(self) -> Callable[[Any], None]:
        """Send a value to the stream mode `custom`."""
        run = self.run
        limited = self.task.timeout or self.task.node.timeout
        if not run.sink.wants("custom"):
            return no_writer if limited is None else lambda _chunk: self.sign(explicit=False)

        def write(chunk: Any) -> None:
            run.sink.put(run.stream_ns, "custom", chunk)
            self.sign(explicit=False)

        return write

    def sign(self, *, explicit: bool) -> None:
        """Note a sign of life of the task, if its time is limited."""
        if self.clock is not None:
            self.clock.sign(explicit=explicit)

    def runtime(self) -> Runtime[Any]:
        """Return the runtime, made once a task."""
        if self._runtime is None:
            run, task = self.run, self.task
            self._runtime = Runtime(
                context=run.context,
                store=run.store,
                stream_writer=self.writer,
                previous=run.previous,
                control=run.control,
                server_info=run.server_info,
                execution_info=ExecutionInfo(
                    checkpoint_id=run.machine.checkpoint_id,
                    checkpoint_ns=task.ns,
                    task_id=task.id,
                    thread_id=run.thread_id,
                    run_id=run.run_id,
                    node_attempt=task.attempt,
                    node_first_attempt_time=self._began(),
                ),
            )
        return self._runtime

    def _began(self) -> float:
        """Return when the first attempt that asked for the runtime did so: at its beginning, as parameters are."""
        if self.began is None:
            self.began = time()
        return self.began

    def metadata(self) -> dict[str, Any]:
        """Return the metadata that the task's config carries."""
        task = self.task
        run = self.run
        place = {"thread_id": run.thread_id} if run.thread_id is not None else {}
        return {
            **place,
            **(run.config.get("metadata") or {}),
            **(task.node.metadata or {}),
            "langgraph_step": run.machine.step,
            "langgraph_node": task.name,
            "langgraph_triggers": task.triggers,
            "langgraph_path": task.path,
            "langgraph_checkpoint_ns": task.ns,
        }

    def message_metadata(self) -> dict[str, Any]:
        """Return what the stream mode `messages` tells beside a message."""
        return {**self.metadata(), "checkpoint_ns": self.task.ns}

    def tell_message(self, message: Any) -> None:
        """Tell the stream mode `messages` of a message, or of a piece of one; None: of nothing."""
        run = self.run
        if message is not None and run.sink.wants("messages"):
            if (id_ := message_id(message)) is not None:
                run.sink.seen_messages.add(id_)  # it isn't told again when it is in the state
            run.sink.put(run.stream_ns, "messages", (message, self.message_metadata()))
        self.sign(explicit=False)

    def stream_message(self, pieces: Iterable[Any], id: str | None) -> Any:
        """Pass the pieces of a message on, and return it whole."""
        from perdure.pregel.passing import passed_on

        return passed_on(self, pieces, id)

    async def astream_message(self, pieces: AsyncIterable[Any] | Iterable[Any], id: str | None) -> Any:
        """Async twin of `stream_message`."""
        from perdure.pregel.passing import apassed_on

        return await apassed_on(self, pieces, id)

    def tell_tool(self, event: dict[str, Any]) -> None:
        """Tell the stream mode `tools` of a call of a tool."""
        run = self.run
        if run.sink.wants("tools"):
            run.sink.put(run.stream_ns, "tools", event)

    def config(self) -> RunnableConfig:
        """Return the task's config, made once a task."""
        if self._config is None:
            run, task = self.run, self.task
            config: RunnableConfig = {
                **run.config,
                "metadata": self.metadata(),
                CONF: {
                    **run.config.get(CONF, {}),
                    "checkpoint_ns": task.ns,
                    "checkpoint_id": None,
                    "checkpoint_map": run.checkpoint_map(),
                    SCOPE_KEY: self,
                },
            }
            tags = [*(run.config.get("tags") or ()), *task.node.tags]
            config["tags"] = tags
            config.pop("run_id", None)  # the run's: every model called with it would give its message the same id
            self._config = run.with_callbacks(config, self)
        return self._config

    # -- reading with the task's own writes

    def fresh(self, reader: StateReader) -> Any:
        """Read the state as it will be after this task's writes (and nobody else's)."""
        machine = self.run.machine
        channels = machine.channels
        overlay: dict[str, Any] = {}
        wanted = reader.names
        for name, value in self.task.writes:
            if name in overlay:
                overlay[name].append(value)
            elif name in wanted:
                overlay[name] = [value]
        for name, values in overlay.items():
            overlay[name] = channels[name].preview(values)
        return reader.read(channels, machine.step, machine.stop, overlay)

    # -- graphs called from inside

    def child_ns(self, stable: bool) -> str:
        """Name the namespace of a graph that this task calls.

        Args:
            stable: Leave the task ids out, so that the graph's state stays over calls.
        """
        ns = strip_task_ids(self.task.ns) if stable else self.task.ns
        called = self.subgraphs_called = self.subgraphs_called or {}
        count = called.get(ns, 0)
        called[ns] = count + 1
        return f"{ns}{NS_SEP}{count}" if count else ns


def validated(answer: Any, schema: Any, node: str) -> Any:
    """Return an answer as the type that its question asks for; JSON schemas are for whoever shows the question.

    Raises:
        InvalidResumeError: It isn't one.
    """
    if schema is None or isinstance(schema, dict):
        return answer
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(schema).validate_python(answer)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors())
        raise InvalidResumeError(
            f"the answer to node {node!r} isn't what its question asks for: {wrong}",
            hint="the question is still open: resume with another answer; its response_schema says what it wants",
            node=node,
        ) from error


def _as_json_schema(schema: Any) -> Any:
    """Return a type's JSON schema, which can be stored and shown; a dict is one already.

    Raises:
        UsageError: It is a type, and Pydantic, which reads types, isn't installed.
    """
    if schema is None or isinstance(schema, dict):
        return schema
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise UsageError(
            f"interrupt(response_schema={schema!r}) needs Pydantic to read the type",
            hint="pass a JSON schema as a dict, or pip install pydantic",
        ) from error
    return TypeAdapter(schema).json_schema()


def strip_task_ids(ns: str) -> str:
    """Leave only the nodes' names of a namespace."""
    return NS_SEP.join(part.partition(NS_END)[0] for part in ns.split(NS_SEP) if not part.isdigit())
