"""A channel that holds any one of the values of the last superstep."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.channels.base import MISSING, Value
from perdure.channels.one_value import OneValue


class AnyValue(OneValue[Value]):
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
