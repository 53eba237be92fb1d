"""Which pieces make up a value: the whole of an early version, and scripts from there on.

A chain counts like a binary counter, to the base 32. Each change adds one link, of level 0. When 31 links of a level
are there, the next change composes them and itself into one of the next level instead. So a value of n changes has at
most 1 + 31 * ceil(log32(n + 1)) pieces, and a change is written once for each level, of which 1,000 changes reach two.
When the pieces together are longer than twice the value (and 1 KB), the next link is the whole value again.
Pieces are never changed: older checkpoints, and branches, go on using those that they name.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_digest, xxh3_128

from perdure.checkpoint import deltas
from perdure.checkpoint.deltas import Script, apply, compose
from perdure.errors import CorruptCheckpointError
from perdure.tuples import build

BASE: Final = 32
INLINE: Final = 64
"""Values of up to so many bytes lie in the checkpoint's own record."""

_LARGE = 4 * 1024 * 1024
"""Freeing a block of so many bytes makes glibc's malloc keep smaller ones on its heap (mallopt(3), M_MMAP_THRESHOLD).

A value that grows is else mapped anew at every step, each page cleared by the system: 84 us for 150 KB instead of 12.
"""


@cache
def _keep_memory() -> None:
    bytes(_LARGE)


MOST_WASTE: Final = 1024
LEAST_LONG: Final = 256
"""Of values up to so many bytes a script costs about as much as the value."""
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
        size: How many bytes it has.
        version: The channel's version when it was this; tells which value a child starts from. A guess, checked
            against the store.
        chain: Its pieces, as far as known; a guess too.
        ref: The reference to the chain that this process has stored or read; None if it hasn't.
        hash: The state of the hash that goes into a chain's check; None if it wasn't needed yet.
    """

    __slots__ = ("_data", "chain", "hash", "kind", "ref", "size", "version")

    def __init__(self, kind: str, data: bytes, version: Any = None, chain: Chain | None = None) -> None:
        self.kind = kind
        self._data = data
        self.size = len(data)
        self.version = version
        self.chain = chain
        self.ref: Any = None
        self.hash: xxh3_128 | None = None

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self._data

    def begin(self) -> bytes:
        """Return the first bytes, which count."""
        return self._data[: deltas.COUNT]


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


def change(value: Value, base: Value | None) -> Change:
    """Compare a value with what the parent is thought to have."""
    if base is None or base.kind != value.kind:
        return Change(value)
    old, new = base.data, value.data
    size = len(old)
    if old == new:
        return Change(value, base, Script(size, [], b""))
    if size <= LEAST_LONG or len(new) <= LEAST_LONG:
        return Change(value)
    if not deltas.is_growth(old, new):
        return Change(value, base, deltas.difference(old, new))
    if base.hash is not None:
        value.hash = base.hash.copy()
        value.hash.update(new[size:])
    return build(Change, (value, base, deltas.growth(old, new)))


class Next(NamedTuple):
    """What a value adds to the chain of its base.

    Attributes:
        links: The links that stay.
        level: Of the new link.
        weight: Of the new link.
        content: Of the new link.
    """

    links: tuple[Link, ...]
    level: int
    weight: int
    content: Script | bytes


def following(chain: Chain | None, new: Change) -> Next:
    """Find how a value's chain goes on from that of its base; or begins anew with the whole value."""
    script, value = new.script, new.value
    size = value.size
    if chain is None or script is None or (weight := script.weight()) >= size:
        return Next((), WHOLE, size, value.data)
    links, level = chain.links, 0
    while len(links) >= BASE and links[1 - BASE].level == level:
        links, run = links[: 1 - BASE], links[1 - BASE :]
        script = compose(*[link.content for link in run], script)  # type: ignore[arg-type]
        level += 1
    before = chain.weight
    if level:
        weight, before = script.weight(), sum([link.weight for link in links])
    if before + weight > 2 * size + MOST_WASTE:
        return Next((), WHOLE, size, value.data)
    return build(Next, (links, level, weight, script))


def extend(chain: Chain | None, new: Change, number: int, place: Any, checksum: bytes = b"") -> Chain:
    """Make the chain of a value: that of its base and one new link, or a new one.

    Args:
        chain: The chain of the change's base.
        new: The change.
        number: The name of the new link's piece.
        place: What numbers count in.
        checksum: That of the new piece, in stores that have such.
    """
    return linked(chain, following(chain, new), new.value, (number, place), checksum)


def linked(chain: Chain | None, found: Next, value: Value, where: tuple[int, Any], checksum: bytes) -> Chain:
    """Make the chain of a value of what `following` found; see `extend`."""
    links, level, weight, content = found
    number, place = where
    link = build(Link, (number, level, weight, content, checksum))
    checksums = checksum
    if chain is not None and len(links) == len(chain.links):
        weight, checksums = chain.weight + weight, chain.checksums + checksum
    elif links:
        weight += sum([one.weight for one in links])
        checksums = b"".join([one.checksum for one in links]) + checksum
    check = b""
    if checksum:
        if value.hash is None:
            value.hash = _hashed(value.data)
        check = _check(value.begin(), value.hash, checksums)
    return build(Chain, (value.kind, (*links, link), place, check, weight, checksums))


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
    if _check(data[: deltas.COUNT], _hashed(data), chain.checksums) != chain.check:
        raise CorruptCheckpointError(
            "the pieces of a value don't fit together",
            hint="the file was damaged; go on from an earlier checkpoint",
        )
    return data


def _hashed(data: bytes) -> xxh3_128:
    return xxh3_128(memoryview(data)[deltas.COUNT :])


def _check(begin: bytes, state: xxh3_128, checksums: bytes) -> bytes:
    return xxh3_64_digest(begin + state.digest() + checksums)


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
        _keep_memory()

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
        size = value.size
        values = self._values
        with self._lock:
            if (gone := values.pop(key, None)) is not None:
                self._held -= _cost(gone.size)
            if size > LEAST_LONG:
                values[key] = value
                self._held += _cost(size)
                while self._held > self._most:
                    self._drop(next(iter(values)))

    def _drop(self, key: tuple[str, str, str]) -> None:
        gone = self._values.pop(key, None)
        if gone is not None:
            self._held -= _cost(gone.size)

    def forget(self, thread_id: str) -> None:
        """Drop a thread's values."""
        with self._lock:
            for key in [key for key in self._values if key[0] == thread_id]:
                self._drop(key)


def _cost(size: int) -> int:
    # The scripts of its chain weigh up to as much again; the hash's state is of 600 bytes.
    return 2 * size + 1200
