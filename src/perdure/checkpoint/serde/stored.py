"""Inert stand-ins: what stored exceptions, and values of unknown types, come back as."""

from __future__ import annotations

from typing import Any

__all__ = ["StoredError", "UnknownValue"]


class StoredError(Exception):
    """An exception that was stored: its type's name, message and arguments, never the type itself.

    Attributes:
        type_name: Module and name of the type, such as `builtins:ValueError`.
        message: What `str()` of it gave.
    """

    def __init__(self, type_name: str, message: str, args: tuple[Any, ...] = ()) -> None:
        super().__init__(*args)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{self.type_name.rpartition(':')[2]}({', '.join(map(repr, self.args))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredError) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.type_name, self.message))

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredError, self._key()

    def _key(self) -> tuple[str, str, tuple[Any, ...]]:
        return self.type_name, self.message, self.args


class UnknownValue:
    """The data of a stored value whose type isn't registered; stores again as what it was.

    Attributes:
        type_name: The type's registered name.
        data: What it was taken apart into.
    """

    __slots__ = ("data", "type_name")

    def __init__(self, type_name: str, data: Any) -> None:
        self.type_name = type_name
        self.data = data

    def __repr__(self) -> str:
        return f"UnknownValue({self.type_name!r}, {self.data!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnknownValue) and self.type_name == other.type_name and self.data == other.data

    __hash__ = None  # type: ignore[assignment]
