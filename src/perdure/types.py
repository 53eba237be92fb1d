"""The values that cross the API: commands, sends, interrupts, policies, snapshots, stream parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
    runtime_checkable,
)

from perdure.errors import InvalidConfigError, NodeTimeoutError

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointMetadata

All = Literal["*"]
"""Every node."""

Durability = Literal["sync", "async", "exit"]
"""When a superstep is stored: before the next one starts (`sync`), while it runs (`async`), or
only when the run ends (`exit`)."""

StreamMode = Literal["values", "updates", "checkpoints", "tasks", "debug", "messages", "tools", "custom"]
"""What a stream tells."""

StreamWriter = Callable[[Any], None]
"""A function that sends its argument to the stream mode `custom`."""

BusyPolicy = Literal["wait", "reject", "interrupt"]
"""What a run does when another one has its thread: wait its turn, fail with `ThreadBusyError`, or
ask the other to stop at its next superstep and then take the turn."""

N = TypeVar("N", bound=Hashable)
OutputT = TypeVar("OutputT")


class RunnableConfig(TypedDict, total=False):
    """Parameters of one call, the same keys as LangChain's config of that name."""

    tags: list[str]
    metadata: dict[str, Any]
    callbacks: Any
    run_name: str
    run_id: Any
    max_concurrency: int | None
    recursion_limit: int
    configurable: dict[str, Any]


def _seconds(value: float | timedelta | None) -> float | None:
    return value.total_seconds() if isinstance(value, timedelta) else value


class RetryPolicy(NamedTuple):
    """When and how often a failed node is tried again.

    Args:
        initial_interval: Seconds before the first retry.
        backoff_factor: What each further wait is multiplied by.
        max_interval: Longest wait in seconds.
        max_attempts: Attempts in total, the first included.
        jitter: Whether up to one second of random time is added to each wait.
        retry_on: Exception types, or a function of the exception, that say what is worth retrying.
    """

    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    max_attempts: int = 3
    jitter: bool = True
    retry_on: type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool] | None = None

    def matches(self, error: Exception) -> bool:
        """Tell whether the error is worth another attempt."""
        on = self.retry_on
        if on is None:
            return default_retry_on(error)
        if isinstance(on, type):
            return isinstance(error, on)
        if callable(on):
            return on(error)
        return isinstance(error, tuple(on))

    def interval(self, attempt: int) -> float:
        """Return the seconds to wait after the given attempt (1 for the first), without jitter."""
        return min(self.max_interval, self.initial_interval * self.backoff_factor ** (attempt - 1))


_NOT_WORTH_RETRYING = (
    ValueError,
    TypeError,
    ArithmeticError,
    ImportError,
    LookupError,
    NameError,
    SyntaxError,
    RuntimeError,
    ReferenceError,
    StopIteration,
    StopAsyncIteration,
    OSError,
)


def default_retry_on(error: Exception) -> bool:
    """Retry lost connections, HTTP answers of 5xx and unknown errors; not programming mistakes.

    The HTTP rule works on any client whose error has a `response.status_code` (httpx, requests).
    """
    if isinstance(error, (ConnectionError, NodeTimeoutError)):
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return 500 <= status < 600
    return not isinstance(error, _NOT_WORTH_RETRYING)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How the result of a node may be reused.

    Args:
        key_func: Makes the cache key from the node's input.
        ttl: Seconds that a result stays valid; forever if None.
    """

    key_func: Callable[..., str | bytes] | None = None
    ttl: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TracePolicy:
    """What traces may tell of a node's input and output, see `perdure.interop.otel.instrument(payloads=True)`.

    Args:
        process_inputs: Makes what is told of the input; it must not change what it is given.
        process_outputs: Makes what is told of the output.
    """

    process_inputs: Callable[[Any], Any] | None = None
    process_outputs: Callable[[Any], Any] | None = None


def omit_payload(_value: Any) -> dict[str, Any]:
    """Tell nothing: `TracePolicy(process_inputs=omit_payload)`."""
    return {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutPolicy:
    """How long an attempt of an async node may take; a plain function can't be stopped, and is refused one.

    Args:
        run_timeout: Longest time for one attempt.
        idle_timeout: Longest time without a sign of life.
        refresh_on: What counts as one: `auto`: `runtime.heartbeat()`, what is sent to the stream, and the beginning and
            end of calls whose results are kept; `heartbeat`: only the first.
    """

    run_timeout: float | timedelta | None = None
    idle_timeout: float | timedelta | None = None
    refresh_on: Literal["auto", "heartbeat"] = "auto"

    def __post_init__(self) -> None:
        for name in ("run_timeout", "idle_timeout"):
            seconds = _seconds(getattr(self, name))
            if seconds is not None and not seconds > 0:
                raise InvalidConfigError(f"{name} must be longer than 0, not {getattr(self, name)!r}")
        if self.refresh_on not in ("auto", "heartbeat"):
            raise InvalidConfigError(f"refresh_on must be 'auto' or 'heartbeat', not {self.refresh_on!r}")

    @classmethod
    def of(cls, given: float | timedelta | TimeoutPolicy | None) -> TimeoutPolicy | None:
        """Return a policy; a plain time is the longest for one attempt."""
        return given if given is None or isinstance(given, TimeoutPolicy) else cls(run_timeout=given)

    @property
    def run_seconds(self) -> float | None:
        """`run_timeout` in seconds."""
        return _seconds(self.run_timeout)

    @property
    def idle_seconds(self) -> float | None:
        """`idle_timeout` in seconds."""
        return _seconds(self.idle_timeout)


@final
@dataclasses.dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that a run stopped to ask.

    Args:
        value: The question, any storable value.
        id: Names the question; answers may be addressed to it.
        response_schema: What an answer must look like, if the asker said so.
    """

    value: Any
    id: str = "placeholder-id"
    response_schema: Any = dataclasses.field(default=None, kw_only=True)


