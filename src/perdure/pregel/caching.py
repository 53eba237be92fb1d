"""Which cached result a task could have: the key that its policy and its input make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128_hexdigest

from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import SerializationError, UsageError

if TYPE_CHECKING:
    from perdure.pregel.plan import Node

FullKey = tuple[tuple[str, ...], str]

_NAMESPACE = "perdure.writes"
_serde = JsonPlusSerializer()


def namespace_of(node: Node) -> tuple[str, ...]:
    """Return where the results of a node are cached: by what it calls, and by its name."""
    target: Any = node.action.target if node.action is not None else None
    while hasattr(target, "func") and not hasattr(target, "__qualname__"):
        target = target.func  # a partial's function
    kind = target if hasattr(target, "__qualname__") else type(target)
    return _NAMESPACE, f"{kind.__module__}.{kind.__qualname__}", node.name


def key_of(node: Node, args: Iterable[Any], kwargs: dict[str, Any]) -> FullKey:
    """Return the key of a node's result for an input.

    Raises:
        UsageError: The input can't be made a key, or the policy's `key_func` makes none.
    """
    assert node.cache is not None
    if node.cache.key_func is None:
        return namespace_of(node), _default_key(node, args, kwargs)
    key = node.cache.key_func(*args, **kwargs)
    if isinstance(key, bytes):
        return namespace_of(node), "b" + key.hex()
    if not isinstance(key, str):
        raise UsageError(f"the key_func of node {node.name!r} made {key!r}", hint="return a text or bytes")
    return namespace_of(node), "s" + key


def _default_key(node: Node, args: Iterable[Any], kwargs: dict[str, Any]) -> str:
    try:
        _, data = _serde.dumps_plain([list(args), sorted(kwargs.items())])
    except SerializationError as error:
        raise UsageError(
            f"the input of node {node.name!r} can't be made a cache key: {error.args[0]}",
            hint="give the CachePolicy a key_func that makes a text of what the result depends on",
            node=node.name,
        ) from error
    return xxh3_128_hexdigest(data)
