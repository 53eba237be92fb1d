"""Channels that wait until every one of a set of names has been written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic

from perdure.channels.base import MISSING, BaseChannel, Value
from perdure.errors import InvalidUpdateError


class NamedBarrierValue(BaseChannel[None, Value, set[Any]], Generic[Value]):
    """Available once all its names have been written; consuming it starts the wait anew.

    Args:
        typ: The type of a name.
        names: The names to wait for.
    """

    __slots__ = ("names", "seen")
    volatile: ClassVar[bool] = False

    def __init__(self, typ: Any, names: set[Value], key: str = "") -> None:
        super().__init__(typ, key)
        self.names = names
        self.seen: set[Any] = set()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and getattr(other, "names", None) == self.names

    __hash__ = object.__hash__

    def peek(self) -> Any:
        return None if self.is_available() else MISSING

    def get(self) -> None:
        if not self.is_available():
            raise self.empty()

    def is_available(self) -> bool:
        return self.seen == self.names

    def checkpoint(self) -> Any:
        return self.seen

    def from_checkpoint(self, checkpoint: Any) -> NamedBarrierValue[Value]:
        new = type(self)(self.typ, self.names, self.key)
        if checkpoint is not MISSING:
            new.seen = set(checkpoint)
        return new

    def update(self, values: Sequence[Value]) -> bool:
        changed = False
        for value in values:
            if value not in self.names:
                raise InvalidUpdateError(
                    f"channel {self.key!r} waits for {sorted(map(str, self.names))}, not for {value!r}",
                    channel=self.key,
                )
            if value not in self.seen:
                self.seen = self.seen | {value}  # never in place: a checkpoint may hold the old set
                changed = True
        return changed

    def consume(self) -> bool:
        if not self.is_available():
            return False
        self.seen = set()
        return True


class NamedBarrierValueAfterFinish(NamedBarrierValue[Value]):
    """A barrier that opens only when the run has nothing else left to do."""

    __slots__ = ("finished",)

    def __init__(self, typ: Any, names: set[Value], key: str = "") -> None:
        super().__init__(typ, names, key)
        self.finished = False

    def is_available(self) -> bool:
        return self.finished and self.seen == self.names

    def checkpoint(self) -> Any:
        return (self.seen, self.finished)

    def from_checkpoint(self, checkpoint: Any) -> NamedBarrierValueAfterFinish[Value]:
        new = type(self)(self.typ, self.names, self.key)
        if checkpoint is not MISSING:
            seen, new.finished = checkpoint
            new.seen = set(seen)
        return new

    def consume(self) -> bool:
        if not self.is_available():
            return False
        self.finished = False
        self.seen = set()
        return True

    def finish(self) -> bool:
        if self.finished or self.seen != self.names:
            return False
        self.finished = True
        return True
