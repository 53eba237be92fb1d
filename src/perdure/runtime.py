"""What a node can ask of the run that it is part of."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.pregel.scope import TaskScope

__all__ = ["ExecutionInfo", "RunControl", "Runtime", "ServerInfo", "get_runtime"]

ContextT = TypeVar("ContextT")
T = TypeVar("T")

scope_var: ContextVar[TaskScope | None] = ContextVar("perdure_task", default=None)
"""The task that the running code belongs to."""


def current_task(asked: str) -> TaskScope:
    """Return the task that the caller runs in.

    Raises:
        UsageError: The caller isn't inside a node; `asked` says what it called.
    """
    scope = scope_var.get()
    if scope is None:
        msg = f"{asked} was called outside of a graph's node"
        raise UsageError(
            msg,
            hint="call it in a node while the graph runs; in a thread of your own, start the thread with "
            "contextvars.copy_context().run",
        )
    return scope


def no_writer(_chunk: Any) -> None:
    """Write to nowhere: nobody listens to the stream mode `custom`."""


class RunControl:
    """A handle by which another thread or task asks a run to stop between two supersteps."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason: str | None = None

    @property
    def drain_requested(self) -> bool:
        """Whether the run has been asked to stop."""
        return self.reason is not None

    def request_drain(self, reason: str = "shutdown") -> None:
        """Ask the run to stop before its next superstep; its state is stored, and it raises `GraphDrained`."""
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class ExecutionInfo:
    """Which task of which run this is.

    Attributes:
        checkpoint_id: The checkpoint that the task runs on.
        checkpoint_ns: The task's namespace.
        task_id: The task.
        thread_id: The thread, if there is one.
        run_id: The config's `run_id`, if there is one.
        node_attempt: 1 for the first attempt.
        node_first_attempt_time: When that began, in seconds since 1970.
    """

    checkpoint_id: str
    checkpoint_ns: str
    task_id: str
    thread_id: str | None = None
    run_id: str | None = None
    node_attempt: int = 1
    node_first_attempt_time: float | None = None


