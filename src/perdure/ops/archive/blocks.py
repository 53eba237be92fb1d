"""Blocks of a backup's file: each has a number, a kind and a checksum, so that none can be lost, changed or exchanged.

A file is the 7 bytes `PERDURE`, 1 byte for the format's version, and then blocks. A block is: 4 bytes length of its
content, big endian; 1 byte kind; the content; 8 bytes XXH3-64 of the file's id (16 bytes), of the block's number (8
bytes), its kind and its content. Kinds: 1, what the file is, the first block, whose first 16 bytes are the id; 2, part
of the stream of records; 3, what checkpoints it has; 4, the end, without content. The contents of 2 and 3 may be
encrypted: then the id, the number and the kind stand before what is encrypted.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from xxhash import xxh3_64_digest

from perdure.checkpoint.serde.base import CipherProtocol
from perdure.errors import CorruptCheckpointError

MAGIC: Final = b"PERDURE"
VERSION: Final = 1
ID_SIZE: Final = 16
_CHECKSUM: Final = 8
_MOST: Final = 1 << 30
"""Bytes that a block may claim to have."""


class Kind(enum.IntEnum):
    """What a block holds."""

    ABOUT = 1
    RECORDS = 2
    INDEX = 3
    END = 4


_KINDS: Final = frozenset(map(int, Kind))
_SECRET: Final = (Kind.RECORDS, Kind.INDEX)


class Block(NamedTuple):
    """A block's content, and where in the file it begins."""

    kind: Kind
    content: bytes
    at: int


class BlockWriter:
    """Writes blocks.

    Args:
        file: To the end of which they go.
        file_id: Of the file, random.
        cipher: Encrypts what people have stored; None: nothing is encrypted.
    """

    def __init__(self, file: BinaryIO, file_id: bytes, cipher: CipherProtocol | None) -> None:
        self._file = file
        self._id = file_id
        self._cipher = cipher
        self._number = 0
        file.write(MAGIC + bytes((VERSION,)))

    def write(self, kind: Kind, content: bytes) -> None:
        """Write a block."""
        place = _place(self._id, self._number, kind)
        if self._cipher is not None and kind in _SECRET:
            _, content = self._cipher.encrypt(place + content)
        self._file.write(len(content).to_bytes(4, "big") + bytes((kind,)) + content + xxh3_64_digest(place + content))
        self._number += 1


def _place(file_id: bytes, number: int, kind: int) -> bytes:
    return file_id + number.to_bytes(8, "big") + bytes((kind,))


def read_blocks(file: BinaryIO, name: str) -> Iterator[Block]:
    """Read the blocks of a file, from its beginning, and check each; encrypted ones stay so.

    Raises:
        CorruptCheckpointError: The file is no backup, or was changed or cut off; says where.
    """
    start = file.read(len(MAGIC) + 1)
    if start[:-1] != MAGIC or len(start) <= len(MAGIC):
        raise CorruptCheckpointError(f"{name} is not a backup of perdure")
    if start[-1] != VERSION:
        raise CorruptCheckpointError(
            f"{name} has format {start[-1]}, and this program reads {VERSION}", hint="restore it with a newer perdure"
        )
    at, number, file_id = len(start), 0, b""
    while True:
        kind, content, checksum = _read_block(file, name, at)
        if number == 0:
            file_id = content[:ID_SIZE]
        fits = xxh3_64_digest(_place(file_id, number, kind) + content) == checksum
        if not fits or kind not in _KINDS or (kind == Kind.ABOUT) != (number == 0):
            raise CorruptCheckpointError(f"{name} was changed: block {number}, at byte {at}, doesn't fit its checksum")
        yield Block(Kind(kind), content, at)
        at += 5 + len(content) + _CHECKSUM
        number += 1
        if kind == Kind.END:
            break
    if file.read(1):
        raise CorruptCheckpointError(f"{name} was changed: something follows its end, at byte {at}")


def _read_block(file: BinaryIO, name: str, at: int) -> tuple[int, bytes, bytes]:
    head = file.read(5)
    size = int.from_bytes(head[:4], "big")
    if len(head) == 5 and size > _MOST:
        raise CorruptCheckpointError(f"{name} was changed: the block at byte {at} claims to have {size} bytes")
    rest = file.read(size + _CHECKSUM)
    if len(head) < 5 or len(rest) < size + _CHECKSUM:
        raise CorruptCheckpointError(
            f"{name} is cut off: it ends at byte {at + len(head) + len(rest)}, in the middle of a block",
            hint="was it copied as a whole?",
        )
    return head[4], rest[:size], rest[size:]


def decrypted(block: Block, number: int, file_id: bytes, cipher: CipherProtocol | None, name: str) -> bytes:
    """Return the plain content of a block that people's data is in.

    Raises:
        CorruptCheckpointError: It was encrypted with another key.
    """
    if cipher is None:
        return block.content
    plain = cipher.decrypt(getattr(cipher, "name", "aes-gcm-siv"), block.content)
    place = _place(file_id, number, block.kind)
    if not plain.startswith(place):
        raise CorruptCheckpointError(f"{name} was changed: block {number}, at byte {block.at}, is another's")
    return plain[len(place) :]
