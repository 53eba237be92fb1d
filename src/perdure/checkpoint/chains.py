"""Values as chains of pieces: what to store for the next value of a channel, and how to read one.

The first piece of a chain is a whole value; each other one is a script (see `deltas`) against the value before it.
Storing the next value adds one piece. Sixteen scripts of one level become one of the next level, in the new value's
own piece; the pieces of older checkpoints are never changed, so every checkpoint reads as fast as the latest. For a
value of V bytes, after m changes of w bytes:

- a chain has at most 1 + 15 * ceil(log16(m + 1)) pieces;
- reading fetches at most 2 * V + 1024 bytes, for a longer chain is cut off by storing the whole value;
- all pieces together have at most V + (log16(m) + 3) * m * w bytes, where w is what `diff` found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from xxhash import xxh3_64_digest

from perdure.checkpoint import deltas
from perdure.errors import CorruptCheckpointError

_WIDTH = 16
SMALL = 256
"""Values of up to so many bytes are always stored whole."""

WHOLE = -1
"""The level of a piece that is a whole value."""


class Link(NamedTuple):
    """A piece of a chain: a whole value, or a script with its weight and how many levels of composing are in it."""

    level: int
    whole: bytes
    script: deltas.Script
    weight: int


def whole_link(value: bytes) -> Link:
    """Make the first piece of a chain."""
    return Link(WHOLE, value, [], len(value))


def script_link(level: int, script: deltas.Script) -> Link:
    """Make a later piece of a chain."""
    return Link(level, b"", script, deltas.weight(script))


class Tip(NamedTuple):
    """A channel's value as last stored, with its chain: what the next value is compared with."""

    kind: str
    digest: bytes
    value: bytes
    links: tuple[Link, ...]

    def size(self) -> int:
        """Return about how much memory it takes."""
        return len(self.value) + sum([link.weight for link in self.links])


class Change(NamedTuple):
    """What to store for a channel's new value.

    Attributes:
        kind: The serializer's type of the value.
        digest: Checksum of the value; empty for one that is stored whole.
        value: The value itself, encoded.
        link: The new piece.
        keep: How many pieces of the parent's chain stay before it.
        base: Checksum of the parent's value, if the piece is a script.
        shape: Levels of the parent's chain, if the piece is a script.
    """

    kind: str
    digest: bytes
    value: bytes
    link: Link
    keep: int = 0
    base: bytes = b""
    shape: bytes = b""

    def fits(self, digest: bytes, shape: bytes) -> bool:
        """Tell whether the piece can follow a stored chain; if not, the value is to be stored whole."""
        return self.link.level != WHOLE and self.base == digest and self.shape == shape

    def made_whole(self) -> Change:
        """Store the value whole instead."""
        return Change(self.kind, self.digest, self.value, whole_link(self.value))


def shape_of(links: Sequence[Link]) -> bytes:
    """Return the levels of a chain."""
    return bytes([link.level + 1 for link in links])


def whole(kind: str, value: bytes) -> Change:
    """Store a value whole."""
    return Change(kind, b"", value, whole_link(value))


def follow(tip: Tip | None, kind: str, value: bytes) -> tuple[Change, Tip | None]:
    """Find what to store for a value that follows another; also what the one after it is compared with."""
    if len(value) <= SMALL:
        return whole(kind, value), None
    digest = xxh3_64_digest(value)
    change = None
    if tip is not None and tip.kind == kind:
        change = _script_for(tip, kind, value, digest)
    if change is None or tip is None:
        change = Change(kind, digest, value, whole_link(value))
        return change, Tip(kind, digest, value, (change.link,))
    return change, Tip(kind, digest, value, (*tip.links[: change.keep], change.link))


def _script_for(tip: Tip, kind: str, value: bytes, digest: bytes) -> Change | None:
    script = deltas.diff(tip.value, value)
    cost = deltas.weight(script)
    if cost >= len(value):
        return None
    links, level = tip.links, 0
    while len(links) >= _WIDTH and all(link.level == level for link in links[1 - _WIDTH :]):
        run, links = links[1 - _WIDTH :], links[: 1 - _WIDTH]
        script = reduce(deltas.compose, (*(link.script for link in run), script))
        level += 1
    if sum([link.weight for link in links]) + cost > 2 * len(value) + 1024:
        return None
    link = script_link(level, script)
    return Change(kind, digest, value, link, len(links), tip.digest, shape_of(tip.links))


def read(links: Sequence[Link], digest: bytes) -> bytes:
    """Put a value together from its chain.

    Raises:
        CorruptCheckpointError: The result is not what was stored.
    """
    value = links[0].whole
    if len(links) > 1:
        value = deltas.apply_all(value, [link.script for link in links[1:]])
    if digest and xxh3_64_digest(value) != digest:
        raise CorruptCheckpointError("the pieces of a stored value don't fit together")
    return value
