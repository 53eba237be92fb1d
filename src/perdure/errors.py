"""All errors of perdure, split by whose fault they are.

```text
Exception
├── PerdureError                      root of every error; carries a `hint` and details
│   ├── UsageError                    the caller: wrong arguments, wrong moment
│   │   ├── GraphValidationError      (ValueError) a graph that can't be compiled
│   │   ├── GraphVersionError         a thread of another version of the graph
│   │   ├── InvalidConfigError        (ValueError) a config that can't be run
│   │   ├── EmptyInputError           a run without an input and nothing to resume
│   │   ├── EmptyChannelError         a channel read before its first write
│   │   ├── ReentrantRunError         a run that starts its own thread again from the inside
│   │   ├── TaskNotFound              a task id that the checkpoint doesn't have
│   │   ├── ThreadHeldError           a thread on hold, of which nothing may be deleted
│   │   ├── InvalidResumeError        (ValueError) an answer that isn't what the question asked for
│   │   └── UnknownInterruptError     (RuntimeError) an answer to a question that isn't open
│   ├── GraphError                    the graph's nodes
│   │   ├── GraphRecursionError       (RecursionError) more supersteps than the limit
│   │   ├── InvalidUpdateError        (ValueError) an update that the channels can't take
│   │   ├── NodeError                 a node's failure, as an error handler sees it
│   │   ├── NodeTimeoutError          (TimeoutError)
│   │   ├── StepTimeoutError          (TimeoutError)
│   │   ├── EventTimeoutError         (TimeoutError)
│   │   └── NodeCancelledError
│   ├── SerializationError            a value that can't be stored, or bytes that can't be read
│   │   └── UnknownTypeError          stored data of a type that isn't registered
│   └── StorageError                  the world: disk, network, other writers
│       ├── TransientStorageError     trying again may help
│       │   ├── ConflictError         another writer moved the thread's head first
│       │   └── ThreadBusyError       the thread's turn is taken and the policy is not to wait
│       ├── CorruptCheckpointError    stored bytes that aren't what was written
│       │   └── EncryptionError       stored bytes that the keys at hand don't open, or that should be encrypted
│       └── SchemaVersionError        a database newer than this code
└── GraphBubbleUp                     control flow, not errors
    ├── GraphInterrupt
    │   └── NodeInterrupt             deprecated name for raising an interrupt by hand
    ├── ParentCommand
    └── GraphDrained
```

Every class is picklable. `str(error)` is the message, followed by the hint if there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.types import Command, Interrupt

__all__ = [
    "ConflictError",
    "CorruptCheckpointError",
    "EmptyChannelError",
    "EmptyInputError",
    "EncryptionError",
    "ErrorCode",
    "EventTimeoutError",
    "GraphBubbleUp",
    "GraphDrained",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "GraphValidationError",
    "GraphVersionError",
    "InvalidConfigError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "NodeCancelledError",
    "NodeError",
    "NodeInterrupt",
    "NodeTimeoutError",
    "ParentCommand",
    "PerdureError",
    "ReentrantRunError",
    "SchemaVersionError",
    "SerializationError",
    "StepTimeoutError",
    "StorageError",
    "TaskNotFound",
    "ThreadBusyError",
    "ThreadHeldError",
    "TransientStorageError",
    "UnknownInterruptError",
    "UnknownTypeError",
    "UsageError",
    "is_invalid_resume",
]


class ErrorCode(Enum):
    """Stable names of well-known mistakes, as they appear in messages."""

    GRAPH_RECURSION_LIMIT = "GRAPH_RECURSION_LIMIT"
    INVALID_CONCURRENT_GRAPH_UPDATE = "INVALID_CONCURRENT_GRAPH_UPDATE"
    INVALID_GRAPH_NODE_RETURN_VALUE = "INVALID_GRAPH_NODE_RETURN_VALUE"
    MULTIPLE_SUBGRAPHS = "MULTIPLE_SUBGRAPHS"
    INVALID_CHAT_HISTORY = "INVALID_CHAT_HISTORY"


class PerdureError(Exception):
    """Something went wrong in perdure.

    Args:
        message: What happened, where, and to what; the class docstring's first line if empty.
        hint: What the reader can do about it.
        details: Any facts a program may want (`thread_id`, `checkpoint_id`, `channel`, ...);
            each becomes an attribute.
    """

    hint: str | None = None

    def __init__(self, message: str = "", *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        if hint is not None:
            self.hint = hint
        self.__dict__.update(details)

    def __getattr__(self, name: str) -> Any:
        # Details are optional: a missing one reads as an attribute error that names the class.
        msg = f"{type(self).__name__!r} object has no detail {name!r}"
        raise AttributeError(msg)

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}\n  hint: {self.hint}" if self.hint else message


class UsageError(PerdureError):
    """perdure was called in a way that can't work."""


