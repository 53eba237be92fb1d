"""The slow path of packing: what ormsgpack refuses, and where in a value it is that can't be stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ormsgpack import Ext, packb

from perdure.checkpoint.serde import builtin
from perdure.errors import SerializationError

_DEEPEST = 200

TakeApart = Callable[[Any], tuple[int, Any]]


def pack_slowly(value: Any, take_apart: TakeApart) -> bytes:
    """Pack a value piece by piece.

    Raises:
        SerializationError: A part can't be stored; `path` says which.
    """
    return packb(_Walk(take_apart).convert(value, "$"))


class _Walk:
    """One pass over a value; knows the containers it is in, to see a cycle."""

    def __init__(self, take_apart: TakeApart) -> None:
        self._take_apart = take_apart
        self._inside: set[int] = set()

    def convert(self, value: Any, path: str) -> Any:
        """Return what packs natively and means the same."""
        kind = type(value)
        if value is None or kind in (bool, float, bytes):
            return value
        if kind is str and _encodable(value):
            return value
        if kind is int and -(1 << 63) <= value < 1 << 64:
            return value
        self._enter(value, path)
        try:
            return self._convert_container(kind, value, path)
        finally:
            self._inside.discard(id(value))

    def _enter(self, value: Any, path: str) -> None:
        if id(value) in self._inside:
            raise SerializationError(f"the value at {path} contains itself", path=path)
        if len(self._inside) >= _DEEPEST:
            raise SerializationError(f"the value at {path} is nested more than {_DEEPEST} deep", path=path)
        self._inside.add(id(value))

    def _convert_container(self, kind: type, value: Any, path: str) -> Any:
        if kind is list:
            return [self.convert(item, f"{path}[{i}]") for i, item in enumerate(value)]
        if kind is dict:
            return self._convert_dict(value, path)
        try:
            code, parts = self._take_apart(value)
        except SerializationError as e:
            raise _at(path, e) from e
        return Ext(code, parts if type(parts) is bytes else packb(self._parts(code, parts, path)))

    def _parts(self, code: int, parts: Any, path: str) -> Any:
        """Convert the parts of a value, with the paths that its user knows."""
        if code == builtin.OBJECT:
            name, state = parts
            return [name, self.convert(state, path)]
        if code in (builtin.PAIRS, builtin.ORDERED_DICT, builtin.COUNTER):
            return self._pairs(parts, path)
        if code == builtin.DEFAULT_DICT:
            return [parts[0], self._pairs(parts[1], path)]
        if code == builtin.DEQUE:
            return [parts[0], self.convert(parts[1], path)]
        if code == builtin.SEND:
            node, arg, timeout = parts
            return [node, self.convert(arg, f"{path}.arg"), self.convert(timeout, path)]
        return self.convert(parts, path)

    def _convert_dict(self, value: dict[Any, Any], path: str) -> Any:
        if all(type(key) is str and _encodable(key) for key in value):
            return {key: self.convert(item, path + _step(key)) for key, item in value.items()}
        return Ext(builtin.PAIRS, packb(self._pairs(builtin.pairs_of(value), path)))

    def _pairs(self, pairs: list[list[Any]], path: str) -> list[list[Any]]:
        return [
            [self.convert(key, f"{path}{{key {key!r}}}"), self.convert(item, path + _step(key))] for key, item in pairs
        ]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _step(key: Any) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    return f"[{key!r}]" if isinstance(key, (str, int, float, bytes, tuple)) else f"[{type(key).__name__}]"


def _at(path: str, error: SerializationError) -> SerializationError:
    message = f"{error.args[0]} (at {path})"
    details = {k: v for k, v in vars(error).items() if k not in ("hint", "path")}
    return SerializationError(message, hint=error.hint, path=path, **details)
