"""Any value of a state as JSON, and JSON as values: one encoder for answers, events and rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.types import Interrupt

if TYPE_CHECKING:
    from perdure.server.answers import Question

_DEPTH = 64
_NUMBER = re.compile(r"[0-9]{1,18}")
_FAILURES = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def encode(value: Any) -> bytes:
    """Return a value as JSON: what JSON has no form for becomes the nearest thing that it has."""
    try:
        return _encoder.encode(value)
    except _FAILURES:
        return _encoder.encode(_plain(value, _DEPTH))


def encode_text(value: Any) -> str:
    """Return a value as JSON text, for a column."""
    return encode(value).decode()


def decode(data: bytes | str) -> Any:
    """Return what JSON says.

    Raises:
        msgspec.DecodeError: It isn't JSON.
    """
    return _decoder.decode(data)


def number_in(text: str) -> int | None:
    """Return the number that a stranger's text is, if it is one that every database holds; None if it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def asked(interrupt: Any) -> Question:
    """Return a question as clients see it."""
    told: Question = {"value": interrupt.value, "id": interrupt.id}
    if (schema := getattr(interrupt, "response_schema", None)) is not None:
        told["response_schema"] = schema
    return told


def _hook(value: Any) -> Any:
    """Say what stands for a value that msgspec doesn't know."""
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if hasattr(value, "model_dump"):  # a Pydantic model, a message
        return value.model_dump()
    if hasattr(value, "tolist"):  # a numpy array or scalar
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, type):
        return str(value)
    if type(value).__name__ == "UnknownValue" and hasattr(value, "data"):
        return value.data
    if hasattr(value, "__slots__") and not isinstance(value, Iterable):  # Send and the like
        return {name: getattr(value, name, None) for name in value.__slots__ if not name.startswith("_")}
    if isinstance(value, Iterable) and hasattr(value, "__len__"):
        return list(value)
    return str(value)


def _plain(value: Any, depth: int) -> Any:
    """Make a value plain, member by member: for keys that aren't texts, and depths without end."""
    if depth == 0:
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    try:
        return _decoder.decode(_encoder.encode(value))
    except _FAILURES:
        return str(value)


def interrupts_plain(payload: Any) -> Any:
    """Return a payload whose open questions, under `__interrupt__`, are as clients see them."""
    if not isinstance(payload, dict) or "__interrupt__" not in payload:
        return payload
    found = payload["__interrupt__"]
    items = found if isinstance(found, (list, tuple)) else [found]
    told = [asked(item) if isinstance(item, Interrupt) or hasattr(item, "value") else item for item in items]
    return {**payload, "__interrupt__": told}


_encoder = msgspec.json.Encoder(enc_hook=_hook, decimal_format="string")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
