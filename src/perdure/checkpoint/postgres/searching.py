"""Metadata filters that the database answers in part: it may find too much, never too little.

A filter compares by Python's equality, which JSON doesn't have: `True == 1 == 1.0 == Decimal(1)`. So what is stored for
searching is a form of the metadata in which equal plain values are the same JSON, with a mark if there are values of
other types, which might be equal to anything. What is found is compared again, in Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_OTHERS: Final = ""
"""The key of the mark `0`: some values aren't of plain types."""

_NEVER_EQUAL: Final = frozenset({type(None), list, tuple, dict, bytes, bytearray, set, frozenset, str, float, int})
"""Types whose values, unless they are plain themselves, equal no plain value."""

_UNSEARCHED: Final = frozenset({_OTHERS, "source", "step"})
"""Keys that every checkpoint has, with values that tell nothing apart: they would only make the index large."""

_LONGEST: Final = 500

_EXACT: Final = 1 << 53
_HUGE: Final = 1 << 1024  # no float is greater


def searched_of(metadata: Mapping[str, Any]) -> str | None:
    """Return what is stored for searching."""
    found: dict[str, Any] = {}
    for key, value in metadata.items():
        plain = _plain(value)
        if plain is None:
            if type(value) not in _NEVER_EQUAL:
                found[_OTHERS] = 0
        elif _is_searched(key):
            found[key] = plain
    return json.dumps(found) if found else None


def search_for(wanted: Mapping[str, Any] | None) -> str | None:
    """Return what a filter asks the database for; None if there is nothing that it can tell."""
    asked = {
        key: plain
        for key, value in (wanted or {}).items()
        if _is_searched(key) and (plain := _plain(value)) is not None
    }
    return json.dumps(asked) if asked else None


def _plain(value: Any) -> str | int | float | None:
    """Return what stands for all values that equal this one; None if nothing can."""
    kind = type(value)
    if kind is str:
        return value if _is_text(value) else None
    if kind is bool or kind is int:
        return int(value) if -_HUGE < value < _HUGE else None
    if kind is float and value - value == 0:  # neither infinite nor NaN
        # From there on a float's shortest text is not its exact value, and an int may be equal to it.
        return value if -_EXACT < value < _EXACT else int(value)
    return None


def _is_searched(key: Any) -> bool:
    return key not in _UNSEARCHED and _is_text(key)


def _is_text(value: Any) -> bool:
    """Tell whether a text is short, and one that Postgres can hold: without NUL and half surrogate pairs."""
    if type(value) is not str or len(value) > _LONGEST or "\x00" in value:
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