class BaseUser(Protocol):
    """Who has started a run, as a server has found out."""

    @property
    def is_authenticated(self) -> bool:
        """Whether it is known who they are."""
        ...

    @property
    def display_name(self) -> str:
        """What to call them."""
        ...

    @property
    def identity(self) -> str:
        """Who they are."""
        ...

    @property
    def permissions(self) -> Sequence[str]:
        """What they may do."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ServerInfo:
    """Where a run was started from, when a server started it."""

    assistant_id: str | None = None
    graph_id: str | None = None
    user: Any = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Runtime(Generic[ContextT]):
    """What a run offers to its nodes; a node gets it by a parameter named `runtime`.

    Attributes:
        context: The run's `context` argument, as the graph's context schema.
        store: Memory across threads, if the graph was compiled with one.
        stream_writer: Sends a value to the stream mode `custom`.
        previous: The value that the thread's last run returned (functional API).
        execution_info: Which task of which run this is.
        server_info: Where the run was started from, when a server started it.
        control: The handle that may ask this run to stop.
    """

    context: ContextT = None  # type: ignore[assignment]  # without a context schema there is none
    store: Any = None
    stream_writer: Callable[[Any], None] = no_writer
    previous: Any = None
    execution_info: ExecutionInfo | None = None
    server_info: ServerInfo | None = None
    control: RunControl | None = None

    @property
    def drain_requested(self) -> bool:
        """Whether this run has been asked to stop."""
        return self.control is not None and self.control.drain_requested

    def heartbeat(self) -> None:
        """Say that the node is alive: its `idle_timeout` begins anew. Without effect if it has none."""
        current_task("runtime.heartbeat()").sign(explicit=True)

    def stream_message(self, pieces: Iterable[Any], *, id: str | None = None) -> Any:
        """Pass a message on to the stream mode `messages` while it is made, and return it whole.

        The pieces are asked for as fast as the stream is read, and not at all faster.

        Args:
            pieces: What a generator yields: texts, dicts such as `{"content": "..."}`, or LangChain's chunks.
            id: The message's; a new one by default.

        Returns:
            LangChain's `AIMessage` where langchain-core is installed, else a dict; None if there was no piece.
        """
        return current_task("runtime.stream_message()").stream_message(pieces, id)

    async def astream_message(self, pieces: AsyncIterable[Any] | Iterable[Any], *, id: str | None = None) -> Any:
        """Async twin of `stream_message`."""
        return await current_task("runtime.astream_message()").astream_message(pieces, id)

    def step(self, key: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function once for this task, and keep what it returns.

        The result is durable before it is returned. When the node runs again, because it is retried, resumed after a
        question, or taken up after a crash, the function isn't called again: its first result is returned. Only a
        process that dies while the function runs makes it run again; pass `idempotency_key` to what must not happen
        twice even then.

        Args:
            key: Names the call within the task; the same in every attempt.
            function: What to call; for a coroutine function use `astep`.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Raises:
            UsageError: The key was used for another call in this attempt, or this isn't a node.
            SerializationError: The result can't be stored.
        """
        return current_task("runtime.step()").calls.step(key, function, (args, kwargs))  # type: ignore[no-any-return]

    async def astep(self, key: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do what `step` does, in a coroutine; a plain function runs in a thread."""
        return await current_task("runtime.astep()").calls.astep(key, function, (args, kwargs))

    def sleep(self, seconds: float | timedelta | None = None, *, until: datetime | None = None) -> None:
        """Wait, whatever becomes of the process meanwhile.

        When the sleep begins, its end is stored. A short one (1 s), and any if there is no saver, is waited out. For a
        longer one the run stops: it returns, with `{"sleep_until": ...}` under `__interrupt__`. Resumed with None after
        that moment, it goes on here; `graph.resume_all()` finds the threads whose sleeps are over. What comes before a
        sleep in the node runs again, but for its steps.

        Args:
            seconds: How long.
            until: Until when instead; without a time zone it is in local time.

        Raises:
            UsageError: Neither or both are given, or this isn't a node.
        """
        time.sleep(current_task("runtime.sleep()").fall_asleep(seconds, until))

    async def asleep(self, seconds: float | timedelta | None = None, *, until: datetime | None = None) -> None:
        """Do what `sleep` does, in a coroutine."""
        import asyncio

        await asyncio.sleep(await current_task("runtime.asleep()").afall_asleep(seconds, until))

    def wait_for(self, event: str, *, timeout: float | timedelta | None = None) -> Any:
        """Return the value of the next event of a name that `graph.send_event` sends to this thread.

        If it has come already, it is returned at once. If not, the run stops: it returns, with `{"wait_for": event}`
        under `__interrupt__`. Resumed with None after the event was sent, it goes on here; `graph.resume_all()` finds
        the threads whose events have come. Each event is taken by one wait, the oldest first. What comes before a wait
        in the node runs again, but for its steps. (With durability `exit`, an event that was taken is lost if the
        process dies.)

        Args:
            event: Its name.
            timeout: How long to wait at most.

        Raises:
            EventTimeoutError: It didn't come in time.
            UsageError: The graph has no saver, or this isn't a node.
        """
        return current_task("runtime.wait_for()").wait_for(event, timeout)

    async def await_for(self, event: str, *, timeout: float | timedelta | None = None) -> Any:
        """Do what `wait_for` does, in a coroutine."""
        return await current_task("runtime.await_for()").await_for(event, timeout)

    def idempotency_key(self, key: str = "") -> str:
        """Return a text that is the same in every attempt of this task, and in no other task.

        An outside service that is given it can tell a repeated call from a new one.

        Args:
            key: Tells several calls of one task from each other.
        """
        scope = current_task("runtime.idempotency_key()")
        return scope.calls.id_of("idempotency", key)

    def override(self, **changes: Any) -> Runtime[ContextT]:
        """Return a copy with some attributes replaced."""
        return dataclasses.replace(self, **changes)


def get_runtime(context_schema: type[ContextT] | None = None) -> Runtime[ContextT]:
    """Return the runtime of the node that the caller runs in.

    Args:
        context_schema: Only tells the type checker what `context` is.
    """
    return current_task("get_runtime()").runtime()
