"""A channel to which any number of values is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic

from perdure.channels.base import MISSING, BaseChannel, Value


def _flatten(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


class Topic(BaseChannel[Sequence[Value], Value | list[Value], list[Value]], Generic[Value]):
    """A list of what was published; cleared each superstep unless it accumulates.

    Args:
        typ: The type of one item.
        accumulate: Whether items stay over supersteps.
    """

    __slots__ = ("accumulate", "values")

    def __init__(self, typ: Any, accumulate: bool = False, key: str = "") -> None:
        super().__init__(typ, key)
        self.accumulate = accumulate
        self.values: list[Any] = []

    @property
    def ValueType(self) -> Any:  # noqa: N802 - known name
        """A sequence of the declared type."""
        item: Any = self.typ
        return Sequence[item]

    @property
    def UpdateType(self) -> Any:  # noqa: N802 - known name
        """One item or a list of items."""
        item: Any = self.typ
        return item | list[item]

    def peek(self) -> Any:
        return list(self.values) if self.values else MISSING

    def checkpoint(self) -> list[Value]:
        return list(self.values)

    def from_checkpoint(self, checkpoint: Any) -> Topic[Value]:
        new = type(self)(self.typ, self.accumulate, self.key)
        if checkpoint is not MISSING:
            new.values = list(checkpoint)
        return new

    def get(self) -> Sequence[Value]:
        if not self.values:
            raise self.empty()
        return list(self.values)

    def is_available(self) -> bool:
        return bool(self.values)

    def update(self, values: Sequence[Any]) -> bool:
        changed = False
        if not self.accumulate:
            changed = bool(self.values)
            self.values = []
        if flat := list(_flatten(values)):
            self.values.extend(flat)
            changed = True
        return changed
