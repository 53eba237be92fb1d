"""Namespaces as bytes whose order is that of the labels, so that all below a namespace are one range of an index.

Each label is its UTF-8 with 00 written as 00 FF, and ends with 00 01. So no label is another's beginning, and the bytes
of a namespace begin with those of the one above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.errors import CorruptCheckpointError

_END = b"\x00\x01"
_ZERO = b"\x00\xff"


def to_bytes(namespace: Sequence[str]) -> bytes:
    """Write a namespace."""
    return b"".join([label.encode("utf-8", "surrogatepass").replace(b"\x00", _ZERO) + _END for label in namespace])


def from_bytes(data: bytes) -> tuple[str, ...]:
    """Read a namespace.

    Raises:
        CorruptCheckpointError: It isn't one.
    """
    *labels, rest = bytes(data).split(_END)
    if rest:
        raise CorruptCheckpointError("a stored namespace doesn't end as one")
    try:
        return tuple([label.replace(_ZERO, b"\x00").decode("utf-8", "surrogatepass") for label in labels])
    except UnicodeDecodeError as e:
        raise CorruptCheckpointError("a stored namespace is no text") from e


def range_below(prefix: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the first bytes of a namespace and all below it, and what comes after the last."""
    first = to_bytes(prefix)
    return first, first + b"\xff"
