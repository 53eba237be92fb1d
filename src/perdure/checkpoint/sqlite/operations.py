"""What the saver asks of the database, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ormsgpack import packb, unpackb

from perdure.checkpoint import deltas, records
from perdure.checkpoint.address import Scope
from perdure.checkpoint.base import ANY_HEAD, Lease
from perdure.checkpoint.chains import WHOLE, Change, Link, Tip, read, script_link, whole_link
from perdure.checkpoint.frames import seal, unseal
from perdure.checkpoint.operation import Op, Rows, Statement
from perdure.checkpoint.records import Blob, Prepared, TaskRecord
from perdure.checkpoint.sqltext import load_statements
from perdure.errors import ConflictError, CorruptCheckpointError

SQL = load_statements(Path(__file__).with_name("statements.sql"))

_INLINE = 64
"""Values of up to so many bytes lie in the checkpoint's own record."""

_PIECES = 1 << 32
"""Pieces a namespace may have; a piece's key is the namespace's number times this, plus its own number."""

_FAR = 4
"""Length of a reference to pieces."""

_ROW = 700
"""Longest frame that lies in a row; longer ones are pieces, so that rows stay within one page of their tree (a quarter
of 4 KB)."""

_NOTHING = (None,) * 5

_SCAN = 100
"""Rows read at once by a walk."""

Ref = list[Any]
"""Where a value is. Small ones are here: [type, bytes]. Others: [type, checksum, numbers of the pieces, levels + 1]."""


class Record(NamedTuple):
    """What a checkpoint's row holds in its frame."""

    versions: dict[str, Any]
    refs: dict[str, Ref]
    header_type: str
    header: bytes

    def blob(self) -> Blob:
        """Return the header."""
        return self.header_type, self.header


def seal_record(record: Record) -> bytes:
    """Make a record's frame."""
    return seal("record", packb(list(record)))


def open_record(frame: bytes) -> Record:
    """Read a record's frame."""
    kind, content = unseal(frame)
    if kind != "record":
        raise CorruptCheckpointError(f"a checkpoint's row holds a {kind!r}")
    return Record(*unpackb(content))


class _Shelf:
    """Takes new pieces of a namespace, and numbers them."""

    def __init__(self, ns: int, last_piece: int | None) -> None:
        self._next = ns * _PIECES if last_piece is None else last_piece + 1
        self.statements: list[Statement] = []

    def add(self, frame: bytes) -> int:
        """Take a piece; return its number."""
        piece = self._next
        self.statements.append((SQL["add_piece"], (piece, frame)))
        self._next += 1
        return piece % _PIECES

    def short(self, frame: bytes) -> bytes:
        """Return what is to lie in a row: the frame, or one that names the piece that it has become."""
        return frame if len(frame) <= _ROW else seal(_ELSEWHERE, packb(self.add(frame)))


_ELSEWHERE = "piece"
_ELSEWHERE_HEAD = bytes([len(_ELSEWHERE)]) + _ELSEWHERE.encode()


def _number_in(frame: bytes) -> int | None:
    """Return the number of the piece that a row's frame names; None if the content is here."""
    if not frame.startswith(_ELSEWHERE_HEAD, 8):
        return None
    number: int = unpackb(unseal(frame)[1])
    return number


def _fetch(ns: int, frame: bytes) -> Op[bytes]:
    """Return a row's frame, or the piece that it names."""
    number = _number_in(frame)
    if number is None:
        return frame
    [rows] = yield [(SQL["piece"], (ns * _PIECES + number,))]
    if not rows:
        raise CorruptCheckpointError("a piece is not in the database")
    found: bytes = rows[0][0]
    return found


def _seal_task(task: TaskRecord) -> bytes:
    return seal("writes", packb([list(write) for write in task.writes]))


def _open_task(task_id: str, task_path: str, frame: bytes) -> TaskRecord:
    return TaskRecord(task_id, task_path, [tuple(w) for w in unpackb(unseal(frame)[1])])


