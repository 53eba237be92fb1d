"""How values of a class are taken apart into data and rebuilt, without running the class's own code.

Rebuilding makes the object with `__new__` of its built-in base and sets its fields: `__init__`, `__post_init__` and
validators don't run, for the value was made by them once. A field that the class got since takes its
default; one that it lost is dropped.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from perdure.errors import SerializationError

TakeApart = Callable[[Any], Any]
Rebuild = Callable[[Any], Any]


class Shape(NamedTuple):
    """A class's kind, the names of its parts, and the functions between value and data."""

    kind: str
    parts: tuple[str, ...]
    take_apart: TakeApart
    rebuild: Rebuild


def shape_of(cls: type) -> Shape | None:
    """Return the shape of a class, None if it is none of the kinds known here."""
    if issubclass(cls, enum.Enum):
        return _enum(cls)
    if _is_pydantic(cls):
        return _pydantic(cls)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls)
    if hasattr(cls, "__attrs_attrs__"):
        return _attrs(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _namedtuple(cls)
    return _subclass(cls)


def _enum(cls: type[enum.Enum]) -> Shape:
    def take_apart(value: Any) -> Any:
        name = value.name
        return name if name in cls.__members__ else value.value

    def rebuild(data: Any) -> Any:
        if isinstance(data, str) and data in cls.__members__:
            return cls[data]
        if issubclass(cls, enum.Flag) and isinstance(data, int):
            return cls(data)
        raise SerializationError(f"{cls.__qualname__} has no member {data!r}")

    return Shape("enum", tuple(cls.__members__), take_apart, rebuild)


def _is_pydantic(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def _pydantic(cls: Any) -> Shape:
    fields = cls.__pydantic_fields__

    def take_apart(value: Any) -> Any:
        held = value.__dict__
        given = value.__pydantic_fields_set__
        return [
            {name: held[name] for name in fields if name in held},
            None if len(given) == len(fields) else sorted(given),
            value.__pydantic_extra__,
            value.__pydantic_private__,
            [name for name in fields if name not in held] or None,
        ]

    def rebuild(data: Any) -> Any:
        stored, given, extra, private, unset = data
        held = {
            name: stored[name] if name in stored else _pydantic_default(cls, name, field)
            for name, field in fields.items()
            if name not in (unset or ())
        }
        value = cls.__new__(cls)
        put = object.__setattr__
        put(value, "__dict__", held)
        put(value, "__pydantic_fields_set__", set(fields if given is None else given))
        put(value, "__pydantic_extra__", extra)
        put(value, "__pydantic_private__", private)
        return value

    return Shape("pydantic", tuple(fields), take_apart, rebuild)


def _pydantic_default(cls: type, name: str, field: Any) -> Any:
    if field.is_required():
        raise _lacks(cls, name)
    return field.get_default(call_default_factory=not field.default_factory_takes_validated_data)


def _lacks(cls: type, name: str) -> SerializationError:
    return SerializationError(
        f"the stored {cls.__qualname__} has no {name!r}, and the field has no default",
        hint=f"give {cls.__qualname__}.{name} a default, so that older values can be read",
    )


def _other_attributes(cls: type, names: tuple[str, ...]) -> Callable[[Any], dict[str, Any]]:
    """Make a function that finds what `__init__` has set beside the fields."""
    known = frozenset(names)

    def find(value: Any) -> dict[str, Any]:
        held = getattr(value, "__dict__", {})
        if held.keys() <= known:
            return {}
        return {
            name: item
            for name, item in held.items()
            if name not in known and not isinstance(getattr(cls, name, None), cached_property)
        }

    return find


def _dataclass(cls: Any) -> Shape:
    fields = dataclasses.fields(cls)
    defaults = {f.name: _dataclass_default(cls, f) for f in fields}
    return _fielded("dataclass", cls, defaults)


def _dataclass_default(cls: type, field: dataclasses.Field[Any]) -> Callable[[], Any]:
    def default() -> Any:
        if field.default is not dataclasses.MISSING:
            return field.default
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        raise _lacks(cls, field.name)

    return default


def _attrs(cls: Any) -> Shape:
    return _fielded("attrs", cls, {f.name: _attrs_default(cls, f) for f in cls.__attrs_attrs__})


def _attrs_default(cls: type, field: Any) -> Callable[[], Any]:
    def default() -> Any:
        attr = sys.modules["attr"]
        if field.default is attr.NOTHING:
            raise _lacks(cls, field.name)
        if isinstance(field.default, attr.Factory):
            if field.default.takes_self:
                raise _lacks(cls, field.name)
            return field.default.factory()
        return field.default

    return default


def _fielded(kind: str, cls: Any, defaults: dict[str, Callable[[], Any]]) -> Shape:
    """Shape of classes whose values are set field by field."""
    names = tuple(defaults)
    others = _other_attributes(cls, names)

    def take_apart(value: Any) -> Any:
        state = {name: getattr(value, name) for name in names if hasattr(value, name)}
        rest = others(value)
        if not rest and len(state) == len(names):
            return state
        # Beside the fields: what else was set, and which fields never were (init=False without a default).
        return {**state, "": [rest, [name for name in names if name not in state]]}

    def rebuild(data: Any) -> Any:
        rest, unset = data.get("", ({}, ()))
        value = object.__new__(cls)
        put = object.__setattr__
        for name, default in defaults.items():
            if name in data:
                put(value, name, data[name])
            elif name not in unset:
                put(value, name, default())
        for name, item in rest.items():
            put(value, name, item)
        return value

    return Shape(kind, names, take_apart, rebuild)


def _namedtuple(cls: Any) -> Shape:
    names: tuple[str, ...] = cls._fields

    def take_apart(value: Any) -> Any:
        return dict(zip(names, value, strict=True))

    def rebuild(data: Any) -> Any:
        defaults = cls._field_defaults
        for name in names:
            if name not in data and name not in defaults:
                raise _lacks(cls, name)
        return tuple.__new__(cls, [data[n] if n in data else defaults[n] for n in names])

    return Shape("namedtuple", names, take_apart, rebuild)


_FILL: dict[Any, Callable[[Any, Any], None]] = {
    list: list.extend,
    dict: dict.update,
    set: set.update,
}
_IMMUTABLE: tuple[Any, ...] = (str, int, float, bytes, tuple, frozenset)


def _subclass(cls: type) -> Shape | None:
    """Shape of a subclass of a built-in type: the built-in value, and the attributes it has got."""
    base: Any = next((b for b in (*_IMMUTABLE, *_FILL) if b in cls.__mro__), None)
    if base is None or base in (cls, None) or _has_other_layout(cls, base):
        return None

    def take_apart(value: Any) -> Any:
        return [_plain(base, value), getattr(value, "__dict__", None) or None]

    def rebuild(data: Any) -> Any:
        plain, attributes = data
        if base in _FILL:
            value = base.__new__(cls)
            _FILL[base](value, plain)
        else:
            value = base.__new__(cls, plain)
        for name, item in (attributes or {}).items():
            object.__setattr__(value, name, item)
        return value

    return Shape(base.__name__, (), take_apart, rebuild)


def _has_other_layout(cls: type, base: type) -> bool:
    """Tell whether a class between keeps state where only its own code finds it (C classes, slots)."""
    between = cls.__mro__[: cls.__mro__.index(base)]
    return any(
        not k.__flags__ & 1 << 9 or k.__dict__.get("__slots__")  # Py_TPFLAGS_HEAPTYPE
        for k in between
    )


def _plain(base: Any, value: Any) -> Any:
    if base is dict:
        return dict(dict.items(value))
    if base in (list, tuple, set, frozenset):
        return base(base.__iter__(value))
    if base is str:
        return str.__str__(value)
    if base is bytes:
        return bytes.__getitem__(value, slice(None))
    return base.__pos__(value)
