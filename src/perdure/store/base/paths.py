"""Which texts of a value are made searchable: paths such as `title`, `author.name`, `chapters[*].text`, `$`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

WHOLE = "$"


def tokenize_path(path: str) -> list[str]:
    """Split a path into its steps: names, `[0]`, `[-1]`, `[*]`, `*`, and choices `{a,b}`."""
    tokens: list[str] = []
    name = ""
    at = 0
    while at < len(path):
        char = path[at]
        closing = {"[": "]", "{": "}"}.get(char)
        end = path.find(closing, at) if closing else -1
        if end >= 0:
            if name:
                tokens.append(name)
            name = ""
            tokens.append(path[at : end + 1])
            at = end + 1
            continue
        if char == ".":
            if name:
                tokens.append(name)
            name = ""
        else:
            name += char
        at += 1
    return [*tokens, name] if name else tokens


def get_text_at_path(obj: Any, path: str | list[str]) -> list[str]:
    """Return the texts that a path names; lists and dicts as JSON, nothing for what isn't there.

    Args:
        obj: A value of plain data.
        path: A path, or its steps.
    """
    if not path or path == WHOLE:
        return [_json(obj)]
    steps = tokenize_path(path) if isinstance(path, str) else path
    return [text for found in _walk(obj, steps) if (text := _text(found)) is not None]


def _walk(value: Any, steps: list[str]) -> Iterator[Any]:
    if not steps or steps == [WHOLE]:
        yield value
        return
    step, rest = steps[0], steps[1:]
    for found in _next(value, step):
        yield from _walk(found, rest)


def _next(value: Any, step: str) -> list[Any]:
    if step.startswith("[") and step.endswith("]"):
        return _of_list(value, step[1:-1].strip())
    if step.startswith("{") and step.endswith("}"):
        names = [name.strip() for name in step[1:-1].split(",")]
        return [found for name in names for found in _walk(value, tokenize_path(name))]
    if step == "*":
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    return [value[step]] if isinstance(value, dict) and step in value else []


def _of_list(value: Any, index: str) -> list[Any]:
    if not isinstance(value, list):
        return []
    if index == "*":
        return list(value)
    try:
        return [value[int(index)]]
    except (ValueError, IndexError):
        return []


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, (str, int, float, bool)):
        return str(value)
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
