"""A channel whose value is never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.channels.base import MISSING, Value, concurrent_update
from perdure.channels.one_value import OneValue


class UntrackedValue(OneValue[Value]):
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
