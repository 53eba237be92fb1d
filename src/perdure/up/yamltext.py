"""Plain data as YAML that a person reads: maps, lists, texts, numbers, truths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def write(value: Mapping[str, Any]) -> str:
    """Return a map as YAML."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            if isinstance(each, (Mapping, list)) and each:
                yield f"{_scalar(name)}:"
                yield from (f"  {line}" for line in _lines(each))
            else:
                yield f"{_scalar(name)}: {_scalar(each)}"
    elif isinstance(value, list) and value:
        for each in value:
            lines = list(_lines(each))
            yield f"- {lines[0]}"
            yield from (f"  {line}" for line in lines[1:])
    else:
        yield _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    is_readable = isinstance(value, str) and value.isprintable()
    return json.dumps(value, ensure_ascii=not is_readable)  # JSON is YAML
