"""Which pieces make up a value: the whole of an early version, and scripts from there on.

A chain counts like a binary counter, to the base 32. Each change adds one link, of level 0. When 31 links of a level
are there, the next change composes them and itself into one of the next level instead. So a value of n changes has at
most 1 + 31 * ceil(log32(n + 1)) pieces, and a change is written once for each level, of which 1,000 changes reach two.
When the pieces together are longer than twice the value (and 1 KB), the next link is the whole value again.
Pieces are never changed: older checkpoints, and branches, go on using those that they name.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_digest, xxh3_128, xxh3_128_digest

from perdure.checkpoint import deltas
from perdure.checkpoint.deltas import Script, apply, compose
from perdure.errors import CorruptCheckpointError

BASE: Final = 32
INLINE: Final = 64
"""Values of up to so many bytes lie in the checkpoint's own record."""

_LARGE = 4 * 1024 * 1024
"""Freeing a block of so many bytes makes glibc's malloc keep smaller ones on its heap (mallopt(3), M_MMAP_THRESHOLD).

A value that grows is else mapped anew at every step, each page cleared by the system: 84 us for 150 KB instead of 12.
"""

MOST_WASTE: Final = 1024
_LEAST_SIZE = 256  # below, a script costs about as much as the value
WHOLE: Final = -1
"""The level of a chain's first link."""


class Link(NamedTuple):
    """A piece of a chain.

    Attributes:
        number: Names the piece in the store.
        level: How often it was composed; `WHOLE` for a chain's first.
        weight: About what it costs to read, in bytes.
        content: The script, or the whole value; None: not kept here.
        checksum: That of the piece as it is stored, in stores that have such.
    """

    number: int
    level: int
    weight: int
    content: Script | bytes | None
    checksum: bytes = b""


class Chain(NamedTuple):
    """The pieces of a value.

    Attributes:
        kind: The serializer's type of the value.
        links: The whole value first, then scripts in their order.
        place: What the numbers count in: those of another place are others.
        check: Checksum of the encoded value and of the pieces' checksums, in stores that have such: it tells a chain
            from every other, even if a number is used again.
        weight: Of all links together.
        checksums: Those of the links, one after the other.
    """

    kind: str
    links: tuple[Link, ...]
    place: Any
    check: bytes
    weight: int
    checksums: bytes


def chain_of(kind: str, links: tuple[Link, ...], place: Any, check: bytes = b"") -> Chain:
    """Make a chain of links."""
    checksums = b"".join([link.checksum for link in links])
    return Chain(kind, links, place, check, sum([link.weight for link in links]), checksums)


class Value:
    """An encoded value, and where it is stored.

    Attributes:
        kind: The serializer's type.
        data: The bytes.
        version: The channel's version when it was this; tells which value a child starts from. A guess, checked
            against the store.
        chain: Its pieces, as far as known; a guess too.
        ref: The reference to the chain that this process has stored or read; None if it hasn't.
        mark: What tells whether a value continues this one, see `_continues`; None if it wasn't needed yet.
    """

    __slots__ = ("chain", "data", "kind", "mark", "ref", "version")

    def __init__(self, kind: str, data: bytes, version: Any = None, chain: Chain | None = None) -> None:
        self.kind = kind
        self.data = data
        self.version = version
        self.chain = chain
        self.ref: Any = None
        self.mark: bytes | None = None


class Change(NamedTuple):
    """A long value to store.

    Attributes:
        value: The value.
        base: What the parent is thought to have.
        script: How the value comes of the base.
    """

    value: Value
    base: Value | None = None
    script: Script | None = None


def is_long(data: bytes) -> bool:
    """Tell whether a script can cost less than the value itself."""
    return len(data) > _LEAST_SIZE


def change(value: Value, base: Value | None) -> Change:
    """Compare a value with what the parent is thought to have."""
    if base is None or base.kind != value.kind:
        return Change(value)
    if base.data == value.data:
        return Change(value, base, Script(len(value.data), [], b""))
    if not is_long(value.data) or not is_long(base.data):
        return Change(value)
    old, new = base.data, value.data
    if len(old) < _LEAST_MARKED:
        return Change(value, base, deltas.diff(old, new))
    if deltas.may_be_growth(old, new) and _continues(value, base):
        return Change(value, base, deltas.growth(old, new))
    return Change(value, base, deltas.difference(old, new))


_LEAST_MARKED: Final = 16 * 1024  # below, comparing takes no longer than hashing
_SEED: Final = int.from_bytes(os.urandom(8), "big")  # nobody can make two texts of one mark on purpose


def _continues(value: Value, base: Value) -> bool:
    """Tell whether a value goes on from another after the bytes that count: by hashes, which take a third of the time.

    What a chain's pieces make is checked against a checksum of the value itself.
    """
    new, size = memoryview(value.data), len(base.data)
    if base.mark is None:
        base.mark = xxh3_128_digest(memoryview(base.data)[deltas.COUNT :], _SEED)
    mark = xxh3_128(new[deltas.COUNT : size], _SEED)
    if mark.digest() != base.mark:
        return False
    mark.update(new[size:])
    value.mark = mark.digest()
    return True


