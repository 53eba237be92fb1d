"""The types that a schema names, however deep: those whose values a graph's checkpoints may hold."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_args, get_origin, get_type_hints

from perdure.checkpoint.serde.shapes import shape_of


def collect_types(schema: Any) -> set[type]:
    """Return the classes that a type names: itself, its fields' types, arguments of generics, and so on.

    Args:
        schema: A class, a TypedDict, or any type expression.
    """
    found: set[type] = set()
    seen: set[int] = set()
    todo = [schema]
    while todo:
        hint = todo.pop()
        if id(hint) in seen:
            continue
        seen.add(id(hint))
        todo.extend(arg for arg in get_args(hint) if not isinstance(arg, (str, int, bytes)))
        target = get_origin(hint) or hint
        if inspect.isclass(target) and target.__module__ not in ("builtins", "typing", "collections.abc"):
            todo.extend(_field_types(target))
            if shape_of(target) is not None:
                found.add(target)
    return found


def _field_types(cls: type) -> list[Any]:
    try:
        return list(get_type_hints(cls, include_extras=True).values())
    except (NameError, TypeError, AttributeError):
        # A name that can't be resolved here: what is resolvable still counts.
        plain = [f.type for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
        return [hint for hint in plain if not isinstance(hint, str)]
