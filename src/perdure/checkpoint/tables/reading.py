"""Operations that read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from perdure.checkpoint import layout, records
from perdure.checkpoint.address import Scope
from perdure.checkpoint.chains import Recent, Value
from perdure.checkpoint.layout import Outline, Pieces, Record
from perdure.checkpoint.records import TaskRecord
from perdure.checkpoint.sealing import Sealing
from perdure.checkpoint.tables.dialect import Cursor, Dialect, Found
from perdure.checkpoint.tables.writing import SCAN
from perdure.database.operation import Op, Rows
from perdure.errors import CorruptCheckpointError


class Row(NamedTuple):
    """A checkpoint's row, opened."""

    ns: int
    place: tuple[str, str, str]
    parent_id: str | None
    outline: Outline


def get_head(dialect: Dialect, thread_id: str, checkpoint_ns: str) -> Op[str | None]:
    """Find the head."""
    [rows] = yield [(dialect.sql["head"], (thread_id, checkpoint_ns))]
    return rows[0][0] if rows else None


def get(
    dialect: Dialect, recent: Recent, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None
) -> Op[Found | None]:
    """Read a checkpoint, or the head; not the pieces of values that are at hand."""
    sealing = dialect.at(thread_id, checkpoint_ns).sealing
    seen: Any = None
    while True:
        replies = yield dialect.asking_checkpoint(thread_id, checkpoint_ns, checkpoint_id)
        row, writes = dialect.checkpoint_and_writes(replies)
        if row is None:
            return None
        ns, found_id, parent_id, frame = row
        place = (thread_id, checkpoint_ns, found_id)
        opened = Row(ns, place, parent_id, _outline(sealing, frame, place))
        tasks = [_tasks(sealing, place, writes)]
        found, is_whole = yield from _complete(dialect, [opened], tasks, _at_hand(recent, opened), again=row == seen)
        # Was it deleted before its pieces were read? Then it's gone now. If it isn't, they are lost.
        if is_whole or row == seen:
            return found[0]
        seen = row


def _at_hand(recent: Recent, row: Row) -> dict[str, Value]:
    """Find the values that needn't be read."""
    thread_id, checkpoint_ns, _ = row.place
    found: dict[str, Value] = {}
    record = row.outline.record
    if record is None:
        return found
    for channel, ref in record.refs.items():
        value = recent.get(thread_id, checkpoint_ns, channel, record.versions.get(channel))
        # The same pieces of the same namespace, with the same checksum of the whole: so the same value.
        if value is not None and value.chain is not None and value.chain.place == row.ns and value.ref == ref:
            found[channel] = value
    return found


def _outline(sealing: Sealing, frame: bytes, place: Any) -> Outline:
    try:
        return layout.open_row(sealing, frame, place[2])
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(its record)") from e


def _complete(
    dialect: Dialect,
    rows: Sequence[Row],
    tasks: Sequence[list[TaskRecord]],
    at_hand: Mapping[str, Value] = MappingProxyType({}),
    *,
    again: bool,
) -> Op[tuple[list[Found], bool]]:
    """Read all pieces of checkpoints, in one statement; tell whether all were there.

    Args:
        dialect: The backend's.
        rows: The checkpoints.
        tasks: Their writes.
        at_hand: Values that needn't be read.
        again: Whether this is the second look: what is missing now is lost.

    Returns:
        The checkpoints, up to one whose record is damaged.

    Raises:
        CorruptCheckpointError: That is the first.
    """
    keys = {(row.ns, number) for row, its in zip(rows, tasks, strict=True) for number in _needed(row, its, at_hand)}
    frames: dict[int, dict[int, bytes]] = {row.ns: {} for row in rows}
    read: Rows = ()
    if keys:
        [read] = yield [dialect.asking_pieces(keys)]
    for ns, number, frame in read:
        frames[ns][number] = frame
    pieces = {row.ns: Pieces(frames[row.ns], row.ns, dialect.at(*row.place[:2]).sealing) for row in rows}
    is_whole = len(read) == len(keys)
    found: list[Found] = []
    for row, its in zip(rows, tasks, strict=True):
        try:
            record = row.outline.complete(pieces[row.ns])
        except CorruptCheckpointError as e:
            if not found and (is_whole or again):
                raise records.located(e, row.place, "(its record)") from e
            break
        found.append(Found(row.place, row.parent_id, record, its, pieces[row.ns], at_hand))
    return found, is_whole


