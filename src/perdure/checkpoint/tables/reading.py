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
) -> Op[Found | None]:
    """Read a checkpoint, or the head; not the pieces of values that are at hand."""
    seen: Any = None
    while True:
        replies = yield dialect.asking_checkpoint(thread_id, checkpoint_ns, checkpoint_id)
        row, writes = dialect.checkpoint_and_writes(replies)
        if row is None:
            return None
        ns, found_id, parent_id, frame = row
        place = (thread_id, checkpoint_ns, found_id)
        opened = Row(ns, place, parent_id, _record(frame, place))
        tasks = [_tasks(place, writes)]
        [found], is_whole = yield from _complete(dialect, [opened], tasks, _at_hand(recent, opened))
        # Was it deleted before its pieces were read? Then it's gone now. If it isn't, they are lost.
        if is_whole or row == seen:
            return found
        seen = row


def _at_hand(recent: Recent, row: Row) -> dict[str, Value]:
    """Find the values that needn't be read."""
    thread_id, checkpoint_ns, _ = row.place
    found: dict[str, Value] = {}
    for channel, ref in row.record.refs.items():
        value = recent.get(thread_id, checkpoint_ns, channel, row.record.versions.get(channel))
        # The same pieces of the same namespace, with the same checksum of the whole: so the same value.
        if value is not None and value.chain is not None and value.chain.place == row.ns and value.ref == ref:
            found[channel] = value
    return found


def _record(frame: bytes, place: Any) -> Record:
    try:
        return layout.open_record(frame, place[2])
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(its record)") from e


def _complete(
    dialect: Dialect,
    rows: Sequence[Row],
    tasks: Sequence[list[TaskRecord]],
    at_hand: Mapping[str, Value] = MappingProxyType({}),
) -> Op[tuple[list[Found], bool]]:
    """Read all pieces of checkpoints, in one statement; tell whether all were there."""
    keys = {(row.ns, number) for row, its in zip(rows, tasks, strict=True) for number in _needed(row, its, at_hand)}
    frames: dict[int, dict[int, bytes]] = {row.ns: {} for row in rows}
    read: Rows = ()
    if keys:
        [read] = yield [dialect.asking_pieces(keys)]
    for ns, number, frame in read:
        frames[ns][number] = frame
    pieces = {ns: Pieces(held, ns) for ns, held in frames.items()}
    found = [
        Found(row.place, row.parent_id, row.record, its, pieces[row.ns], at_hand)
        for row, its in zip(rows, tasks, strict=True)
    ]
    return found, len(read) == len(keys)


def _needed(row: Row, tasks: list[TaskRecord], at_hand: Mapping[str, Value]) -> set[int]:
    refs = {channel: ref for channel, ref in row.record.refs.items() if channel not in at_hand}
    try:
        return layout.numbers_of_all(refs, tasks)
    except CorruptCheckpointError as e:
        raise records.located(e, row.place, "(its record)") from e


def _tasks(place: tuple[str, str, str], rows: Any) -> list[TaskRecord]:
    try:
        return layout.open_tasks(place[2], rows)
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

    A page ends before one that is damaged, so that a walk comes as far as it can.

    Returns:
        Up to `limit` of them, and where to go on; None at the end.

    Raises:
        CorruptCheckpointError: The first of them is damaged.
    """
    size = max(limit, SCAN) if wanted else limit
    seen: list[Row] | None = None
    while True:
        [rows] = yield [dialect.asking_page(scope, cursor, size, wanted)]
        taken, behind, is_cut = _taken(rows, limit, accept if wanted else None)
        goes_on = is_cut or len(taken) == limit or len(rows) == size
        writes = yield [(dialect.sql["writes_of_checkpoint"], (row.ns, row.place[2])) for row in taken]
        tasks = _tasks_of_all(taken, writes)
        if len(tasks) < len(taken):
            taken, goes_on = taken[: len(tasks)], True
            behind = Cursor(taken[-1].place[2], taken[-1].ns)
        found, is_whole = yield from _complete(dialect, taken, tasks)
        if is_whole or taken == seen:  # see `get`
            return found, behind if goes_on else None
        seen = taken


def _taken(rows: Rows, limit: int, accept: Callable[[Record], bool] | None) -> tuple[list[Row], Cursor | None, bool]:
    """Open rows and take those that are accepted, up to the limit or to a damaged one.

    Return them, where that ended, and whether it ended at a damaged one.
    """
    taken: list[Row] = []
    cursor: Cursor | None = None
    for ns, thread_id, checkpoint_ns, checkpoint_id, parent_id, frame in rows:
        place = (thread_id, checkpoint_ns, checkpoint_id)
        try:
            row = Row(ns, place, parent_id, _record(frame, place))
        except CorruptCheckpointError:
            if cursor is None:
                raise
            return taken, cursor, True
        cursor = Cursor(checkpoint_id, ns)
        if accept is None or accept(row.record):
            taken.append(row)
            if len(taken) == limit:
                break
    return taken, cursor, False


def _tasks_of_all(taken: Sequence[Row], writes: Sequence[Rows]) -> list[list[TaskRecord]]:
    """Open the writes of checkpoints, up to a damaged one."""
    tasks: list[list[TaskRecord]] = []
    for row, found in zip(taken, writes, strict=True):
        try:
            tasks.append(_tasks(row.place, found))
        except CorruptCheckpointError:
            if not tasks:
                raise
            break
    return tasks


def threads(dialect: Dialect, after: str | None, limit: int | None) -> Op[list[str]]:
    """Read thread ids in ascending order."""
    [rows] = yield [(dialect.sql["threads"], (after, dialect.limited(limit)))]
    return [row[0] for row in rows]
