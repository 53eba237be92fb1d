"""The server without HTTP: what it holds, how it starts and stops, and how runs are made."""

from __future__ import annotations

import asyncio
import logging
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from perdure.checkpoint.ids import new_id
from perdure.checkpoint.registry import open_saver
from perdure.errors import InvalidConfigError, PerdureError
from perdure.server.auth import Guard
from perdure.server.auth_cache import Remembered
from perdure.server.config import RedisSpec, load_config, read_env
from perdure.server.database import assistants, open_database, runs, threads
from perdure.server.errors import InvalidRequestError, NotFoundError, TakenError
from perdure.server.graphs import Graphs, assistant_of, load_object
from perdure.server.hints import Hints
from perdure.server.metrics import Metrics
from perdure.server.queues import Queues
from perdure.server.scheduler import Scheduler
from perdure.server.storing import open_store
from perdure.server.streams import Streams
from perdure.server.telemetry import telemetry_of
from perdure.server.webhooks import Policy, Sender
from perdure.server.worker import Worker

if TYPE_CHECKING:
    from perdure.database.operation import Op
    from perdure.interop.otel_server import Telemetry
    from perdure.server.database import Statements
    from perdure.server.schema import RunCreate
    from perdure.server.settings import Settings
    from perdure.server.streams import Listener

_log = logging.getLogger("perdure.server")

_UNKNOWN_MODES: Final = frozenset({"events", "tools", "lifecycle"})
_RESERVED: Final = "__"
_KEYS: Final = uuid.UUID("6f3c2a1e-8a52-4d43-9d0e-5d4f8f1f6b52")


class Made(NamedTuple):
    """A run that was made, and who listens to it, if anybody."""

    run: dict[str, Any]
    listener: Listener | None


