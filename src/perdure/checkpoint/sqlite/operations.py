"""What the saver asks of the database, as operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from perdure.checkpoint import chains, layout, records
from perdure.checkpoint.address import Scope
from perdure.checkpoint.base import ANY_HEAD, Lease
from perdure.checkpoint.chains import INLINE, Chain, Change, Value
from perdure.checkpoint.frames import CHECKSUM
from perdure.checkpoint.layout import Pieces, Record, Ref
from perdure.checkpoint.operation import Op, Rows, Statement
from perdure.checkpoint.records import Prepared, TaskRecord
from perdure.checkpoint.sqltext import load_statements
from perdure.errors import ConflictError, CorruptCheckpointError

SQL = load_statements(Path(__file__).with_name("statements.sql"))

_PIECES = 1 << 32
"""Pieces a namespace may have; a piece's key is the namespace's number times this, plus its own number."""

_NOTHING = (None,) * 5

_SCAN = 100
"""Rows read at once by a walk."""


class Found(NamedTuple):
    """A stored checkpoint with its values, still encoded."""

    place: tuple[str, str, str]
    parent_id: str | None
    record: Record
    values: dict[str, Value]
    tasks: list[TaskRecord]


# -- writing


def commit(prepared: Sequence[Prepared]) -> Op[bool]:
    """Store commits in their order; tell whether a holder shall stop."""
    stop = False
    for one in prepared:
        stop = (yield from _commit_one(one)) or stop
    return stop


def _check_lease(lease: Lease, rows: Rows) -> bool:
    """Compare the stored lease with the one that a commit carries; tell whether its holder shall stop."""
    holder, generation, _, stop = rows[0] if rows else ("", 0, 0, 0)
    if (holder, generation) != (lease.holder, lease.generation):
        raise ConflictError(
            f"the lease on thread {lease.thread_id!r} was lost: generation {lease.generation} of {lease.holder}, "
            f"now {generation} of {holder or 'nobody'}",
            hint="the run was thought dead, or the thread was deleted; nothing of this commit was stored",
            thread_id=lease.thread_id,
        )
    return bool(stop)


def _commit_one(one: Prepared) -> Op[bool]:
    stop = False
    where = (one.thread_id, one.checkpoint_ns)
    asking: list[Statement] = [(SQL["guard"], (*where, one.parent_id, one.checkpoint_id))]
    if one.lease is not None:
        asking.append((SQL["lease"], (one.lease.thread_id,)))
    rows, *lease_rows = yield asking
    if one.lease is not None:
        stop = _check_lease(one.lease, lease_rows[0])
    ns, head, last_piece, parent, done = rows[0] if rows else _NOTHING
    if done and not one.replaces:
        return stop  # a retry after a lost reply
    if one.expected_head is not ANY_HEAD:
        records.check_head(one, head)
    if ns is None:
        [[(ns,)]] = yield [(SQL["add_namespace"], where)]
    batch: list[Statement] = []
    fresh: dict[str, Value] = {}
    if one.checkpoint_id is not None and one.header is not None:
        number = 0 if last_piece is None else last_piece % _PIECES + 1
        record, fresh = yield from _stored(ns, one, parent, number, batch)
        row = (ns, one.checkpoint_id, one.parent_id, one.run_id, layout.seal_record(record))
        batch.append((SQL["add_checkpoint"], row))
    batch += [_adding(ns, one.parent_id, layout.share(task, fresh) if fresh else task) for task in one.tasks]
    replies = yield batch
    for task, reply in zip(reversed(one.tasks), reversed(replies), strict=False):
        if not reply:
            yield from _merge(ns, one.parent_id, task)
    return stop


def _stored(
    ns: int, one: Prepared, parent: bytes | None, number: int, batch: list[Statement]
) -> Op[tuple[Record, dict[str, Value]]]:
    """Make a checkpoint's record, and add its new pieces, numbered from `number`, to the batch.

    Return the record, and the values that have chains.
    """
    parent_versions, parent_refs = _versions_and_refs(parent)
    found = records.inherit(one, parent_versions, parent_refs)
    if found.missing:
        yield from _find_earlier(ns, one.checkpoint_id or "", found)
    fresh: dict[str, Value] = {}
    for channel, piece in found.stored.items():
        if not isinstance(piece, Change):
            if len(piece[1]) <= INLINE:
                found.refs[channel] = list(piece)
                continue
            piece = Change(Value(*piece))  # noqa: PLW2901
        ref, frame = yield from _extended(ns, piece, parent_refs.get(channel), number)
        found.refs[channel] = ref
        fresh[channel] = piece.value
        if frame is not None:
            batch.append((SQL["add_piece"], (ns * _PIECES + number, frame)))
            number += 1
    assert one.header is not None
    return Record(one.versions, found.refs, *one.header), fresh


def _extended(ns: int, new: Change, held: Ref | None, number: int) -> Op[tuple[Ref, bytes | None]]:
    """Make the reference of a value that follows the parent's, and its new piece; None: it is the parent's."""
    value = new.value
    before: Chain | None = None
    if held is not None and layout.is_chain(held, value.kind):
        base = new.base
        before = base.chain if base is not None else None
        is_known = base is not None and base.ref is held and before is not None and before.place == ns
        if before is None or not (is_known or layout.is_at(before, ns, held)):
            base = yield from _read_base(ns, held)
            before = base.chain if base is not None else None
            new = chains.change(value, base)
        if new.script is not None and not new.script.hunks:
            value.chain, value.ref = before, held
            return held, None
    chain = chains.extend(before, new, number, ns)
    frame = layout.seal_piece(chain)
    chain = chains.sealed(chain, value.data, frame[:CHECKSUM])
    value.chain, value.ref = chains.without_whole(chain), layout.ref_after(held if before else None, chain)
    return value.ref, frame


def _read_base(ns: int, ref: Ref) -> Op[Value | None]:
    """Read the parent's value, which wasn't at hand; None if it is damaged: then the new one is stored whole."""
    try:
        numbers = layout.numbers_of(ref)
        [rows] = yield [_asking_pieces(ns * _PIECES + n for n in numbers)]
        return _pieces(rows, ns).value(ref)
    except CorruptCheckpointError:
        return None


def _asking_pieces(keys: Iterable[int]) -> Statement:
    return SQL["pieces"], ("[" + ",".join(map(str, keys)) + "]",)


def _pieces(rows: Rows, ns: int) -> Pieces:
    return Pieces({piece % _PIECES: data for piece, data in rows if piece // _PIECES == ns}, ns)


def _versions_and_refs(frame: bytes | None) -> tuple[dict[str, Any] | None, dict[str, Ref]]:
    if frame is None:
        return None, {}
    record = layout.open_record(frame)
    return record.versions, record.refs


def _find_earlier(ns: int, before: str, found: records.Inheritance[Ref]) -> Op[None]:
    """Look in older checkpoints for the values that the parent lacks."""
    while found.missing:
        [rows] = yield [(SQL["older_records"], (ns, before, _SCAN))]
        for before, frame in rows:  # noqa: B007, PLR1704 - the last one is where the next page begins
            record = layout.open_record(frame)
            for channel, version in list(found.missing.items()):
                if record.versions.get(channel) == version and channel in record.refs:
                    found.refs[channel] = record.refs[channel]
                    del found.missing[channel]
        if len(rows) < _SCAN:
            return


def _adding(ns: int, checkpoint_id: str | None, task: TaskRecord) -> Statement:
    row = (ns, checkpoint_id, task.task_id, task.task_path, layout.seal_task(task))
    return SQL["add_writes"], row


def _merge(ns: int, checkpoint_id: str | None, task: TaskRecord) -> Op[None]:
    """Add writes to those that the task has."""
    key = (ns, checkpoint_id, task.task_id)
    [[(frame,)]] = yield [(SQL["find_writes"], key)]
    old = layout.open_task(task.task_id, task.task_path, frame)
    merged = task._replace(writes=records.merge_writes(old.writes, task.writes))
    if merged.writes != old.writes:
        yield [(SQL["change_writes"], (layout.seal_task(merged), *key))]


def put_writes(thread_id: str, checkpoint_ns: str, checkpoint_id: str, task: TaskRecord) -> Op[None]:
    """Store a task's writes."""
    ns = yield from _namespace(thread_id, checkpoint_ns)
    [reply] = yield [_adding(ns, checkpoint_id, task)]
    if not reply:
        yield from _merge(ns, checkpoint_id, task)


