"""Long lists that grow, encoded and compared a slice at a time; see `perdure.checkpoint.deltas` for what grows.

The text of a long value doesn't fit into a processor's cache. To write it anew at each step, and to compare it with the
one before, is to move it through memory three times. A list's items lie one after the other in it: so they are encoded
in slices, each is compared while it is in the cache, and if they agree only what is new is added to the text that the
values share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from perdure.checkpoint.chains import Change, Value
from perdure.checkpoint.deltas import COUNT, Script
from perdure.errors import SerializationError
from perdure.tuples import build

LEAST: Final = 256 * 1024
"""Shorter texts fit into the cache, and are encoded as a whole."""

_SLICE = 64 * 1024

_KIND = "msgpack"
_LIST = 0xDC
_LONG_LIST = 0xDD


class Body:
    """The items' bytes that a value shares with those that it grew of; only added to. Thread-safe.

    Args:
        data: The bytes.
    """

    __slots__ = ("_lock", "data")

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self._lock = threading.Lock()

    def read(self, size: int) -> bytes:
        """Return the first bytes."""
        with self._lock:
            return bytes(memoryview(self.data)[:size])

    def extended(self, size: int, more: bytes) -> Body:
        """Return a body of the first bytes and more: this one, unless another value has grown of them."""
        with self._lock:
            if len(self.data) == size:
                self.data += more
                return self
            return Body(self.data[:size] + more)


class GrownValue(Value):
    """A value whose bytes are put together when somebody asks for them.

    Args:
        kind: The serializer's type.
        header: The text's beginning, which counts.
        body: The items, and maybe those of values that grew of this one.
        size: The length of the text.
        version: The channel's version.
    """

    __slots__ = ("_whole", "body", "header")

    def __init__(self, kind: str, header: bytes, body: Body, size: int, version: Any) -> None:
        super().__init__(kind, b"", version)
        self.size = size
        self.header = header
        self.body = body
        self._whole: bytes | None = None

    @property
    def data(self) -> bytes:
        """The bytes; once they were asked for they are kept."""
        if self._whole is None:
            self._whole = self.header + self.body.read(self.size - len(self.header))
        return self._whole

    def begin(self) -> bytes:
        """Return the first bytes, which count."""
        return self.header + self.body.data[: COUNT - len(self.header)]


def grown(plain: Callable[[Any], tuple[str, bytes]], items: list[Any], version: Any, base: Value) -> Change | None:
    """Tell how a list comes of what it was, if it only grew; None: it is to be encoded and compared as a whole.

    Args:
        plain: Encodes lists as msgpack, so that an item's bytes are the same in each list.
        items: The list.
        version: The channel's version.
        base: What it was.
    """
    size = base.size
    count = len(items)
    header = _header(count)
    if size < LEAST or base.kind != _KIND or len(header) == 1 or base.begin()[0] != header[0]:
        return None
    body = base.body if type(base) is GrownValue else Body(bytearray(memoryview(base.data)[len(header) :]))
    stored = size - len(header)
    more = _more(plain, items, max(1, count * _SLICE // size), body.data, stored)
    if more is None:
        return None
    value = GrownValue(_KIND, header, body.extended(stored, more), size + len(more), version)
    if base.hash is not None:
        value.hash = base.hash.copy()
        value.hash.update(more)
    hunks = (0, COUNT, COUNT, size - COUNT, 0, len(more))
    return build(Change, (value, base, build(Script, (size, hunks, value.begin() + more))))


def _more(
    plain: Callable[[Any], tuple[str, bytes]], items: list[Any], step: int, stored: bytearray, size: int
) -> bytes | None:
    """Return what items have beyond those that are stored; None: they have others, no more, or can't be encoded."""
    at = 0
    more: list[memoryview] = []
    skip = len(_header(step))
    try:
        for start in range(0, len(items), step):
            some = items[start : start + step]
            if len(some) < step:
                skip = len(_header(len(some)))
            part = memoryview(plain(some)[1])[skip:]
            begin, at = at, at + len(part)
            if at <= size:
                if not stored.startswith(part, begin):
                    return None
            elif begin >= size:
                more.append(part)
            elif stored.startswith(part[: size - begin], begin):
                more.append(part[size - begin :])
            else:
                return None
    except SerializationError:
        return None
    return b"".join(more) if at > size else None


def _header(count: int) -> bytes:
    """Return what msgpack writes before a list's items."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return _LIST.to_bytes() + count.to_bytes(2)
    return _LONG_LIST.to_bytes() + count.to_bytes(4)