class GraphValidationError(UsageError, ValueError):
    """The graph is not well formed."""


class GraphVersionError(UsageError):
    """A thread was made by another version of the graph, and can't be brought to this one."""


class InvalidConfigError(UsageError, ValueError):
    """The config can't be run."""


class EmptyInputError(UsageError):
    """The graph got no input and has nothing to resume."""


class EmptyChannelError(UsageError):
    """The channel has no value yet."""


class ReentrantRunError(UsageError):
    """A run started its own thread again from the inside."""


class TaskNotFound(UsageError):
    """The checkpoint has no such task."""


class UnknownInterruptError(UsageError, RuntimeError):
    """The answer is for a question that isn't open.

    Attributes:
        reason: `empty_map`, `not_pending` or `ambiguous`.
    """

    reason: str = "not_pending"


class InvalidResumeError(UsageError, ValueError):
    """An answer that isn't what the question asked for; the question is still open."""


class ThreadHeldError(UsageError):
    """A thread is on hold: nothing of it may be deleted.

    Attributes:
        thread_id: The thread.
        reason: Why.
    """

    thread_id: str = ""
    reason: str = ""


def is_invalid_resume(error: BaseException) -> bool:
    """Tell whether a run failed because of an answer that isn't what its question asked for."""
    return isinstance(error, InvalidResumeError)


class GraphError(PerdureError):
    """A node of the graph did something that the graph can't go on with."""


class GraphRecursionError(GraphError, RecursionError):
    """The run took more supersteps than its recursion limit."""


class InvalidUpdateError(GraphError, ValueError):
    """A channel can't take this update."""


class NodeError(GraphError):
    """The failure of a node, as its error handler receives it.

    Attributes:
        node: Name of the node that failed.
        error: What it raised.
    """

    node: str
    error: BaseException

    def __init__(self, node: str = "", error: BaseException | None = None, **details: Any) -> None:
        super().__init__(f"node {node!r} failed: {error!r}", **details)
        self.args = (node, error)
        self.node = node
        self.error = error or RuntimeError(node)

    def __str__(self) -> str:
        return f"node {self.node!r} failed: {self.error!r}"


class NodeTimeoutError(GraphError, TimeoutError):
    """A node took longer than its timeout."""


class StepTimeoutError(GraphError, TimeoutError):
    """A superstep took longer than the graph's `step_timeout`."""


class EventTimeoutError(GraphError, TimeoutError):
    """An event that a node waited for didn't come in time."""


class NodeCancelledError(GraphError):
    """A node raised CancelledError although nobody cancelled it."""


class SerializationError(PerdureError):
    """A value can't be stored, or stored bytes can't be turned into a value.

    Attributes:
        path: Where in the value, such as `$.messages[3].created`.
        channel: The channel that holds it, when known.
        node: The node that wrote it, when known.
    """

    path: str = "$"
    channel: str | None = None
    node: str | None = None


class UnknownTypeError(SerializationError):
    """The stored value is of a type that isn't registered here."""


class StorageError(PerdureError):
    """The storage could not do what was asked."""


class TransientStorageError(StorageError):
    """The storage could not do it now; trying again may help."""


class ConflictError(TransientStorageError):
    """Another writer moved the thread's head first: nothing was written."""


class ThreadBusyError(TransientStorageError):
    """Another run has the thread's turn."""


class CorruptCheckpointError(StorageError):
    """Stored bytes are not what was written."""


class EncryptionError(CorruptCheckpointError):
    """Stored bytes that the keys at hand don't open, or that aren't encrypted as they must be. They may be whole."""


class SchemaVersionError(StorageError):
    """The database was made by a newer perdure than this one."""


class GraphBubbleUp(Exception):
    """A signal on its way up through the graph; not an error."""


class GraphInterrupt(GraphBubbleUp):
    """The run stops to ask; `args[0]` holds the open interrupts."""

    def __init__(self, interrupts: Sequence[Interrupt] = ()) -> None:
        super().__init__(interrupts)


class NodeInterrupt(GraphInterrupt):
    """Raised by a node to stop and ask; `interrupt()` is the better way."""

    def __init__(self, value: Any, id: str | None = None) -> None:
        from perdure.types import Interrupt

        super().__init__([Interrupt(value=value, id=id or "placeholder-id")])

    def __reduce__(self) -> tuple[Any, ...]:
        (asked,) = self.args[0]
        return type(self), (asked.value, asked.id)


class ParentCommand(GraphBubbleUp):
    """A command on its way to the parent graph; `args[0]` is the command."""

    def __init__(self, command: Command[Any]) -> None:
        super().__init__(command)


class GraphDrained(GraphBubbleUp):
    """The run stopped between two supersteps because it was asked to; it can be resumed.

    Attributes:
        reason: Why it was asked.
    """

    def __init__(self, reason: str = "shutdown") -> None:
        super().__init__(reason)
        self.reason = reason