class StateUpdate(NamedTuple):
    """One update of `bulk_update_state`: values, as if written by a node, under a task id."""

    values: dict[str, Any] | None
    as_node: str | None = None
    task_id: str | None = None


class Migration(NamedTuple):
    """How a thread's state goes from one version of its graph to another.

    Args:
        before: The version that made it; `""` is from before the graph had one.
        after: The version that it becomes.
        state: Makes the new state of the old one: all keys that have a value, as a dict; called after the renaming.
            It may be called more than once for a checkpoint, and must not change the values that it is given.
        nodes: Nodes that have another name, by the old one; None for one that is gone.
        keys: Keys of the state that have another name, by the old one; None for one that is gone.
    """

    before: str
    after: str
    state: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    nodes: Mapping[str, str | None] = {}
    keys: Mapping[str, str | None] = {}


@runtime_checkable
class PregelExecutableTask(Protocol):
    """What may be known of a task while it runs; the engine's own tasks keep this.

    Attributes:
        id: The same whenever the same superstep of the same thread is planned.
        name: The node.
        input: What the node is given.
        writes: What it has written so far: (channel, value).
        triggers: The channels that have started it.
        path: Where it came from; the order of paths is the order in which writes are applied.
    """

    @property
    def id(self) -> str: ...

    name: str
    input: Any
    writes: list[tuple[str, Any]]
    triggers: tuple[str, ...]
    path: tuple[Any, ...]


class PregelTask(NamedTuple):
    """What a checkpoint's next superstep runs, and how it fared."""

    id: str
    name: str
    path: tuple[Any, ...]
    error: Exception | None = None
    interrupts: tuple[Interrupt, ...] = ()
    state: RunnableConfig | StateSnapshot | None = None
    result: Any | None = None


class StateSnapshot(NamedTuple):
    """The state of a thread at one checkpoint.

    Attributes:
        values: The output channels.
        next: Names of the nodes that run next.
        config: Addresses this checkpoint.
        metadata: Source, step, parents, and what the run's config added.
        created_at: When it was made (ISO 8601, UTC).
        parent_config: Addresses the checkpoint before it.
        tasks: What runs next, with errors, interrupts and results so far.
        interrupts: The open questions.
    """

    values: dict[str, Any] | Any
    next: tuple[str, ...]
    config: RunnableConfig
    metadata: CheckpointMetadata | None
    created_at: str | None
    parent_config: RunnableConfig | None
    tasks: tuple[PregelTask, ...]
    interrupts: tuple[Interrupt, ...]


class Send:
    """A task for a node in the next superstep, with an input of its own.

    Args:
        node: Name of the node.
        arg: Its input.
        timeout: Overrides the node's timeout.
    """

    __slots__ = ("arg", "node", "timeout")

    node: str
    arg: Any
    timeout: TimeoutPolicy | None

    def __init__(self, /, node: str, arg: Any, *, timeout: float | timedelta | TimeoutPolicy | None = None) -> None:
        self.node = node
        self.arg = arg
        self.timeout = (
            timeout if timeout is None or isinstance(timeout, TimeoutPolicy) else TimeoutPolicy(run_timeout=timeout)
        )

    def __hash__(self) -> int:
        return hash((self.node, self.arg))

    def __repr__(self) -> str:
        return f"Send(node={self.node!r}, arg={self.arg!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Send)
            and self.node == other.node
            and self.arg == other.arg
            and self.timeout == other.timeout
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[N]):
    """An instruction to the graph: from a node, or as the input of a run.

    Args:
        graph: `None` for the current graph, `Command.PARENT` for the nearest parent.
        update: A state update.
        resume: Answers: one value for the open interrupt, or a dict from interrupt id to value.
        goto: Where to go next: a node, a `Send`, or a sequence of these.
    """

    PARENT: ClassVar[str] = "__parent__"

    graph: str | None = None
    update: Any | None = None
    resume: dict[str, Any] | Any | None = None
    goto: Send | Sequence[Send | N] | N = ()

    def __repr__(self) -> str:
        given = ", ".join(
            f"{f.name}={value!r}"
            for f in dataclasses.fields(self)
            if (value := getattr(self, f.name)) is not None and value != ()
        )
        return f"Command({given})"


