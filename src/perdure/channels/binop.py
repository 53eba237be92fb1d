"""A channel that folds updates into one value with a binary operator, the reducer."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NotRequired, Required, get_origin

from perdure.channels.base import MISSING, BaseChannel, Value, overwrite_of
from perdure.errors import InvalidUpdateError
from perdure.types import Overwrite

_CONCRETE: dict[Any, type] = {
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}


def initial(typ: Any) -> Any:
    """Return the empty value of a type, or MISSING if it has none."""
    origin = get_origin(typ)
    while origin in (Required, NotRequired):
        (typ,) = typ.__args__
        origin = get_origin(typ)
    make: Any = _CONCRETE.get(origin or typ, origin or typ)
    try:
        return make()
    except Exception:  # noqa: BLE001 - any type may be declared; without an empty value the first update is the value
        return MISSING


def two_overwrites(key: str) -> InvalidUpdateError:
    """Return the error of a channel that two nodes of a superstep overwrite."""
    return InvalidUpdateError(
        f"channel {key!r} got more than one Overwrite in one superstep",
        hint="let only one node of a superstep overwrite it",
        channel=key,
    )


_MAY_OVERWRITE = frozenset({Overwrite, dict})


class BinaryOperatorAggregate(BaseChannel[Value, Value, Value], Generic[Value]):
    """A value that a binary operator, the reducer, combines with each update.

    Args:
        typ: The declared type; its empty value is what the first update is combined with.
        operator: `operator(value, update) -> value`. Called in the order of the tasks.
    """

    __slots__ = ("operator", "value")
    volatile: ClassVar[bool] = False

    def __init__(self, typ: Any, operator: Callable[[Any, Any], Any], key: str = "") -> None:
        super().__init__(typ, key)
        self.operator = operator
        self.value: Any = initial(typ)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BinaryOperatorAggregate):
            return False
        mine, theirs = self.operator, other.operator
        lambdas = (getattr(f, "__name__", None) == "<lambda>" for f in (mine, theirs))
        return mine is theirs or all(lambdas) or mine == theirs

    __hash__ = object.__hash__

    def peek(self) -> Any:
        return self.value

    def checkpoint(self) -> Any:
        return self.value

    def _blank(self) -> BinaryOperatorAggregate[Value]:
        new = object.__new__(type(self))
        new.typ, new.key, new.operator = self.typ, self.key, self.operator
        return new

    def copy(self) -> BinaryOperatorAggregate[Value]:
        new = self._blank()
        new.value = self.value
        return new

    def from_checkpoint(self, checkpoint: Any) -> BinaryOperatorAggregate[Value]:
        new = self._blank()
        new.value = initial(self.typ) if checkpoint is MISSING else checkpoint
        return new

    def get(self) -> Value:
        if self.value is MISSING:
            raise self.empty()
        return self.value  # type: ignore[no-any-return]  # the schema vouches for it

    def is_available(self) -> bool:
        return self.value is not MISSING

    def update(self, values: Sequence[Any]) -> bool:
        if not values:
            return False
        self.value = self.preview(values)
        return True

    def preview(self, values: Sequence[Any]) -> Any:
        current, seen = self.value, False
        for value in values:
            if type(value) in _MAY_OVERWRITE:
                is_overwrite, new = overwrite_of(value)
                if is_overwrite:
                    if seen:
                        raise two_overwrites(self.key)
                    current, seen = new, True
                    continue
            if seen:
                continue  # the others of this superstep lose against an overwrite
            current = value if current is MISSING else self.operator(current, value)
        return current
