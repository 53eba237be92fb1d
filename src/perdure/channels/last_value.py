"""Channels that hold the last value written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.channels.base import MISSING, Value, concurrent_update
from perdure.channels.one_value import OneValue


class LastValue(OneValue[Value]):
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


class LastValueAfterFinish(OneValue[Value]):
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
