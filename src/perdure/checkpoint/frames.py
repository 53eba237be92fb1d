"""Bytes with a checksum: how pieces lie in a store; see docs/storage-format.md.

A frame is: 8 bytes XXH3-64 (big endian) of the rest and of the frame's place; 1 byte of flags; 1 byte length of the
type; the type; the content. The place isn't stored: it says which row the frame belongs to, so that in another it
doesn't fit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from xxhash import xxh3_64, xxh3_64_digest

from perdure.checkpoint.serde import compression
from perdure.errors import CorruptCheckpointError, EncryptionError

CHECKSUM: Final = 8
"""The length of the checksum, which comes first."""

_PACKED = 1
_DELTA = 2
_VERSION = 1 << 4  # in the upper half of the flags

ENCRYPTED: Final = _VERSION | 4
"""The flags of what isn't a frame but has one in it, encrypted: see `perdure.checkpoint.sealing`."""


class Frame(NamedTuple):
    """What a frame holds.

    Attributes:
        kind: The type of the content.
        content: The bytes.
        is_delta: Whether they are a script that makes a content of that type.
    """

    kind: str
    content: bytes
    is_delta: bool


def seal(kind: str, content: bytes, *, is_delta: bool = False, place: str = "") -> bytes:
    """Make a frame; the content is compressed where it pays."""
    flags = _VERSION | _DELTA if is_delta else _VERSION
    size = len(content)
    if size >= compression.SMALLEST and (packed := compression.compress(content, compression.LARGEST_PIECE)):
        content, flags, size = packed, flags | _PACKED, len(packed)
    head = _heads.get((kind, flags)) or _head(kind, flags)
    where = place.encode("utf-8", "surrogatepass")
    if size < _LONG:
        rest = head + content
        return xxh3_64_digest(rest + where if where else rest) + rest
    digest = xxh3_64(head)
    digest.update(content)
    digest.update(where)
    return b"".join((digest.digest(), head, content))


_LONG = 16 * 1024  # a shorter content is copied faster than a hash object is made and fed
_heads: dict[tuple[str, int], bytes] = {}


def _head(kind: str, flags: int) -> bytes:
    name = kind.encode()
    head = bytes((flags, len(name))) + name
    if len(_heads) < 1024:
        _heads[kind, flags] = head
    return head


def unseal(frame: bytes, place: str = "") -> Frame:
    """Open a frame that is at a place.

    Raises:
        CorruptCheckpointError: The checksum doesn't fit: the bytes are not what was written.
        EncryptionError: It is encrypted.
    """
    if is_encrypted(frame) and fits(frame):
        raise EncryptionError(
            "stored bytes are encrypted",
            hint="open the database with serde=EncryptedSerializer..., and the key that has encrypted it",
        )
    if not fits(frame, place):
        raise damage()
    flags = frame[CHECKSUM]
    if flags & ~(_PACKED | _DELTA) != _VERSION:
        raise CorruptCheckpointError(f"stored bytes are of an unknown format ({flags:#x})")
    end = CHECKSUM + 2 + frame[CHECKSUM + 1]
    content = frame[end:]
    if flags & _PACKED:
        content = compression.decompress(content)
    return Frame(frame[CHECKSUM + 2 : end].decode(errors="replace"), content, bool(flags & _DELTA))


def fits(frame: bytes, place: str = "") -> bool:
    """Tell whether bytes are what their checksum says."""
    digest = xxh3_64(memoryview(frame)[CHECKSUM:])
    if place:
        digest.update(place.encode("utf-8", "surrogatepass"))
    return len(frame) >= CHECKSUM + 2 and digest.digest() == frame[:CHECKSUM]


def is_encrypted(data: bytes) -> bool:
    """Tell whether what is stored says that it is encrypted."""
    return len(data) > CHECKSUM and data[CHECKSUM] == ENCRYPTED


def damage() -> CorruptCheckpointError:
    """Return the error of bytes that don't fit their checksum."""
    return CorruptCheckpointError(
        "stored bytes don't fit their checksum",
        hint="the file was damaged; restore it from a backup, or go on from an earlier checkpoint",
    )