@dataclasses.dataclass(frozen=True, slots=True)
class Overwrite:
    """Set a channel that has a reducer, bypassing the reducer."""

    value: Any
    type: Literal["__overwrite__"] = "__overwrite__"


@dataclasses.dataclass(frozen=True, slots=True)
class GraphOutput(Generic[OutputT]):
    """What `invoke(version="v2")` returns: the output and the open interrupts."""

    value: OutputT
    interrupts: tuple[Interrupt, ...] = ()


class CheckpointTask(TypedDict):
    """A task, as the stream mode `checkpoints` tells it."""

    id: str
    name: str
    error: str | None
    interrupts: list[dict[str, Any]]
    state: RunnableConfig | StateSnapshot | None


class CheckpointPayload(TypedDict):
    """A checkpoint, as the stream mode `checkpoints` tells it."""

    config: RunnableConfig | None
    metadata: CheckpointMetadata
    values: dict[str, Any]
    next: list[str]
    parent_config: RunnableConfig | None
    tasks: list[CheckpointTask]


class TaskPayload(TypedDict):
    """The start of a task, as the stream mode `tasks` tells it."""

    id: str
    name: str
    input: Any
    triggers: list[str]


class TaskResultPayload(TypedDict):
    """The end of a task, as the stream mode `tasks` tells it."""

    id: str
    name: str
    error: str | None
    interrupts: list[dict[str, Any]]
    result: dict[str, Any]


class DebugPayload(TypedDict):
    """An event of the stream mode `debug`: one of the above with its time and step."""

    step: int
    timestamp: str
    type: Literal["checkpoint", "task", "task_result"]
    payload: Any


class StreamPart(TypedDict):
    """An item of a stream with `version="v2"`; `type` is the stream mode that it belongs to."""

    type: StreamMode
    ns: tuple[str, ...]
    data: Any


class ValuesStreamPart(StreamPart):
    """The whole state after a superstep."""

    interrupts: tuple[Interrupt, ...]


UpdatesStreamPart = StreamPart
MessagesStreamPart = StreamPart
CustomStreamPart = StreamPart
CheckpointStreamPart = StreamPart
TasksStreamPart = StreamPart
DebugStreamPart = StreamPart

Checkpointer: TypeAlias = "bool | BaseCheckpointSaver[Any] | None"
"""A saver; True to share the saver of the graph around with a memory over calls; None to share it for one call;
False for none."""


def ensure_valid_checkpointer(checkpointer: Checkpointer) -> Checkpointer:
    """Return the argument if it can be used as a checkpointer.

    Raises:
        InvalidConfigError: It is neither a saver nor True, False or None.
    """
    if checkpointer is None or isinstance(checkpointer, bool):
        return checkpointer
    if isinstance(checkpointer, type) or not hasattr(checkpointer, "get_tuple"):
        msg = f"checkpointer must be a saver, True, False or None, not {checkpointer!r}"
        raise InvalidConfigError(
            msg,
            hint="savers are made by `with SqliteSaver.from_conn_string(path) as saver:`; "
            "pass the object that `with` gives, not the context manager or the class",
        )
    return checkpointer


def interrupt(value: Any, *, response_schema: Any = None) -> Any:
    """Stop the run to ask, and return the answer when it is resumed.

    The node starts again from its beginning on resume; answers are matched to the calls of
    `interrupt` in their order. Needs a checkpointer.

    Args:
        value: The question; shown to the caller as `Interrupt.value`. Must be storable.
        response_schema: What an answer must look like, as a JSON schema or a type; shown to the caller as
            `Interrupt.response_schema`.

    Returns:
        The answer that `Command(resume=...)` brought.

    Raises:
        GraphInterrupt: There is no answer yet. Let it pass.
    """
    from perdure.runtime import current_task

    return current_task("interrupt()").ask(value, response_schema)