def _needed(row: Row, tasks: list[TaskRecord], at_hand: Mapping[str, Value]) -> set[int]:
    record = row.outline.record
    try:
        if record is None:
            body, steps = row.outline.parts
            return {*layout.numbers_of(body), *layout.counted(steps), *layout.numbers_of_all({}, tasks)}
        refs = {channel: ref for channel, ref in record.refs.items() if channel not in at_hand}
        return layout.numbers_of_all(refs, tasks)
    except CorruptCheckpointError as e:
        raise records.located(e, row.place, "(its record)") from e


def _tasks(sealing: Sealing, place: tuple[str, str, str], rows: Any) -> list[TaskRecord]:
    try:
        return layout.open_tasks(sealing, place[2], rows)
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
    missed: Rows = ()
    while True:
        [rows] = yield [dialect.asking_page(scope, cursor, size, wanted)]
        opened, is_cut = _opened(dialect, rows)
        if wanted and not all(row.outline.record for row in opened):
            read = yield from _with_records(dialect, opened, again=rows == missed)
            if read is None:  # see `get`
                missed = rows
                continue
            is_cut = is_cut or len(read) < len(opened)
            opened = read
        taken: list[Row] = []
        behind: Cursor | None = None
        for row in opened:
            behind = Cursor(row.place[2], row.ns)
            if not wanted or accept(row.outline.record):  # type: ignore[arg-type]  # `_with_records` has read it
                taken.append(row)
                if len(taken) == limit:
                    break
        goes_on = is_cut or len(taken) == limit or len(rows) == size
        writes = yield [(dialect.sql["writes_of_checkpoint"], (row.ns, row.place[2])) for row in taken]
        tasks = _tasks_of_all(dialect, taken, writes)
        found, is_whole = yield from _complete(dialect, taken[: len(tasks)], tasks, again=taken == seen)
        if is_whole or taken == seen:  # see `get`
            if len(found) < len(taken):
                last = taken[len(found) - 1]
                return found, Cursor(last.place[2], last.ns)
            return found, behind if goes_on else None
        seen = taken


def _opened(dialect: Dialect, rows: Rows) -> tuple[list[Row], bool]:
    """Open rows, up to a damaged one; tell whether there is one."""
    opened: list[Row] = []
    for ns, thread_id, checkpoint_ns, checkpoint_id, parent_id, frame in rows:
        place = (thread_id, checkpoint_ns, checkpoint_id)
        try:
            sealing = dialect.at(thread_id, checkpoint_ns).sealing
            opened.append(Row(ns, place, parent_id, _outline(sealing, frame, place)))
        except CorruptCheckpointError:
            if not opened:
                raise
            return opened, True
    return opened, False


def _with_records(dialect: Dialect, rows: list[Row], *, again: bool) -> Op[list[Row] | None]:
    """Read the records that don't lie in their rows, up to a damaged one.

    Return None if pieces are missing, unless this is the second look.
    """
    keys = {(row.ns, number) for row in rows for number in row.outline.body()}
    [read] = yield [dialect.asking_pieces(keys)]
    if len(read) < len(keys) and not again:
        return None
    frames: dict[Any, dict[int, bytes]] = {row.ns: {} for row in rows}
    for ns, number, frame in read:
        frames[ns][number] = frame
    pieces = {row.ns: Pieces(frames[row.ns], row.ns, dialect.at(*row.place[:2]).sealing) for row in rows}
    whole: list[Row] = []
    for row in rows:
        try:
            record = row.outline.complete(pieces[row.ns])
        except CorruptCheckpointError as e:
            if not whole:
                raise records.located(e, row.place, "(its record)") from e
            break
        whole.append(row._replace(outline=row.outline._replace(record=record)))
    return whole


def _tasks_of_all(dialect: Dialect, taken: Sequence[Row], writes: Sequence[Rows]) -> list[list[TaskRecord]]:
    """Open the writes of checkpoints, up to a damaged one."""
    tasks: list[list[TaskRecord]] = []
    for row, found in zip(taken, writes, strict=True):
        try:
            tasks.append(_tasks(dialect.at(*row.place[:2]).sealing, row.place, found))
        except CorruptCheckpointError:
            if not tasks:
                raise
            break
    return tasks


def threads(dialect: Dialect, after: str | None, limit: int | None) -> Op[list[str]]:
    """Read thread ids in ascending order."""
    [rows] = yield [(dialect.sql["threads"], (after, dialect.limited(limit)))]
    return [row[0] for row in rows]
