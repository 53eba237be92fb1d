"""An operation that measures what a thread takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from perdure.checkpoint import layout, records
from perdure.checkpoint.layout import Pieces
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.sizes import ThreadSize
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.walking import Entry, walk
from perdure.database.operation import Op
from perdure.errors import CorruptCheckpointError, SerializationError


def measure_thread(dialect: Dialect, serde: SerializerProtocol, thread_id: str) -> Op[ThreadSize]:
    """Measure all that a thread has."""
    size = ThreadSize(thread_id, knows_stored=True)
    [rows] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    for ns, checkpoint_ns in rows:
        yield from walk(dialect.at(thread_id, checkpoint_ns), ns, _Meter(serde, size).visit)
    return size


class _Meter:
    """Counts what a namespace's checkpoints take; each piece where it is needed first."""

    def __init__(self, serde: SerializerProtocol, size: ThreadSize) -> None:
        self._serde = serde
        self._size = size
        self._counted: set[int] = set()

    def visit(self, entry: Entry, pieces: Pieces, frames: Mapping[int, bytes]) -> None:
        """Count a checkpoint."""
        size = self._size
        size.checkpoints += 1
        before = size.stored
        size.records += len(entry.frame) + sum(len(task[2]) for task in entry.writes)
        try:
            if entry.outline is None:
                raise entry.error or CorruptCheckpointError
            record = entry.outline.complete(pieces)
            day = records.decode_header(self._serde, record.blob()).ts[:10]
            for channel, ref in record.refs.items():
                size.note(channel, len(pieces.value(ref).data))
                size.channels[channel].stored += self._new(layout.numbers_of(ref), frames)
            size.records += self._new(frames.keys() & entry.outline.numbers(), frames)
        except (CorruptCheckpointError, SerializationError):
            size.unreadable += 1
        else:
            size.days[day] += size.stored - before

    def _new(self, numbers: Iterable[int], frames: Mapping[int, bytes]) -> int:
        """Return the bytes of the pieces that weren't counted yet."""
        fresh = {number for number in numbers if number in frames} - self._counted
        self._counted |= fresh
        return sum(len(frames[number]) for number in fresh)
