"""Channels that hold one value: the last, any, one for a single superstep, one that isn't stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from perdure.channels.base import MISSING, BaseChannel, Value, concurrent_update
from perdure.errors import InvalidUpdateError

C = TypeVar("C", bound="_OneValue[Any]")


class _OneValue(BaseChannel[Value, Value, Value], Generic[Value]):
    """A channel whose checkpoint is its value."""

    __slots__ = ("value",)
    volatile: ClassVar[bool] = False

    def __init__(self, typ: Any, key: str = "") -> None:
        super().__init__(typ, key)
        self.value: Any = MISSING

    def peek(self) -> Any:
        return self.value

    def checkpoint(self) -> Any:
        return self.value

    def from_checkpoint(self, checkpoint: Any) -> Self:
        new = type(self)(self.typ, self.key)
        new.value = checkpoint
        return new

    def get(self) -> Value:
        if self.value is MISSING:
            raise self.empty()
        return self.value  # type: ignore[no-any-return]  # the schema vouches for it

    def is_available(self) -> bool:
        return self.value is not MISSING


class LastValue(_OneValue[Value]):
    """The last value written; at most one a superstep."""

    __slots__ = ()

    def update(self, values: Sequence[Value]) -> bool:
        if len(values) != 1:
            if not values:
                return False
            raise concurrent_update(self.key, len(values))
        self.value = values[0]
        return True

    def preview(self, values: Sequence[Value]) -> Any:
        return values[0] if len(values) == 1 else super().preview(values)


class AnyValue(_OneValue[Value]):
    """One of the values of the last superstep; assumes that they are equal."""

    __slots__ = ()
    volatile = True

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            if self.value is MISSING:
                return False
            self.value = MISSING
            return True
        self.value = values[-1]
        return True


class EphemeralValue(_OneValue[Value]):
    """A value that lives for one superstep.

    Args:
        guard: Whether more than one value in a superstep is an error.
    """

    __slots__ = ("guard",)
    volatile = True

    def __init__(self, typ: Any, guard: bool = True, key: str = "") -> None:
        super().__init__(typ, key)
        self.guard = guard

    def from_checkpoint(self, checkpoint: Any) -> EphemeralValue[Value]:
        new = type(self)(self.typ, self.guard, self.key)
        new.value = checkpoint
        return new

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            if self.value is MISSING:
                return False
            self.value = MISSING
            return True
        if self.guard and len(values) != 1:
            raise InvalidUpdateError(
                f"channel {self.key!r} got {len(values)} values in one superstep, and takes one",
                hint="EphemeralValue(guard=False) takes the last of them",
                channel=self.key,
            )
        self.value = values[-1]
        return True


class UntrackedValue(_OneValue[Value]):
    """A value that is never stored: it is gone when the run ends.

    Args:
        guard: Whether more than one value in a superstep is an error.
    """

    __slots__ = ("guard",)

    def __init__(self, typ: Any, guard: bool = True, key: str = "") -> None:
        super().__init__(typ, key)
        self.guard = guard

    def checkpoint(self) -> Any:
        return MISSING

    def copy(self) -> UntrackedValue[Value]:
        new = type(self)(self.typ, self.guard, self.key)
        new.value = self.value
        return new

    def from_checkpoint(self, checkpoint: Any) -> UntrackedValue[Value]:
        return type(self)(self.typ, self.guard, self.key)

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            return False
        if self.guard and len(values) != 1:
            raise concurrent_update(self.key, len(values))
        self.value = values[-1]
        return True


class LastValueAfterFinish(_OneValue[Value]):
    """The last value written, visible only when the run has nothing else left to do."""

    __slots__ = ("finished",)
    volatile = True

    def __init__(self, typ: Any, key: str = "") -> None:
        super().__init__(typ, key)
        self.finished = False

    def peek(self) -> Any:
        return self.value if self.finished else MISSING

    def checkpoint(self) -> Any:
        return MISSING if self.value is MISSING else (self.value, self.finished)

    def from_checkpoint(self, checkpoint: Any) -> LastValueAfterFinish[Value]:
        new = type(self)(self.typ, self.key)
        if checkpoint is not MISSING:
            new.value, new.finished = checkpoint
        return new

    def get(self) -> Value:
        if not self.finished:
            raise self.empty()
        return super().get()

    def is_available(self) -> bool:
        return self.finished and self.value is not MISSING

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            return False
        self.value = values[-1]
        self.finished = False
        return True

    def consume(self) -> bool:
        if not self.finished:
            return False
        self.finished = False
        self.value = MISSING
        return True

    def finish(self) -> bool:
        if self.finished or self.value is MISSING:
            return False
        self.finished = True
        return True
