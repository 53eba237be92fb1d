"""What channels that hold one value have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Self

from perdure.channels.base import MISSING, BaseChannel, Value


class OneValue(BaseChannel[Value, Value, Value], Generic[Value]):
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
