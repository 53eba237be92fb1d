"""The time at which a checkpoint is made, as text."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns

_second = 0
_text = ""


def now() -> str:
    """Return the current time as ISO 8601 in UTC, with microseconds."""
    global _second, _text
    nanos = time_ns()
    second = nanos // 1_000_000_000
    text = _text
    if second != _second:
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _text, _second = text, second
    micros = str(1_000_000 + nanos // 1000 % 1_000_000)
    return f"{text}.{micros[1:]}+00:00"
