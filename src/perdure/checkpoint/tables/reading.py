"""Operations that read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from perdure.checkpoint import layout, records
from perdure.checkpoint.address import Scope
from perdure.checkpoint.chains import Recent, Value
from perdure.checkpoint.layout import Pieces, Record
from perdure.checkpoint.operation import Op, Rows
from perdure.checkpoint.records import TaskRecord
from perdure.checkpoint.tables.dialect import Cursor, Dialect, Found
from perdure.checkpoint.tables.writing import SCAN
from perdure.errors import CorruptCheckpointError


class Row(NamedTuple):
    """A checkpoint's row, opened."""

    ns: int
    place: tuple[str, str, str]
    parent_id: str | None
    record: Record


def get_head(dialect: Dialect, thread_id: str, checkpoint_ns: str) -> Op[str | None]:
    """Find the head."""
    [rows] = yield [(dialect.sql["head"], (thread_id, checkpoint_ns))]
    return rows[0][0] if rows else None


def get(
    dialect: Dialect, recent: Recent, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None
) -> Op[tuple[Found, dict[str, Value], list[TaskRecord]] | None]:
    """Read a checkpoint, or the head; not the pieces of values that are at hand.

    Values and writes are put together here, so that a backend can read again if pieces were deleted meanwhile.
    """
    replies = yield dialect.asking_checkpoint(thread_id, checkpoint_ns, checkpoint_id)
    row, writes = dialect.checkpoint_and_writes(replies)
    if row is None:
        return None
    ns, found_id, parent_id, frame = row
    place = (thread_id, checkpoint_ns, found_id)
    record = _record(frame, place)
    at_hand: dict[str, Value] = {}
    for channel, ref in record.refs.items():
        value = recent.get(thread_id, checkpoint_ns, channel, record.versions.get(channel))
        # The same pieces of the same namespace, with the same checksum of the whole: so the same value.
        if value is not None and value.chain is not None and value.chain.place == ns and value.ref == ref:
            at_hand[channel] = value
    [found] = yield from _complete(dialect, [Row(ns, place, parent_id, record)], [writes], at_hand)
    return found, found.values(), found.tasks()


def _record(frame: bytes, place: Any) -> Record:
    try:
        return layout.open_record(frame)
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(its record)") from e


def _complete(
    dialect: Dialect, rows: Sequence[Row], writes: Sequence[Rows], at_hand: Mapping[str, Value] = MappingProxyType({})
) -> Op[list[Found]]:
    """Read all pieces of checkpoints, in one statement."""
    tasks = [_tasks(row.place, found) for row, found in zip(rows, writes, strict=True)]
    keys = {(row.ns, number) for row, its in zip(rows, tasks, strict=True) for number in _needed(row, its, at_hand)}
    frames: dict[int, dict[int, bytes]] = {row.ns: {} for row in rows}
    if keys:
        [read] = yield [dialect.asking_pieces(keys)]
        for ns, number, frame in read:
            frames[ns][number] = frame
    pieces = {ns: Pieces(found, ns) for ns, found in frames.items()}
    return [
        Found(row.place, row.parent_id, row.record, its, pieces[row.ns], at_hand)
        for row, its in zip(rows, tasks, strict=True)
    ]


def _needed(row: Row, tasks: list[TaskRecord], at_hand: Mapping[str, Value]) -> set[int]:
    refs = {channel: ref for channel, ref in row.record.refs.items() if channel not in at_hand}
    try:
        return layout.numbers_of_all(refs, tasks)
    except CorruptCheckpointError as e:
        raise records.located(e, row.place, "(its record)") from e


def _tasks(place: tuple[str, str, str], rows: Any) -> list[TaskRecord]:
    try:
        return layout.open_tasks(rows)
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(pending writes)") from e


def page(
    dialect: Dialect,
    scope: Scope,
    cursor: Cursor,
    limit: int,
    wanted: Mapping[str, Any] | None,
    accept: Callable[[Record], bool],
) -> Op[tuple[list[Found], Cursor | None]]:
    """Read the next checkpoints of a walk: those with all of the `wanted` metadata, as `accept` tells.

    Returns:
        Up to `limit` of them, and where to go on; None at the end.
    """
    size = max(limit, SCAN) if wanted else limit
    [rows] = yield [dialect.asking_page(scope, cursor, size, wanted)]
    taken: list[Row] = []
    for ns, thread_id, checkpoint_ns, checkpoint_id, parent_id, frame in rows:
        cursor = Cursor(checkpoint_id, ns)
        place = (thread_id, checkpoint_ns, checkpoint_id)
        row = Row(ns, place, parent_id, _record(frame, place))
        if not wanted or accept(row.record):
            taken.append(row)
            if len(taken) == limit:
                break
    goes_on = len(taken) == limit or len(rows) == size
    writes = yield [(dialect.sql["writes_of_checkpoint"], (row.ns, row.place[2])) for row in taken]
    found = yield from _complete(dialect, taken, writes)
    return found, cursor if goes_on else None


def threads(dialect: Dialect, after: str | None, limit: int | None) -> Op[list[str]]:
    """Read thread ids in ascending order."""
    [rows] = yield [(dialect.sql["threads"], (after, dialect.limited(limit)))]
    return [row[0] for row in rows]
