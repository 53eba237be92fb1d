"""Turns results of either package into plain trees that can be compared.

Only what is arbitrary by nature is replaced: ids and times. An id becomes its order of appearance, so that
the same id in two places stays the same; a channel version becomes its rank among the versions seen in the
same checkpoint; an object becomes its class name and fields.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?")
_LABEL = re.compile(r"<id \d+>")
_NULL_TASK = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Raised:
    """An exception: equal if an `except` clause for the reference's class catches it."""

    caught_by: tuple[str, ...]
    args: Any = None

    def matches(self, other: "Raised") -> bool:
        return self.caught_by[0] in other.caught_by and self.args == other.args


class Normaliser:
    """Normalises the values of one session; remembers its ids."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        return self._tree(value)

    def chunks(self, chunks: list[Any], *, ordered: bool) -> list[Any]:
        """Normalise streamed chunks; parallel tasks' chunks have no order, unless they ran one by one."""
        return self.unordered(chunks) if not ordered else [self(chunk) for chunk in chunks]

    def unordered(self, values: list[Any]) -> list[Any]:
        order = sorted(range(len(values)), key=lambda place: masked(values[place]))
        return [self(values[place]) for place in order]

    def raised(self, error: BaseException) -> Raised:
        return _raised(error)

    def _tree(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool | int | float | bytes):
            return value
        if isinstance(value, datetime):
            return "<time>"
        if isinstance(value, BaseException):
            return _raised(value)
        if isinstance(value, Enum):
            return f"{type(value).__name__}.{value.name}"
        if isinstance(value, Mapping):
            return self._mapping(value)
        if _is_message(value):
            return {"<class>": type(value).__name__, **self._mapping(value.model_dump())}
        fields = _fields(value)
        if fields is not None:
            return {"<class>": type(value).__name__, **{k: self._tree(v) for k, v in fields.items()}}
        if isinstance(value, set | frozenset):
            return {"<class>": "set", "items": self.unordered(list(value))}
        if isinstance(value, list):
            return [self._tree(item) for item in value]
        if isinstance(value, tuple):
            return ("<tuple>", *(self._tree(item) for item in value))
        return f"<{type(value).__name__}>"

    def _mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        ordered = sorted(value.items(), key=_place_of)
        return {self._text(k) if isinstance(k, str) else k: self._tree(v) for k, v in ordered}

    def _text(self, text: str) -> str:
        return _ID.sub(lambda match: self._label(match[0]), _TIME.sub("<time>", text))

    def _label(self, found: str) -> str:
        if found == _NULL_TASK:
            return "<null task>"
        return self._labels.setdefault(found, f"<id {len(self._labels)}>")


def relabelled(tree: Any) -> Any:
    """Number the ids of a normalised tree anew, once parts of it are taken out."""
    labels: dict[str, str] = {}

    def label(found: re.Match[str]) -> str:
        return labels.setdefault(found[0], f"<id {len(labels)}>")

    def walk(part: Any) -> Any:
        if isinstance(part, str):
            return _LABEL.sub(label, part)
        if isinstance(part, dict):
            return {walk(key): walk(value) for key, value in part.items()}
        return type(part)(map(walk, part)) if isinstance(part, list | tuple) else part

    return walk(tree)


def ranks(versions: Mapping[str, Any], seen: Mapping[str, Mapping[str, Any]]) -> tuple[Any, Any]:
    """Replace channel versions by their rank: what a version looks like belongs to the saver."""
    every = {*versions.values(), *(v for channels in seen.values() for v in channels.values())}
    order = {version: rank for rank, version in enumerate(sorted(every))}
    ranked = {node: {c: order[v] for c, v in channels.items()} for node, channels in seen.items()}
    return {channel: order[v] for channel, v in versions.items()}, ranked


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """List where two trees differ, the reference first; an empty list means that they are equal."""
    if isinstance(first, Raised) and isinstance(second, Raised):
        return [] if first.matches(second) else [f"{path}: {first} != {second}"]
    if isinstance(first, dict) and isinstance(second, dict):
        return _dict_differences(first, second, path)
    if isinstance(first, list | tuple) and type(first) is type(second):
        return _list_differences(first, second, path)
    same = type(first) is type(second) and (first == second or (first != first and second != second))  # noqa: PLR0124
    return [] if same else [f"{path}: {first!r} != {second!r}"]


def _dict_differences(first: dict[Any, Any], second: dict[Any, Any], path: str) -> list[str]:
    found = [f"{path}.{key}: {first[key]!r} is missing" for key in first if key not in second]
    found += [f"{path}.{key}: {second[key]!r} is extra" for key in second if key not in first]
    for key, value in first.items():
        if key in second:
            found += differences(value, second[key], f"{path}.{key}")
    return found


def _list_differences(first: Any, second: Any, path: str) -> list[str]:
    found: list[str] = []
    for place, (one, two) in enumerate(zip(first, second, strict=False)):
        found += differences(one, two, f"{path}[{place}]")
    found += [f"{path}[{n}]: {first[n]!r} is missing" for n in range(len(second), len(first))]
    found += [f"{path}[{n}]: {second[n]!r} is extra" for n in range(len(first), len(second))]
    return found


def _fields(value: Any) -> dict[str, Any] | None:
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._asdict()
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "__slots__") and not isinstance(value, list | tuple | set | frozenset):
        return {name: getattr(value, name) for name in value.__slots__ if hasattr(value, name)}
    return None


def _is_message(value: Any) -> bool:
    return any(cls.__name__ == "BaseMessage" for cls in type(value).__mro__)


def _raised(error: BaseException) -> Raised:
    """Name the classes that catch it; arguments belong to the comparison only for errors of the test's own nodes."""
    classes = tuple(cls.__name__ for cls in type(error).__mro__ if cls not in {object, BaseException})
    if classes[0] == "StoredError":
        return Raised(classes, (repr(error),))
    own = type(error).__module__ == "builtins" and error.args and str(error.args[0]).startswith("test:")
    return Raised(classes, error.args if own else None)


def _mask_text(text: str) -> str:
    return _ID.sub("<id>", _TIME.sub("<time>", text))


def _place_of(item: tuple[Any, Any]) -> tuple[str, str]:
    """Order mappings by key; keys that differ only in ids by their value."""
    key = str(item[0])
    text = _mask_text(key)
    return text, masked(item[1]) if text != key else ""


def masked(value: Any) -> str:
    """Return a text of the value without its ids and times, to sort by."""
    return _LABEL.sub("<id>", repr(Normaliser()(value)))
