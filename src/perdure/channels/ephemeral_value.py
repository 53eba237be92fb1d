"""A channel whose value lives for one superstep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.channels.base import MISSING, Value
from perdure.channels.one_value import OneValue
from perdure.errors import InvalidUpdateError


class EphemeralValue(OneValue[Value]):
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