class Found(NamedTuple):
    """A stored checkpoint with its pieces and writes, as they lie in the database."""

    place: tuple[str, str, str]
    parent_id: str | None
    record: Record
    pieces: dict[int, Rows]
    tasks: Rows

    def tip(self, channel: str) -> Tip:
        """Put a channel's value together.

        Raises:
            CorruptCheckpointError: A piece is damaged or missing.
        """
        try:
            kind, first, *chain = self.record.refs[channel]
            if not chain:
                return Tip(kind, b"", first, ())
            links = tuple(self._link(n, level) for n, level in zip(*chain, strict=True))
            return Tip(kind, first, read(links, first), links)
        except CorruptCheckpointError as e:
            raise records.located(e, self.place, channel) from e

    def _link(self, number: int, level: int) -> Link:
        if not self.pieces[number]:
            raise CorruptCheckpointError("one of its pieces is not in the database")
        _, content = unseal(self.pieces[number][0][0])
        if level - 1 == WHOLE:
            return whole_link(content)
        return script_link(level - 1, deltas.unpack(content))

    def opened_tasks(self) -> list[TaskRecord]:
        """Open the writes' frames.

        Raises:
            CorruptCheckpointError: One is damaged.
        """
        try:
            return [_open_task(*row) for row in self.tasks]
        except CorruptCheckpointError as e:
            raise records.located(e, self.place, "(pending writes)") from e


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
    ns, last_piece, parent, stop = yield from _admit(one)
    if ns is None:
        return stop
    shelf = _Shelf(ns, last_piece)
    rows = [_adding(ns, one.parent_id, task, shelf) for task in one.tasks]
    if one.checkpoint_id is not None:
        rows.append((yield from _adding_checkpoint(ns, one, parent, shelf)))
    replies = yield [*rows, *shelf.statements]
    for task, added in zip(one.tasks, replies, strict=False):
        if not added:
            yield from _merge(ns, one.parent_id, task)
    return stop


def _admit(one: Prepared) -> Op[tuple[int | None, int | None, bytes | None, bool]]:
    """Check that a commit may be stored.

    Returns:
        The namespace's number (None: it is stored already), its last piece, the parent's record, and whether the
        lease's holder shall stop.
    """
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
        return None, None, None, stop  # a retry after a lost reply
    if one.expected_head is not ANY_HEAD:
        records.check_head(one, head)
    if ns is None:
        [[(ns,)]] = yield [(SQL["add_namespace"], where)]
    return ns, last_piece, parent, stop


def _adding_checkpoint(ns: int, one: Prepared, parent: bytes | None, shelf: _Shelf) -> Op[Statement]:
    """Make the statement that stores a checkpoint; its pieces go to the shelf."""
    assert one.header is not None
    assert one.checkpoint_id is not None
    versions: dict[str, Any] | None = None
    old: dict[str, Ref] = {}
    if parent is not None:
        versions, old, *_ = open_record((yield from _fetch(ns, parent)))
    refs, stored, missing = records.inherit(one, versions, old)
    if missing:
        yield from _find_earlier(ns, one.checkpoint_id, refs, missing)
    for channel, change in stored.items():
        if len(change.value) <= _INLINE:
            refs[channel] = [change.kind, change.value]
        else:
            refs[channel] = _chained(change, old.get(channel), shelf)
    record = shelf.short(seal_record(Record(one.versions, refs, *one.header)))
    return SQL["add_checkpoint"], (ns, one.checkpoint_id, one.parent_id, one.run_id, record)


def _chained(change: Change, old: Ref | None, shelf: _Shelf) -> Ref:
    """Put a new piece behind a chain."""
    if change.link.level == WHOLE:
        return [change.kind, change.digest, [shelf.add(seal(change.kind, change.value))], b"\x00"]
    if old is None or len(old) != _FAR or not change.fits(old[1], old[3]):
        return _chained(change.made_whole(), None, shelf)
    number = shelf.add(seal("script", deltas.pack(change.link.script)))
    levels = old[3][: change.keep] + bytes([change.link.level + 1])
    return [change.kind, change.digest, [*old[2][: change.keep], number], levels]


def _find_earlier(ns: int, newer: str, refs: dict[str, Ref], missing: dict[str, Any]) -> Op[None]:
    """Look in older checkpoints for the values that the parent lacks, and move them from `missing` to `refs`."""
    rows: Rows = ()
    while missing and (not rows or len(rows) == _SCAN):
        [rows] = yield [(SQL["older_records"], (ns, newer, _SCAN))]
        if not rows:
            return
        for _, frame in rows:
            record = open_record((yield from _fetch(ns, frame)))
            for channel in [c for c, version in missing.items() if record.versions.get(c) == version]:
                if channel in record.refs:
                    refs[channel] = record.refs[channel]
                    del missing[channel]
        newer = rows[-1][0]


def _adding(ns: int, checkpoint_id: str | None, task: TaskRecord, shelf: _Shelf) -> Statement:
    row = (ns, checkpoint_id, task.task_id, task.task_path, shelf.short(_seal_task(task)))
    return SQL["add_writes"], row


