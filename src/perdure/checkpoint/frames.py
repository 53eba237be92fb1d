"""Bytes with a checksum: how pieces lie in a store.

A frame is: 8 bytes XXH3-64 (big endian) of the rest; 1 byte length of the type; the type in ASCII; the content. A type
that ends in `+zstd` says that the content is compressed.
"""

from __future__ import annotations

from xxhash import xxh3_64

from perdure.checkpoint.serde.compression import compress, decompress
from perdure.errors import CorruptCheckpointError

_SUM = 8
_ZSTD = "+zstd"


def seal(kind: str, content: bytes) -> bytes:
    """Make a frame, compressed where it pays."""
    packed = compress(content)
    if packed is not None:
        kind, content = kind + _ZSTD, packed
    name = kind.encode()
    head = bytes((len(name),)) + name
    digest = xxh3_64(head)
    digest.update(content)
    return b"".join((digest.digest(), head, content))


def unseal(frame: bytes) -> tuple[str, bytes]:
    """Return a frame's type and content.

    Raises:
        CorruptCheckpointError: The checksum doesn't fit: the bytes are not what was written.
    """
    if len(frame) <= _SUM or xxh3_64(memoryview(frame)[_SUM:]).digest() != frame[:_SUM]:
        raise CorruptCheckpointError(
            "stored bytes don't fit their checksum",
            hint="the file was damaged; restore it from a backup, or go on from an earlier checkpoint",
        )
    end = _SUM + 1 + frame[_SUM]
    kind, content = frame[_SUM + 1 : end].decode(), frame[end:]
    if kind.endswith(_ZSTD):
        return kind.removesuffix(_ZSTD), decompress(content)
    return kind, content