def extend(chain: Chain | None, new: Change, number: int, place: Any) -> Chain:
    """Make the chain of a value: that of its base and one new link, or a new one.

    Args:
        chain: The chain of the change's base.
        new: The change.
        number: The name of the new link's piece.
        place: What numbers count in.
    """
    value = new.value
    size = len(value.data)
    if chain is not None and new.script is not None and new.script.weight() < size:
        longer = _counted(chain, new.script, number, place)
        if longer.weight <= 2 * size + MOST_WASTE:
            return longer
    return chain_of(value.kind, (Link(number, WHOLE, size, value.data),), place)


def _counted(chain: Chain, script: Script, number: int, place: Any) -> Chain:
    """Add a script, composed with those of its level where there are enough."""
    links, level = chain.links, 0
    while len(links) >= BASE and links[1 - BASE].level == level:
        links, run = links[: 1 - BASE], links[1 - BASE :]
        script = compose(*[link.content for link in run], script)  # type: ignore[arg-type]
        level += 1
    link = Link(number, level, script.weight(), script)
    if level:
        return chain_of(chain.kind, (*links, link), place)
    return Chain(chain.kind, (*links, link), place, b"", chain.weight + link.weight, chain.checksums)


def put_together(chain: Chain) -> bytes:
    """Apply a chain's scripts.

    Raises:
        CorruptCheckpointError: They don't follow each other.
    """
    whole, *scripts = [link.content for link in chain.links]
    if not isinstance(whole, bytes) or not all(isinstance(s, Script) for s in scripts):
        raise CorruptCheckpointError("a chain of pieces doesn't begin with a whole value, or goes on with one")
    return apply(whole, *scripts)  # type: ignore[arg-type]


def checked(chain: Chain) -> bytes:
    """Apply a chain's scripts, and check what comes out.

    Raises:
        CorruptCheckpointError: They don't follow each other, or it isn't what was stored.
    """
    data = put_together(chain)
    if _check(data, chain.checksums) != chain.check:
        raise CorruptCheckpointError(
            "the pieces of a value don't fit together",
            hint="the file was damaged; go on from an earlier checkpoint",
        )
    return data


def sealed(chain: Chain, data: bytes, checksum: bytes) -> Chain:
    """Add the last piece's checksum, and the chain's."""
    kind, links, place, _, weight, checksums = chain
    number, level, its_weight, content, _ = links[-1]
    checksums += checksum
    links = (*links[:-1], Link(number, level, its_weight, content, checksum))
    return Chain(kind, links, place, _check(data, checksums), weight, checksums)


def _check(data: bytes, checksums: bytes) -> bytes:
    return xxh3_64_digest(xxh3_64_digest(data) + checksums)


def without_whole(chain: Chain) -> Chain:
    """Return the chain without the first link's bytes, of which nothing is ever composed."""
    first = chain.links[0]
    if first.content is None:
        return chain
    return chain._replace(links=(first._replace(content=None), *chain.links[1:]))


class Recent:
    """The values that were last read or prepared, bounded by their bytes; thread-safe.

    They save a writer from reading what it changes. They are guesses about the store: whoever uses one checks that the
    parent's chain is the guess's.
    """

    def __init__(self, most_bytes: int = 64 * 1024 * 1024) -> None:
        self._most = most_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str, str], Value] = {}
        bytes(_LARGE)

    def get(self, thread_id: str, checkpoint_ns: str, channel: str, version: Any) -> Value | None:
        """Return the value that a channel had at a version, if it is the last that was noted."""
        found = self._values.get((thread_id, checkpoint_ns, channel))
        return found if found is not None and found.version == version else None

    def last(self, thread_id: str, checkpoint_ns: str, channel: str) -> Value | None:
        """Return the value of a channel that was noted last, whatever its version."""
        return self._values.get((thread_id, checkpoint_ns, channel))

    def note(self, thread_id: str, checkpoint_ns: str, channel: str, value: Value) -> None:
        """Remember a value, if it is long: to store a short one whole costs no more than what changed."""
        key = (thread_id, checkpoint_ns, channel)
        with self._lock:
            self._drop(key)
            if is_long(value.data):
                self._values[key] = value
                self._held += _cost(value)
                while self._held > self._most:
                    self._drop(next(iter(self._values)))

    def _drop(self, key: tuple[str, str, str]) -> None:
        gone = self._values.pop(key, None)
        if gone is not None:
            self._held -= _cost(gone)

    def forget(self, thread_id: str) -> None:
        """Drop a thread's values."""
        with self._lock:
            for key in [key for key in self._values if key[0] == thread_id]:
                self._drop(key)


def _cost(value: Value) -> int:
    # The scripts of its chain weigh up to as much again.
    return 2 * len(value.data) + 512
