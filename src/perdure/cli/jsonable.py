"""Any stored value as JSON, for people and programs to read; not a way to store it."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from perdure.checkpoint.serde.stored import UnknownValue


def to_jsonable(value: Any) -> Any:
    """Return the nearest thing to `value` that JSON has."""
    match value:
        case None | bool() | str():
            return value
        case Enum():
            return to_jsonable(value.value)
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray():
            return {"base64": base64.b64encode(value).decode()}
        case BaseException():
            return repr(value)
        case UnknownValue():
            return to_jsonable(value.data)
        case Mapping():
            return {key if isinstance(key, str) else str(key): to_jsonable(item) for key, item in value.items()}
    return _structure(value)


def _structure(value: Any) -> Any:
    if isinstance(value, type):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):  # a named tuple
        return to_jsonable(value._asdict())
    if hasattr(value, "model_dump"):  # a Pydantic model, a message
        return to_jsonable(value.model_dump())
    if isinstance(value, (set, frozenset)):
        return sorted((to_jsonable(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if hasattr(value, "tolist"):  # a numpy array or scalar
        return to_jsonable(value.tolist())
    if hasattr(value, "__iter__") and hasattr(value, "__len__"):
        return [to_jsonable(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def dump(value: Any, *, indent: int | None = 2) -> str:
    """Return `value` as JSON text."""
    return json.dumps(to_jsonable(value), indent=indent, ensure_ascii=False)
