"""The types that values of a schema can have, so that they can be registered before anything is read."""

from __future__ import annotations

import dataclasses
import enum
import sys
import typing
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from perdure.checkpoint.serde.shapes import shape_of

__all__ = ["collect_types"]

_PLAIN = frozenset({str, int, float, bool, bytes, list, dict, set, tuple, frozenset, object, type})


def collect_types(schema: Any) -> set[type]:
    """Find the classes that values of a schema can hold and that must be registered to be read.

    Walks through TypedDicts, dataclasses, Pydantic models, attrs classes, NamedTuples, enums, unions, `Annotated` and
    generics, through the types of their fields, and the subclasses that exist of the classes found.

    Args:
        schema: A class or any type hint.
    """
    found: set[type] = set()
    _walk(schema, found, set(), set())
    return found


def _walk(hint: Any, found: set[type], seen: set[int], names: set[str]) -> None:
    """Add the classes below a type hint; `seen` holds what was walked through."""
    if id(hint) in seen or hint in (None, Any, ...) or isinstance(hint, (str, bytes, int)):
        return
    seen.add(id(hint))
    origin = get_origin(hint)
    if origin is Annotated:
        _walk(hint.__origin__, found, seen, names)
        return
    for part in (origin, *get_args(hint)):
        if isinstance(part, (list, tuple)):
            for one in part:
                _walk(one, found, seen, names)
        elif part is not None:
            _walk(part, found, seen, names)
    if isinstance(hint, typing.TypeVar):
        for bound in (hint.__bound__, *hint.__constraints__):
            _walk(bound, found, seen, names)
    value = getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)
    if value is not None and not isinstance(hint, type):
        _walk(value, found, seen, names)  # `type X = ...` and NewType
    if isinstance(hint, type) and origin is None and hint not in _PLAIN:
        _walk_class(hint, found, seen, names)


def _walk_class(cls: type, found: set[type], seen: set[int], names: set[str]) -> None:
    if _is_abstract_root(cls):
        return
    if not _is_typeddict(cls) and shape_of(cls) is not None:
        found.add(cls)
        subclasses: list[type] = type.__subclasses__(cls)
        for sub in subclasses:
            _walk(sub, found, seen, names)
    for field in _field_hints(cls):
        _walk(field, found, seen, names)


def _is_typeddict(cls: type) -> bool:
    return hasattr(cls, "__required_keys__")  # typing's and typing_extensions'


def _is_abstract_root(cls: type) -> bool:
    """Tell whether half the program inherits from the class: its subclasses say nothing."""
    module = cls.__module__.partition(".")[0]
    return module in ("builtins", "typing", "abc", "enum", "collections", "pydantic", "typing_extensions")


def _field_hints(cls: type) -> Iterator[Any]:
    pydantic_fields = getattr(cls, "__pydantic_fields__", None)
    if isinstance(pydantic_fields, dict):
        for field in pydantic_fields.values():
            yield field.annotation
    if _has_fields(cls):
        yield from _hints(cls).values()


def _has_fields(cls: type) -> bool:
    return (
        _is_typeddict(cls)
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__attrs_attrs__")
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or (bool(getattr(cls, "__annotations__", None)) and not issubclass(cls, enum.Enum))
    )


def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        # A name that only type checkers see: take those that can be told.
        return dict(_hints_one_by_one(cls))


def _hints_one_by_one(cls: type) -> Iterator[tuple[str, Any]]:
    for base in reversed(cls.__mro__):
        scope = vars(sys.modules.get(base.__module__, typing))
        for name, hint in getattr(base, "__annotations__", {}).items():
            probe = type("probe", (), {"__annotations__": {name: hint}})
            try:
                yield name, get_type_hints(probe, scope, dict(vars(base)), include_extras=True)[name]
            except (NameError, AttributeError, TypeError, SyntaxError):
                continue
