"""Channels that fold many updates into one value: reducers and topics."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def _initial(typ: Any) -> Any:
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


def _two_overwrites(key: str) -> InvalidUpdateError:
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
        self.value: Any = _initial(typ)

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
        new.value = _initial(self.typ) if checkpoint is MISSING else checkpoint
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
                        raise _two_overwrites(self.key)
                    current, seen = new, True
                    continue
            if seen:
                continue  # the others of this superstep lose against an overwrite
            current = value if current is MISSING else self.operator(current, value)
        return current


class DeltaChannel(BaseChannel[Value, Any, Value], Generic[Value]):
    """A reducer that takes all updates of a superstep at once: `reducer(state, updates) -> state`.

    An ordinary channel here: perdure's storage keeps what changed for every channel.

    Args:
        reducer: Combines the value with the list of updates.
        typ: The declared type; taken from the schema if None.
        snapshot_frequency: Accepted for compatibility; without effect.
    """

    __slots__ = ("reducer", "value")
    volatile: ClassVar[bool] = False

    def __init__(
        self,
        reducer: Callable[[Any, Sequence[Any]], Any],
        typ: Any = None,
        *,
        snapshot_frequency: int = 100,
        key: str = "",
    ) -> None:
        super().__init__(typ, key)
        self.reducer = reducer
        self.value: Any = _initial(typ) if typ is not None else MISSING

    def peek(self) -> Any:
        return self.value

    def from_checkpoint(self, checkpoint: Any) -> DeltaChannel[Value]:
        new = type(self)(self.reducer, self.typ, key=self.key)
        if checkpoint is not MISSING:
            new.value = checkpoint
        return new

    def get(self) -> Value:
        if self.value is MISSING:
            raise self.empty()
        return self.value  # type: ignore[no-any-return]  # the schema vouches for it

    def update(self, values: Sequence[Any]) -> bool:
        if not values:
            return False
        overwrites = [found for found in map(overwrite_of, values) if found[0]]
        if len(overwrites) > 1:
            raise _two_overwrites(self.key)
        if overwrites:
            self.value = overwrites[0][1]  # the others of this superstep lose against an overwrite
        else:
            base = _initial(self.typ) if self.value is MISSING else self.value
            self.value = self.reducer(None if base is MISSING else base, list(values))
        return True


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
