"""A walk over everything that a namespace holds, checkpoint by checkpoint, as it is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from perdure.checkpoint import layout
from perdure.checkpoint.layout import Outline, Pieces
from perdure.checkpoint.sealing import Sealing
from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op, Rows
from perdure.errors import CorruptCheckpointError, EncryptionError

_WINDOW: Final = 16
"""Checkpoints whose pieces are in memory at once."""


class Entry(NamedTuple):
    """A checkpoint as it is stored.

    Attributes:
        frame: Its row's.
        outline: The same, opened; None: that can't be.
        writes: Id, path and frame of each task that wrote on top of it.
        error: Why it can't be opened; None: it can.
    """

    checkpoint_id: str
    parent_id: str | None
    frame: bytes
    outline: Outline | None
    writes: Sequence[Sequence[Any]]
    error: CorruptCheckpointError | None


class Walked(NamedTuple):
    """What a namespace holds.

    Attributes:
        entries: Its checkpoints, in ascending order.
        lost: Writes by the checkpoint that they are on top of, where there is none.
        unused: The numbers of pieces that nothing needs.
    """

    entries: Sequence[Entry]
    lost: Mapping[str, Sequence[Sequence[Any]]]
    unused: Sequence[int]


Visit = Callable[[Entry, Pieces, Mapping[int, bytes]], None]
"""Called with each checkpoint, in ascending order, the pieces that it needs, and their frames."""


def walk(dialect: Dialect, ns: int, visit: Visit) -> Op[Walked]:
    """Read all of a namespace, some checkpoints at once; the dialect is at it."""
    # The pieces first: one that is stored meanwhile then isn't taken for one that nothing needs.
    names = ("pieces_of_namespace", "records_of_namespace", "writes_of_namespace")
    held, kept, rows = yield [(dialect.sql[name], (ns,)) for name in names]
    writes: dict[str, list[Sequence[Any]]] = defaultdict(list)
    for checkpoint_id, *stored in rows:
        writes[checkpoint_id].append(stored)
    sealing = dialect.sealing
    entries = [_entry(sealing, row, writes.pop(row[0], ())) for row in sorted(kept, key=lambda row: row[0])]
    used = {
        n for checkpoint_id, its in writes.items() for task in its for n in _numbers_of(sealing, checkpoint_id, task)
    }
    for start in range(0, len(entries), _WINDOW):
        window = entries[start : start + _WINDOW]
        needed = {number for entry in window for number in _needed(sealing, entry)}
        used |= needed
        read: Rows = ()
        if needed:
            [read] = yield [dialect.asking_pieces([(ns, number) for number in needed])]
        frames = {number: frame for _, number, frame in read}
        pieces = Pieces(frames, ns, sealing)
        for entry in window:
            visit(entry, pieces, frames)
    if any(isinstance(entry.error, EncryptionError) for entry in entries):
        return Walked(entries, writes, ())  # what those need isn't known
    return Walked(entries, writes, dialect.unused([number for (number,) in held], used))


def _entry(sealing: Sealing, row: Sequence[Any], writes: Sequence[Sequence[Any]]) -> Entry:
    checkpoint_id, parent_id, _, frame, *_ = row
    try:
        return Entry(checkpoint_id, parent_id, frame, layout.open_row(sealing, frame, checkpoint_id), writes, None)
    except CorruptCheckpointError as error:
        return Entry(checkpoint_id, parent_id, frame, None, writes, error)


def _needed(sealing: Sealing, entry: Entry) -> Iterator[int]:
    """Name the pieces of a checkpoint, its values and writes, as far as that can be known."""
    try:
        if entry.outline is not None:
            yield from entry.outline.numbers()
    except CorruptCheckpointError:
        pass  # `complete` finds the same
    for task in entry.writes:
        yield from _numbers_of(sealing, entry.checkpoint_id, task)


def _numbers_of(sealing: Sealing, checkpoint_id: str, task: Sequence[Any]) -> set[int]:
    try:
        return layout.numbers_of_all({}, [layout.open_task(sealing, checkpoint_id, *task)])
    except CorruptCheckpointError:
        return set()