class Core:
    """What a server holds.

    Args:
        settings: How it is run.

    Attributes:
        config: What it serves.
        database: Its tables.
        saver: Where threads are.
        store: Memory across threads.
        redis: What carries hints between processes; None: the database, if it can.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config = load_config(settings.config)
        self.folder: Path = settings.config.resolve().parent
        self.database = open_database(settings.database)
        named = settings.redis and RedisSpec(settings.redis, settings.key_prefix)
        self.redis = named or self.config.redis
        self.metrics = Metrics()
        self.queues = Queues(self.config.queues)
        self.streams = Streams(self.database, settings.longest_backlog)
        self.worker = Worker(self)
        self.hints = Hints(self)
        self.scheduler = Scheduler(self)
        self.webhooks = Sender(self, Policy(self.config.webhooks, disabled=self.config.http.disable_webhooks))
        self.guard = Guard(settings.api_keys)
        self.telemetry: Telemetry | None = None
        self.saver: Any = None
        self.store: Any = None
        self.graphs: Graphs
        self._open = AsyncExitStack()
        self._forgetting: set[asyncio.Task[None]] = set()

    # -- life

    async def start(self) -> None:
        """Open everything, load the graphs, begin to work.

        Raises:
            InvalidConfigError: The configuration has a mistake.
        """
        import os

        for name, value in read_env(self.config, self.folder).items():
            os.environ.setdefault(name, value)
        if (telemetry := telemetry_of(self.config.telemetry, self.folder)) is not None:
            self.telemetry = telemetry
            self._open.callback(telemetry.close)
        await self.database.setup()
        self._open.push_async_callback(self.database.aclose)
        self.saver = await self._opened_saver()
        self.store = await self._open.enter_async_context(open_store(self.settings, self.config, self.folder))
        self.graphs = Graphs(self.config, self.folder, self.saver, self.store)
        await self.graphs.load()
        self._open.push_async_callback(self.graphs.close)
        if (spec := self.config.auth) is not None and spec.path is not None:
            remembered = None if spec.cache is None else Remembered(spec.cache)
            self.guard = Guard(self.settings.api_keys, load_object(spec.path, self.folder, "auth.path"), remembered)
        for name in self.graphs.names:
            await self._add_own_assistant(name)
        for part in (self.hints, self.worker, self.scheduler, self.webhooks):
            part.start()

    async def _opened_saver(self) -> Any:
        spec = self.config.checkpointer
        if spec is None or spec.path is None:
            saver: Any = self._open.enter_context(open_saver(self.settings.database))
            await saver.asetup()
            return saver
        found = load_object(spec.path, self.folder, "checkpointer.path")
        found = found() if callable(found) and not hasattr(found, "get_tuple") else found
        if hasattr(found, "__await__"):
            found = await found
        if hasattr(found, "__aenter__"):
            return await self._open.enter_async_context(found)
        return self._open.enter_context(found) if hasattr(found, "__enter__") else found

    async def _add_own_assistant(self, name: str) -> None:
        about = {"graph_id": name, "name": name, "description": self.graphs.description(name)}
        own = {"assistant_id": assistant_of(name), "config": {}, "context": {}, "metadata": {"created_by": "system"}}
        await self.database.write(assistants.create, {**own, **about})

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run one of the server's own loops. One that breaks stops the server: it must not go on without it unseen."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_end_with)
        return task

    async def drain(self) -> None:
        """Take no more runs, let those that run end for a while, then let the listeners go."""
        await self.worker.stop()
        self.streams.close_all()
        if self._forgetting:
            await asyncio.wait(self._forgetting)

    async def stop(self) -> None:
        """Stop, and close everything."""
        await self.drain()
        for part in (self.scheduler, self.webhooks, self.hints):
            await part.stop()
        await self._open.aclose()

    # -- runs

    async def assistant(self, name: str, filters: str | None = None) -> dict[str, Any]:
        """Return an assistant by its id, or a graph's own by the graph's name.

        Raises:
            NotFoundError: There is none.
        """
        assistant_id = assistant_of(name) if self.graphs.known(name) else name
        found = await self.database.read(assistants.get, assistant_id, filters)
        if found is None:
            raise NotFoundError(f"there is no assistant {name!r}", hint=f"graphs: {', '.join(self.graphs.names)}")
        if not self.graphs.known(found["graph_id"]):
            raise NotFoundError(f"the graph {found['graph_id']!r} of assistant {name!r} isn't served here any more")
        return found

    async def make_run(
        self,
        asked: RunCreate,
        thread_id: str | None,
        *,
        caller: dict[str, Any] | None,
        filters: str | None,
        assistant_filters: str | None = None,
        listens: Literal["stream", "result"] | None = None,
        modes: list[str] | None = None,
        extra_configurable: dict[str, Any] | None = None,
        key: str | None = None,
        condition: Callable[[Statements], Op[bool]] | None = None,
    ) -> Made:
        """Make a run, and run it at once if there is room and its thread is free.

        Args:
            asked: What is asked for.
            thread_id: The thread; None for one of the run's own.
            caller: Who asks.
            filters: What of threads they may see.
            assistant_filters: What of assistants they may see.
            listens: Whether somebody listens from the beginning: to all, or for the output.
            modes: Stream modes, instead of those that are asked for.
            extra_configurable: More parameters, such as headers.
            condition: An operation of the same transaction; if it says no, nothing is made.
            key: Names the request: made again with the same key, it gives the same run, for as long as that is kept.

        Raises:
            RequestError: It can't be made.
        """
        assistant = await self.assistant(asked.assistant_id, assistant_filters)
        kwargs = self._kwargs(asked, assistant, modes, extra_configurable)
        is_stateless = thread_id is None
        kwargs["on_completion"] = (asked.on_completion or "delete") if is_stateless else "keep"
        run_id, thread_id = _ids(key, caller, thread_id)
        about = {"graph_id": assistant["graph_id"], "assistant_id": assistant["assistant_id"]}
        queue = self.queues.choose(asked.queue, assistant["graph_id"])
        metadata = {**assistant["metadata"], **(asked.metadata or {})}
        # What has limits is claimed from its queue, in turn.
        can_claim = not asked.after_seconds and not self.queues.is_limited(queue) and self.worker.reserve()
        new = runs.NewRun(
            run_id=run_id,
            thread_id=thread_id,
            assistant_id=assistant["assistant_id"],
            graph_id=assistant["graph_id"],
            metadata=metadata,
            kwargs=kwargs,
            strategy=asked.multitask_strategy or "enqueue",
            priority=asked.priority,
            delay=asked.after_seconds or 0.0,
            config=kwargs["config"],
            create_thread=is_stateless or asked.if_not_exists == "create",
            holder=self.worker.holder if can_claim else None,
            lease=self.settings.lease,
            watched=listens is not None,
            caller=caller,
            thread_metadata=about | (_owned(filters) if filters else {}),
            keyed=key is not None,
            queue=queue,
            queue_key=self.queues.key_of(queue, metadata, kwargs, caller),
            trace=None if self.telemetry is None else self.telemetry.carried(),
        )
        listener = self.streams.listen(run_id, for_result=listens == "result") if listens else None
        run: dict[str, Any] | None = None
        is_claimed = False
        try:
            # Who waits notices a power failure; who doesn't was promised the run.
            write = self.database.lightly if listens else self.database.write
            if condition is None:
                made = await write(runs.create, new, filters)
            else:
                made = await write(runs.create_if, condition, new, filters)
            run = made.run
            if run is None:
                raise _refusal(made, new)
            is_claimed = made.refusal is None and run["status"] == "running"
        finally:
            if can_claim and not is_claimed:
                self.worker.release()
            if run is None and listener is not None:
                self.streams.leave(run_id, listener)
        assert run is not None
        if made.refusal is None:
            self._began(run, made, new)
        return Made(run, listener)

    def _began(self, run: dict[str, Any], made: runs.Created, new: runs.NewRun) -> None:
        if run["status"] == "running":
            self.worker.begin(run)
            self.worker.release()
        for run_id in made.stopped:
            self.hints.cancel(run_id, new.strategy)
        for run_id in made.removed:
            self.streams.close(run_id)
        if run["status"] == "pending" and not new.delay:
            self.hints.queue()

    def _kwargs(
        self, asked: RunCreate, assistant: dict[str, Any], modes: list[str] | None, extra: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return what a run is made with, as its row keeps it."""
        wanted = modes
        if wanted is None:
            wanted = [asked.stream_mode] if isinstance(asked.stream_mode, str) else list(asked.stream_mode)
        if unknown := _UNKNOWN_MODES & set(wanted):
            raise InvalidRequestError(
                f"stream_mode {min(unknown)!r} isn't served", hint="see /threads/{thread_id}/stream/events"
            )
        if asked.feedback_keys:
            raise InvalidRequestError("feedback_keys need LangSmith, which isn't used here")
        if asked.webhook is not None and (why := self.webhooks.policy.refusal(asked.webhook)) is not None:
            raise InvalidRequestError(f"Webhook not allowed: {why}")
        config = merged_config(assistant["config"], msgspec.to_builtins(asked.config) if asked.config else {}, extra)
        durability = asked.durability
        if durability is None and asked.checkpoint_during is not None:
            durability = "async" if asked.checkpoint_during else "exit"
        checkpoint = msgspec.to_builtins(asked.checkpoint) if asked.checkpoint else {}
        if asked.checkpoint_id:
            checkpoint["checkpoint_id"] = asked.checkpoint_id
        kwargs = {
            "input": asked.input,
            "command": command_of(asked),
            "config": config,
            "context": {**assistant["context"], **(asked.context or {})},
            "checkpoint": {k: v for k, v in checkpoint.items() if v},
            "webhook": asked.webhook,
            "interrupt_before": asked.interrupt_before,
            "interrupt_after": asked.interrupt_after,
            "durability": durability,
        }
        kept = {name: value for name, value in kwargs.items() if value not in (None, {}, [])}
        if asked.input is not None:
            kept["input"] = asked.input  # an empty one begins a run; none at all goes on with one
        return kept | {
            "config": config,
            "stream_mode": wanted,
            "stream_subgraphs": asked.stream_subgraphs,
            "stream_resumable": asked.stream_resumable,
            **({"protocol": True} if getattr(asked, "protocol", False) else {}),
        }

    # -- threads

    @asynccontextmanager
    async def graph_of(self, thread: dict[str, Any]) -> AsyncIterator[Any]:
        """Lend the graph that a thread was last run with; None if it hasn't been run with one that is served."""
        name = thread["metadata"].get("graph_id")
        if not isinstance(name, str) or not self.graphs.known(name):
            yield None
            return
        async with self.graphs.open(name, thread["config"] or {}) as graph:
            yield graph

    async def state_of(self, thread: dict[str, Any], config: dict[str, Any] | None = None, **options: Any) -> Any:
        """Return a thread's state; None if it has no graph."""
        async with self.graph_of(thread) as graph:
            if graph is None:
                return None
            address = {"thread_id": thread["thread_id"], **(config or {})}
            return await graph.aget_state({"configurable": address}, **options)

    async def delete_thread(self, thread_id: str, filters: str | None) -> bool:
        """Delete a thread with all that belongs to it; tell whether there was one. A run that has it is stopped."""
        if not await self.database.write(threads.delete, thread_id, filters):
            return False
        for execution in list(self.worker.active.values()):
            if execution.thread_id == thread_id:
                execution.stop("lost")
        await self.saver.adelete_thread(thread_id)
        return True

    def forget_later(self, thread_id: str) -> None:
        """Delete a thread that was a run's own; who still reads the run's events elsewhere may do so."""
        task = asyncio.ensure_future(self._forget(thread_id))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget(self, thread_id: str) -> None:
        try:
            await self.saver.adelete_thread(thread_id)
            await self.database.note(threads.forget, thread_id)
        except PerdureError as e:
            _log.warning("thread %s isn't deleted yet: %s", thread_id, e)


