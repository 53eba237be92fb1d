"""Which items and namespaces match: pure functions that all stores share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perdure.errors import UsageError
from perdure.store.base import ListNamespacesOp, MatchCondition


class FilterError(UsageError, ValueError):
    """A filter that can't be understood."""


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_ORDERING = frozenset({"$gt", "$gte", "$lt", "$lte"})


def check_filter(wanted: Mapping[str, Any] | None) -> None:
    """Check a filter before anything is read.

    Raises:
        FilterError: It is no dict, or has an unknown operator.
    """
    if wanted is None:
        return
    if not isinstance(wanted, Mapping):
        raise FilterError(f"a filter is a dict, not {wanted!r}")
    for condition in wanted.values():
        if not isinstance(condition, Mapping):
            continue
        for name, inner in condition.items():
            if isinstance(name, str) and name.startswith("$") and name not in _OPERATORS:
                raise FilterError(f"there is no operator {name!r}", hint=f"operators are: {', '.join(_OPERATORS)}")
            check_filter({"": inner} if isinstance(inner, Mapping) else None)


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether a value has all that is wanted; a key that isn't there counts as None."""
    return not wanted or all(_has(value.get(key), condition) for key, condition in wanted.items())


def _has(value: Any, condition: Any) -> bool:
    if not isinstance(condition, Mapping):
        return bool(value == condition)
    if any(isinstance(name, str) and name.startswith("$") for name in condition):
        return all(_holds(name, value, other) for name, other in condition.items())
    return isinstance(value, Mapping) and matches(value, condition)


def _holds(name: str, value: Any, other: Any) -> bool:
    if name in _ORDERING and (value is None or other is None):
        return False
    try:
        return bool(_OPERATORS[name](value, other))
    except TypeError:  # values of kinds that have no order: neither is greater
        return False


def is_below(namespace: Sequence[str], prefix: Sequence[str]) -> bool:
    """Tell whether a namespace is another, or below it."""
    return len(namespace) >= len(prefix) and tuple(namespace[: len(prefix)]) == tuple(prefix)


def _fits(labels: Sequence[str], path: Sequence[str]) -> bool:
    return all(wanted in ("*", label) for wanted, label in zip(path, labels, strict=True))


def _matches_condition(namespace: Sequence[str], condition: MatchCondition) -> bool:
    size = len(condition.path)
    if size > len(namespace):
        return False
    if condition.match_type == "prefix":
        return _fits(namespace[:size], condition.path)
    if condition.match_type == "suffix":
        return _fits(namespace[len(namespace) - size :], condition.path)
    raise FilterError(f"a match is a 'prefix' or a 'suffix', not {condition.match_type!r}")


def listed(namespaces: Sequence[tuple[str, ...]], op: ListNamespacesOp) -> list[tuple[str, ...]]:
    """Return the namespaces that an operation asks for."""
    found = {
        namespace if op.max_depth is None else namespace[: op.max_depth]
        for namespace in namespaces
        if all(_matches_condition(namespace, condition) for condition in op.match_conditions or ())
    }
    return sorted(found)[op.offset : op.offset + op.limit]


def fixed_prefix(op: ListNamespacesOp) -> tuple[str, ...]:
    """Return the labels that all namespaces of a listing begin with."""
    for condition in op.match_conditions or ():
        if condition.match_type == "prefix":
            path = condition.path
            return tuple(path[: path.index("*")]) if "*" in path else tuple(path)
    return ()