def _merge(ns: int, checkpoint_id: str | None, task: TaskRecord) -> Op[None]:
    """Add writes to those that the task has."""
    key = (ns, checkpoint_id, task.task_id)
    [[(frame,)]] = yield [(SQL["find_writes"], key)]
    old = _open_task(task.task_id, task.task_path, (yield from _fetch(ns, frame)))
    merged = task._replace(writes=records.merge_writes(old.writes, task.writes))
    if merged.writes != old.writes:
        shelf = yield from _shelf(ns)
        change = (SQL["change_writes"], (shelf.short(_seal_task(merged)), *key))
        yield [change, *shelf.statements]


def _shelf(ns: int) -> Op[_Shelf]:
    [[(last,)]] = yield [(SQL["last_piece_of_namespace"], (ns,))]
    return _Shelf(ns, last)


def put_writes(thread_id: str, checkpoint_ns: str, checkpoint_id: str, task: TaskRecord) -> Op[None]:
    """Store a task's writes."""
    ns = yield from _namespace(thread_id, checkpoint_ns)
    shelf = yield from _shelf(ns)
    added, *_ = yield [_adding(ns, checkpoint_id, task, shelf), *shelf.statements]
    if not added:
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
    if checkpoint_id is None:
        [rows] = yield [(SQL["latest_checkpoint"], (thread_id, checkpoint_ns))]
    else:
        [rows] = yield [(SQL["one_checkpoint"], (thread_id, checkpoint_ns, checkpoint_id))]
    if not rows:
        return None
    ns, found_id, parent_id, frame = rows[0]
    return (yield from _complete(ns, (thread_id, checkpoint_ns, found_id), parent_id, frame))


def _complete(ns: int, place: tuple[str, str, str], parent_id: str | None, frame: bytes) -> Op[Found]:
    """Read the pieces and writes of a checkpoint whose row was read."""
    try:
        record = open_record((yield from _fetch(ns, frame)))
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(its record)") from e
    numbers = [n for ref in record.refs.values() if len(ref) == _FAR for n in ref[2]]
    batch: list[Statement] = [(SQL["writes_of_checkpoint"], (ns, place[2]))]
    batch += [(SQL["piece"], (ns * _PIECES + n,)) for n in numbers]
    tasks, *pieces = yield batch
    near = []
    for task_id, path, data in tasks:
        near.append((task_id, path, (yield from _fetch(ns, data))))
    return Found(place, parent_id, record, dict(zip(numbers, pieces, strict=True)), near)


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
    found: list[Found] = []
    for ns, thread_id, checkpoint_ns, checkpoint_id, parent_id, frame in rows:
        cursor = Cursor(checkpoint_id, ns)
        if accept is None or accept(open_record((yield from _fetch(ns, frame)))):
            place = (thread_id, checkpoint_ns, checkpoint_id)
            found.append((yield from _complete(ns, place, parent_id, frame)))
            if len(found) == limit:
                return found, cursor
    return found, cursor if len(rows) == size else None


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
    used = {number for row in (*kept, *writes) if (number := _number_in(row[3])) is not None}
    for row in kept:
        record = open_record((yield from _fetch(ns, row[3])))
        used.update(number for ref in record.refs.values() if len(ref) == _FAR for number in ref[2])
    yield [(SQL["delete_piece"], (piece,)) for (piece,) in held if piece % _PIECES not in used]


def copy_thread(source_id: str, target_id: str) -> Op[None]:
    """Copy all namespaces of a thread."""
    [rows] = yield [(SQL["namespaces_of_thread"], (source_id,))]
    for source, checkpoint_ns in rows:
        target = yield from _namespace(target_id, checkpoint_ns)
        yield from _copy_namespace(source, target)


def _copy_namespace(source: int, target: int) -> Op[None]:
    """Copy pieces behind those of the target, then the rows, with the pieces' new numbers."""
    [[(last,)]] = yield [(SQL["last_piece_of_namespace"], (target,))]
    shift = 0 if last is None else last % _PIECES + 1
    _, rows, writes = yield [
        (SQL["copy_pieces"], (source, target, shift)),
        (SQL["records_of_namespace"], (source,)),
        (SQL["writes_of_namespace"], (source,)),
    ]
    shelf = yield from _shelf(target)
    for *row, frame in rows:
        moved = frame
        if shift:
            moved = shelf.short(_shifted((yield from _fetch(source, frame)), shift))
        yield [(SQL["add_checkpoint"], (target, *row, moved))]
    for *row, frame in writes:
        number = _number_in(frame)
        moved = frame if number is None else seal(_ELSEWHERE, packb(number + shift))
        yield [(SQL["add_writes"], (target, *row, moved))]
    yield shelf.statements


def _shifted(frame: bytes, shift: int) -> bytes:
    """Change the numbers of the pieces in a record."""
    record = open_record(frame)
    for ref in record.refs.values():
        if len(ref) == _FAR:
            ref[2] = [number + shift for number in ref[2]]
    return seal_record(record)