def merged_config(base: dict[str, Any], own: dict[str, Any], extra: dict[str, Any] | None) -> dict[str, Any]:
    """Merge an assistant's config with a run's own."""
    merged = {**base, **{k: v for k, v in own.items() if v is not None}}
    configurable = {
        **(base.get("configurable") or {}),
        **(own.get("configurable") or {}),
        **(extra or {}),
    }
    merged["configurable"] = {k: v for k, v in configurable.items() if not k.startswith(_RESERVED)}
    if tags := [*(base.get("tags") or ()), *(own.get("tags") or ())]:
        merged["tags"] = tags
    return merged


def command_of(asked: Any) -> dict[str, Any] | None:
    """Return a command as a row keeps it: what wasn't said isn't there."""
    command = asked.command
    if command is None:
        return None
    if command.graph not in (None, "__parent__"):
        raise InvalidRequestError("command.graph can only be __parent__")
    told: dict[str, Any] = {}
    if command.resume is not msgspec.UNSET:
        told["resume"] = command.resume
    if command.update is not None:
        told["update"] = command.update
    if command.goto is not None:
        told["goto"] = msgspec.to_builtins(command.goto)
    if not told:
        raise InvalidRequestError("command is empty", hint="resume, update or goto")
    return told


def _refusal(made: runs.Created, new: runs.NewRun) -> Exception:
    if made.refusal == "not now":
        return TakenError(f"run {new.run_id} isn't made: its moment was another's")
    if made.refusal == "busy":
        return TakenError(
            f"Thread is already running a task: {new.thread_id}",
            hint="multitask_strategy says what to do then: enqueue, interrupt, rollback, reject",
        )
    return NotFoundError(f"there is no thread {new.thread_id}", hint='if_not_exists: "create" makes one')


