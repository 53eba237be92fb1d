"""Names of the reserved channels that pending writes use, and the shapes the serializer knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

ERROR = "__error__"
SCHEDULED = "__scheduled__"
INTERRUPT = "__interrupt__"
RESUME = "__resume__"
TASKS = "__pregel_tasks"


def is_addressed(resume: Any) -> bool:
    """Tell whether an answer is a dict from interrupt ids to values (an empty one answers nothing)."""
    return isinstance(resume, dict) and all(_is_interrupt_id(key) for key in resume)


def _is_interrupt_id(key: Any) -> bool:
    return isinstance(key, str) and len(key) == 32 and all(c in "0123456789abcdef" for c in key)


Value_co = TypeVar("Value_co", covariant=True)
Update_contra = TypeVar("Update_contra", contravariant=True)
Stored = TypeVar("Stored")


@runtime_checkable
class ChannelProtocol(Protocol[Value_co, Update_contra, Stored]):
    """What makes an object a channel, for code that only handles them; `perdure.channels.BaseChannel` says more."""

    @property
    def ValueType(self) -> Any:  # noqa: N802 - known name
        """The type of the value."""
        ...

    @property
    def UpdateType(self) -> Any:  # noqa: N802 - known name
        """The type of one update."""
        ...

    def checkpoint(self) -> Stored:
        """Return what has to be stored to rebuild the channel, or MISSING if nothing."""
        ...

    def from_checkpoint(self, checkpoint: Stored) -> Self:
        """Return a new channel of this kind from what `checkpoint` returned."""
        ...

    def update(self, values: Sequence[Update_contra]) -> bool:
        """Apply the updates of one superstep; tell whether it changed."""
        ...

    def get(self) -> Value_co:
        """Return the value.

        Raises:
            EmptyChannelError: There is none yet.
        """
        ...

    def consume(self) -> bool:
        """Note that a task that this channel triggered has run; tell whether it changed."""
        ...


@runtime_checkable
class SendProtocol(Protocol):
    """What makes a value a send: a node's name and the argument for it."""

    node: str
    arg: Any
