"""Records of a backup: commits and items, in one compressed stream."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import Any, Final

from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import CorruptCheckpointError
from perdure.ops.items import Kept, Key
from perdure.store.base.expiring import Life

SERIALIZER: Final = JsonPlusSerializer(unknown="data")
"""What records are encoded with, whatever a database encodes its values with; unknown types stay what they are."""

_WINDOW_LOG: Final = 26
"""How far back the same bytes are found again, as a power of two: two checkpoints of 32 MB."""
_LENGTH: Final = 8
_CHUNK: Final = 1 << 20
_MOST: Final = 1 << 31
"""Bytes that a record, or the list of what is in a backup, may claim to have."""


def pack(record: Any) -> bytes:
    """Encode a value."""
    return SERIALIZER.dumps_plain(record)[1]


def unpack(data: bytes) -> Any:
    """Decode what `pack` made."""
    return SERIALIZER.loads_typed(("msgpack", data))


def of_commit(one: Commit) -> list[Any]:
    """Make the record of a commit."""
    writes = [[task.task_id, task.task_path, [list(write) for write in task.writes]] for task in one.writes]
    return ["commit", one.thread_id, one.checkpoint_ns, one.parent_id, one.checkpoint, one.metadata, writes]


def to_commit(record: list[Any]) -> Commit:
    """Make a commit of its record.

    Raises:
        CorruptCheckpointError: It is none.
    """
    try:
        _, thread_id, checkpoint_ns, parent_id, checkpoint, metadata, writes = record
        tasks = [TaskWrites(task_id, path, [tuple(write) for write in pairs]) for task_id, path, pairs in writes]
        versions = {} if checkpoint is None else checkpoint["channel_versions"]
    except (TypeError, ValueError, LookupError) as error:
        raise CorruptCheckpointError("a record of a backup isn't the commit that it claims to be") from error
    return Commit(thread_id, checkpoint_ns, parent_id, tasks, checkpoint, metadata, versions)


def of_item(one: Kept) -> list[Any]:
    """Make the record of an item."""
    return ["item", list(one.where.namespace), one.where.key, one.value, None if one.life is None else list(one.life)]


def to_item(record: list[Any]) -> Kept:
    """Make an item of its record.

    Raises:
        CorruptCheckpointError: It is none.
    """
    try:
        _, namespace, key, value, life = record
        return Kept(Key(tuple(namespace), key), value, None if life is None else Life(*life))
    except (TypeError, ValueError) as error:
        raise CorruptCheckpointError("a record of a backup isn't the item that it claims to be") from error


def pack_alone(value: Any) -> bytes:
    """Encode and compress a value by itself."""
    import zstandard

    return zstandard.ZstdCompressor().compress(pack(value))


def unpack_alone(data: bytes) -> Any:
    """Decode what `pack_alone` made.

    Raises:
        CorruptCheckpointError: It is none.
    """
    import zstandard

    try:
        if not 0 <= zstandard.frame_content_size(data) <= _MOST:
            raise CorruptCheckpointError("a backup's list claims to be larger than any")
        return unpack(zstandard.ZstdDecompressor().decompress(data))
    except zstandard.ZstdError as error:
        raise CorruptCheckpointError(f"a backup's list can't be decompressed: {error}") from error


class Compressor:
    """Compresses records as one stream: what a checkpoint has in common with the one before costs next to nothing."""

    def __init__(self) -> None:
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=_WINDOW_LOG)
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def add(self, record: Any) -> bytes:
        """Add a record; return what is ready to be written."""
        data = pack(record)
        return self._stream.compress(len(data).to_bytes(_LENGTH, "big") + data)

    def end(self) -> bytes:
        """End the stream; return its rest."""
        return self._stream.flush()


def decompressed(parts: Iterator[bytes]) -> Iterator[Any]:
    """Read the records of a stream, given in parts; one at a time is in memory.

    Raises:
        CorruptCheckpointError: It is none.
    """
    import zstandard

    source = BufferedReader(_Joined(parts))
    with zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG).stream_reader(source) as stream:
        plain: Any = BufferedReader(stream, _CHUNK)  # it has what a raw stream has
        try:
            while head := plain.read(_LENGTH):
                if (size := int.from_bytes(head, "big")) > _MOST:
                    raise CorruptCheckpointError("a backup's record claims to be larger than any")
                yield unpack(plain.read(size))
        except zstandard.ZstdError as error:
            raise CorruptCheckpointError(f"a backup's records can't be decompressed: {error}") from error


class _Joined(RawIOBase):
    """Parts as one stream."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