def _end_with(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("the server's %s is broken; the server stops", task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def _ids(key: str | None, caller: dict[str, Any] | None, thread_id: str | None) -> tuple[str, str]:
    """Return the ids of a run and its thread: new ones, or those that belong to a caller's key."""
    if key is None:
        return new_id(), thread_id or new_id()
    name = f"{(caller or {}).get('identity', '')}|{thread_id or ''}|{key}"
    run_id = str(uuid.uuid5(_KEYS, f"run|{name}"))
    return run_id, thread_id or str(uuid.uuid5(_KEYS, f"thread|{name}"))


def _owned(filters: str) -> dict[str, Any]:
    """Return the metadata that makes a new thread visible to its maker."""
    alternatives = msgspec.json.decode(filters)
    return dict(alternatives[0]) if len(alternatives) == 1 else {}


def check_binding(settings: Settings, guard_is_open: bool) -> None:
    """Refuse to let everybody in from everywhere.

    Raises:
        InvalidConfigError: The address is reachable from elsewhere, and nobody is asked who they are.
    """
    if settings.host in ("127.0.0.1", "::1", "localhost") or settings.insecure or not guard_is_open:
        return
    raise InvalidConfigError(
        f"anybody who reaches {settings.host}:{settings.port} could run graphs and read all threads",
        hint='set PERDURE_API_KEYS, or "auth" in the configuration; or say --insecure',
    )