def _namespace(thread_id: str, checkpoint_ns: str) -> Op[int]:
    """Find a namespace's number, or make one."""
    [rows] = yield [(SQL["find_namespace"], (thread_id, checkpoint_ns))]
    if not rows:
        [rows] = yield [(SQL["add_namespace"], (thread_id, checkpoint_ns))]
    ns: int = rows[0][0]
    return ns


# -- reading


def get_head(thread_id: str, checkpoint_ns: str) -> Op[str | None]:
    """Find the head."""
    [[(head,)]] = yield [(SQL["head"], (thread_id, checkpoint_ns))]
    return head  # type: ignore[no-any-return]


def get(thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Op[Found | None]:
    """Read a checkpoint, or the head."""
    where = (thread_id, checkpoint_ns, checkpoint_id)
    name = "latest_checkpoint" if checkpoint_id is None else "one_checkpoint"
    rows, writes = yield [(SQL[name], where[:2] if checkpoint_id is None else where), (SQL["writes_at"], where)]
    if not rows:
        return None
    ns, found_id, parent_id, frame = rows[0]
    place = (thread_id, checkpoint_ns, found_id)
    row = _Row(ns, place, parent_id, _record(frame, place))
    [found] = yield from _complete([row], [writes])
    return found


class _Row(NamedTuple):
    """A checkpoint's row, opened."""

    ns: int
    place: tuple[str, str, str]
    parent_id: str | None
    record: Record


def _record(frame: bytes, place: Any) -> Record:
    try:
        return layout.open_record(frame)
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(its record)") from e


def _complete(rows: Sequence[_Row], writes: Sequence[Rows]) -> Op[list[Found]]:
    """Read all pieces of checkpoints, in one statement, and put their values and writes together."""
    tasks = [_tasks(row.place, found) for row, found in zip(rows, writes, strict=True)]
    keys: set[int] = set()
    for row, its in zip(rows, tasks, strict=True):
        keys.update([row.ns * _PIECES + n for n in _needed(row, its)])
    read: Rows = ()
    if keys:
        [read] = yield [_asking_pieces(keys)]
    pieces = {ns: _pieces(read, ns) for ns in {row.ns for row in rows}}
    return [_found(row, its, pieces[row.ns]) for row, its in zip(rows, tasks, strict=True)]


def _needed(row: _Row, tasks: list[TaskRecord]) -> set[int]:
    try:
        return layout.numbers_of_all(row.record.refs, tasks)
    except CorruptCheckpointError as e:
        raise records.located(e, row.place, "(its record)") from e


def _found(row: _Row, tasks: list[TaskRecord], pieces: Pieces) -> Found:
    values: dict[str, Value] = {}
    channel = ""
    try:
        for channel, ref in row.record.refs.items():
            values[channel] = pieces.value(ref, row.record.versions.get(channel))
        channel = "(pending writes)"
        tasks = [pieces.task(task) for task in tasks]
    except CorruptCheckpointError as e:
        raise records.located(e, row.place, channel) from e
    return Found(row.place, row.parent_id, row.record, values, tasks)


def _tasks(place: tuple[str, str, str], rows: Any) -> list[TaskRecord]:
    try:
        return [layout.open_task(*row) for row in rows]
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(pending writes)") from e


class Cursor(NamedTuple):
    """Where a walk over checkpoints stands: behind this id and namespace number."""

    checkpoint_id: str | None
    ns: int


def page(scope: Scope, cursor: Cursor, accept: Any, limit: int) -> Op[tuple[list[Found], Cursor | None]]:
    """Read the next checkpoints of a walk that `accept` (of the record) takes.

    Returns:
        Up to `limit` of them, and where to go on; None at the end.
    """
    name = "page_of_all"
    if scope.thread_id is not None:
        name = "page_of_thread" if scope.checkpoint_ns is None else "page_of_namespace"
    size = limit if accept is None else max(limit, _SCAN)
    values = (scope.thread_id, scope.checkpoint_ns, scope.checkpoint_id, *cursor, size)
    [rows] = yield [(SQL[name], values)]
    taken: list[_Row] = []
    for ns, thread_id, checkpoint_ns, checkpoint_id, parent_id, frame in rows:
        cursor = Cursor(checkpoint_id, ns)
        place = (thread_id, checkpoint_ns, checkpoint_id)
        row = _Row(ns, place, parent_id, _record(frame, place))
        if accept is None or accept(row.record):
            taken.append(row)
            if len(taken) == limit:
                break
    goes_on = len(taken) == limit or len(rows) == size
    writes = yield [(SQL["writes_of_checkpoint"], (row.ns, row.place[2])) for row in taken]
    found = yield from _complete(taken, writes)
    return found, cursor if goes_on else None


def threads(after: str | None, limit: int) -> Op[list[str]]:
    """Read thread ids in ascending order."""
    [rows] = yield [(SQL["threads"], (after, limit))]
    return [row[0] for row in rows]


# -- deleting and copying


def delete_thread(thread_id: str) -> Op[None]:
    """Delete a thread's namespaces and its lease."""
    [rows] = yield [(SQL["namespaces_of_thread"], (thread_id,))]
    for ns, _ in rows:
        yield from _delete_namespace(ns)
    yield [(SQL["delete_lease"], (thread_id,))]


def delete_threads(thread_ids: Sequence[str]) -> Op[None]:
    """Delete each thread."""
    for thread_id in thread_ids:
        yield from delete_thread(str(thread_id))


def _delete_namespace(ns: int) -> Op[None]:
    names = ("checkpoints", "writes", "pieces")
    yield [(SQL[f"delete_namespace_{name}"], (ns,)) for name in names]
    yield [(SQL["delete_namespace"], (ns,))]


def delete_for_runs(run_ids: Sequence[str]) -> Op[None]:
    """Delete the checkpoints of runs, and the pieces that nothing refers to any more."""
    touched: set[int] = set()
    for run_id in run_ids:
        [rows] = yield [(SQL["checkpoints_of_run"], (str(run_id),))]
        for key in rows:
            touched.add(key[0])
            yield [(SQL["delete_checkpoint"], key), (SQL["delete_writes_of_checkpoint"], key)]
    for ns in touched:
        yield from _sweep(ns)


def prune(thread_ids: Sequence[str]) -> Op[None]:
    """Keep each namespace's head only."""
    for thread_id in thread_ids:
        [rows] = yield [(SQL["namespaces_of_thread"], (str(thread_id),))]
        for ns, _ in rows:
            # The writes first: what the head is, is asked of the checkpoints.
            yield [(SQL["delete_writes_of_all_but_head"], (ns,))]
            yield [(SQL["delete_all_but_head"], (ns,))]
            yield from _sweep(ns)


def _sweep(ns: int) -> Op[None]:
    """Delete the pieces of a namespace that nothing refers to, and an empty namespace."""
    kept, writes, held = yield [(SQL[f"{name}_of_namespace"], (ns,)) for name in ("records", "writes", "pieces")]
    if not kept:
        yield from _delete_namespace(ns)
        return
    tasks = [layout.open_task(*row[1:]) for row in writes]
    used = layout.numbers_of_all({}, tasks)
    for row in kept:
        used |= layout.numbers_of_all(layout.open_record(row[3]).refs, ())
    yield [(SQL["delete_piece"], (key,)) for (key,) in held if key % _PIECES not in used]


def copy_thread(source_id: str, target_id: str) -> Op[None]:
    """Copy all namespaces of a thread."""
    [rows] = yield [(SQL["namespaces_of_thread"], (source_id,))]
    for source, checkpoint_ns in rows:
        target = yield from _namespace(target_id, checkpoint_ns)
        [[(last,)]] = yield [(SQL["last_piece_of_namespace"], (target,))]
        shift = 0 if last is None else last % _PIECES + 1
        _, found, writes = yield [
            (SQL["copy_pieces"], (source, target, shift)),
            (SQL["records_of_namespace"], (source,)),
            (SQL["writes_of_namespace"], (source,)),
        ]
        yield [
            (SQL["add_checkpoint"], (target, *row[:3], _shifted(row[3], shift) if shift else row[3])) for row in found
        ]
        yield [_copying(target, row, shift) for row in writes]
        if shift:
            yield from _sweep(target)  # checkpoints that were there already have other pieces now


def _shifted(frame: bytes, shift: int) -> bytes:
    return layout.seal_record(layout.shifted(layout.open_record(frame), shift))


def _copying(ns: int, row: Sequence[Any], shift: int) -> Statement:
    checkpoint_id, *stored = row
    return _adding(ns, checkpoint_id, layout.shifted_task(layout.open_task(*stored), shift))
