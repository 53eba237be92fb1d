"""A channel that folds all updates of a superstep into its value at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic

from perdure.channels.base import MISSING, BaseChannel, Value, overwrite_of
from perdure.channels.binop import initial, two_overwrites


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
        self.value: Any = initial(typ) if typ is not None else MISSING

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
            raise two_overwrites(self.key)
        if overwrites:
            self.value = overwrites[0][1]  # the others of this superstep lose against an overwrite
        else:
            base = initial(self.typ) if self.value is MISSING else self.value
            self.value = self.reducer(None if base is MISSING else base, list(values))
        return True
