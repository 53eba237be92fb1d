"""What every channel is: a value with an update rule; no I/O and no clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from perdure import constants
from perdure.errors import EmptyChannelError, ErrorCode, InvalidUpdateError
from perdure.types import Overwrite

Value = TypeVar("Value")
Update = TypeVar("Update")
Checkpoint = TypeVar("Checkpoint")

MISSING: Final[Any] = constants.MISSING
"""Stands for "no value": None is a value."""

_OVERWRITE_KEYS = frozenset({"__overwrite__"})


class BaseChannel(ABC, Generic[Value, Update, Checkpoint]):
    """A named value of a graph, and the rule by which a superstep's updates change it.

    Args:
        typ: The type of the value, as declared in the schema.
        key: The channel's name.

    A channel is changed only between supersteps, through `update`, `consume` and `finish`; each returns
    whether it changed, and the engine then gives it a new version.
    """

    __slots__ = ("key", "typ")

    volatile: ClassVar[bool] = True
    """Whether `update(())` can change it: a superstep that doesn't write it must tell it."""

    def __init__(self, typ: Any, key: str = "") -> None:
        self.typ = typ
        self.key = key

    @property
    def ValueType(self) -> Any:  # noqa: N802 - known name
        """The type of the value."""
        return self.typ

    @property
    def UpdateType(self) -> Any:  # noqa: N802 - known name
        """The type of one update."""
        return self.typ

    def peek(self) -> Any:
        """Return the value, or MISSING; the engine's way to read without exceptions."""
        try:
            return self.get()
        except EmptyChannelError:
            return MISSING

    def copy(self) -> BaseChannel[Value, Update, Checkpoint]:
        """Return an independent channel with the same value (the value itself is shared)."""
        return self.from_checkpoint(self.checkpoint())

    def checkpoint(self) -> Any:
        """Return what has to be stored to rebuild the channel, or MISSING if nothing."""
        return self.peek()

    @abstractmethod
    def from_checkpoint(self, checkpoint: Any) -> BaseChannel[Value, Update, Checkpoint]:
        """Return a new channel of this kind from what `checkpoint` returned (or MISSING)."""

    @abstractmethod
    def get(self) -> Value:
        """Return the value.

        Raises:
            EmptyChannelError: There is none yet.
        """

    def is_available(self) -> bool:
        """Tell whether there is a value."""
        return self.peek() is not MISSING

    @abstractmethod
    def update(self, values: Sequence[Update]) -> bool:
        """Apply the updates of one superstep, in the order of their tasks; they may be none.

        Raises:
            InvalidUpdateError: The updates don't fit together.
        """

    def preview(self, values: Sequence[Update]) -> Any:
        """Return the value (or MISSING) that these updates would give, and stay as it is."""
        copy = self.copy()
        copy.key = self.key
        copy.update(values)
        return copy.peek()

    def consume(self) -> bool:
        """Note that a task that this channel triggered has run."""
        return False

    def finish(self) -> bool:
        """Note that the run has nothing else left to do."""
        return False

    def empty(self) -> EmptyChannelError:
        """Make the error for reading before the first write."""
        return EmptyChannelError(f"channel {self.key!r} has no value yet", channel=self.key)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and getattr(other, "typ", None) == self.typ

    __hash__ = object.__hash__


def overwrite_of(value: Any) -> tuple[bool, Any]:
    """Tell whether an update asks to bypass the reducer, and with what value."""
    if type(value) is Overwrite:
        return True, value.value
    if type(value) is dict and value.keys() == _OVERWRITE_KEYS:
        return True, value["__overwrite__"]
    return False, None


def concurrent_update(key: str, count: int) -> InvalidUpdateError:
    """Make the error for a channel that takes one value a superstep and got several."""
    return InvalidUpdateError(
        f"channel {key!r} got {count} values in one superstep, and takes one "
        f"({ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE.value})",
        hint=f"give {key!r} a reducer in the state schema, as in "
        f"`{key}: Annotated[list, operator.add]`, or let only one node write it in a superstep",
        channel=key,
    )
