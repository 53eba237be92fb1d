"""A backup's file as a whole: made under another name and renamed, read only after all of it was checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from perdure.checkpoint.serde.base import CipherProtocol
from perdure.errors import CorruptCheckpointError, StorageError, UsageError
from perdure.ops.archive import records
from perdure.ops.archive.blocks import ID_SIZE, Block, BlockWriter, Kind, decrypted, read_blocks

_PART: Final = 1 << 18
"""Compressed bytes in a block."""


class About(NamedTuple):
    """What a backup is.

    Attributes:
        file_id: Its own, random.
        made: When it was begun.
        is_encrypted: Whether its records are.
        since_id: The id of the backup that it goes on from; None: it is complete.
        since_name: The name of that one's file, in the same folder.
    """

    file_id: bytes
    made: datetime
    is_encrypted: bool
    since_id: bytes | None = None
    since_name: str | None = None


class ArchiveWriter:
    """Adds records to a backup."""

    def __init__(self, file: BinaryIO, about: About, cipher: CipherProtocol | None) -> None:
        self._blocks = BlockWriter(file, about.file_id, cipher)
        self._stream = records.Compressor()
        self._ready = bytearray()
        self._blocks.write(Kind.ABOUT, about.file_id + records.pack(list(about[1:])))

    def add(self, record: Any) -> None:
        """Add a record."""
        self._ready += self._stream.add(record)
        if len(self._ready) >= _PART:
            self._flush()

    def _flush(self) -> None:
        self._blocks.write(Kind.RECORDS, bytes(self._ready))
        self._ready.clear()

    def end(self, index: Any) -> None:
        """End the file."""
        self._ready += self._stream.end()
        self._flush()
        self._blocks.write(Kind.INDEX, records.pack_alone(index))
        self._blocks.write(Kind.END, b"")


@contextmanager
def writing(path: Path, cipher: CipherProtocol | None, base: ArchiveReader | None) -> Iterator[ArchiveWriter]:
    """Make a backup's file: it appears under its name when the block has ended without an error.

    Raises:
        StorageError: It can't be written.
    """
    since = (None, None) if base is None else (base.about.file_id, base.path.name)
    about = About(os.urandom(ID_SIZE), datetime.now(UTC), cipher is not None, *since)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield ArchiveWriter(file, about, cipher)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def about_of(path: Path) -> About:
    """Read what a backup is, and nothing else of it.

    Raises:
        CorruptCheckpointError: It is none.
        StorageError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            return _about(next(read_blocks(file, str(path))), path)
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from error


def _about(block: Block, path: Path) -> About:
    try:
        about = About(block.content[:ID_SIZE], *records.unpack(block.content[ID_SIZE:]))
        # It is looked for beside this one: a name with a folder in it could lead anywhere.
        is_sound = about.since_name is None or Path(about.since_name).name == about.since_name not in {"", ".."}
    except (TypeError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} doesn't say what it is") from error
    if not (is_sound and isinstance(about.made, datetime)):
        raise CorruptCheckpointError(f"{path} doesn't say what it is")
    return about


class ArchiveReader:
    """A backup's file, of which every block was checked.

    Args:
        path: The file.
        cipher: Decrypts it, if it is encrypted.

    Raises:
        CorruptCheckpointError: It is no backup, was changed or cut off, or was encrypted with another key.
        StorageError: It can't be read.
        UsageError: It is encrypted, and there is no cipher.
    """

    def __init__(self, path: Path, cipher: CipherProtocol | None) -> None:
        self.path = path
        self.about, index = self._check(cipher)
        self.index = records.unpack_alone(index)

    def _check(self, cipher: CipherProtocol | None) -> tuple[About, bytes]:
        about: About | None = None
        index: bytes | None = None
        for number, block in enumerate(self._blocks()):
            if about is None:
                about = _about(block, self.path)
                if about.is_encrypted and cipher is None:
                    raise UsageError(
                        f"{self.path} is encrypted",
                        hint="with its key in PERDURE_AES_KEY, --decrypt restores it, and --encrypt goes on from it",
                    )
                self._cipher = cipher if about.is_encrypted else None
            if block.kind == Kind.INDEX:
                index = decrypted(block, number, about.file_id, self._cipher, str(self.path))
        if about is None or index is None:
            raise CorruptCheckpointError(f"{self.path} was changed: it has no list of what is in it")
        return about, index

    def _blocks(self) -> Iterator[Any]:
        try:
            with self.path.open("rb") as file:
                yield from read_blocks(file, str(self.path))
        except OSError as error:
            raise StorageError(f"{self.path} can't be read: {error.strerror}") from error

    def records(self) -> Iterator[Any]:
        """Read the records."""
        return records.decompressed(
            decrypted(block, number, self.about.file_id, self._cipher, str(self.path))
            for number, block in enumerate(self._blocks())
            if block.kind == Kind.RECORDS
        )
