"""Operations that only Postgres has: commits in one round trip, and leases by the server's clock.

A commit of the engine is made from what this process last saw of its namespace: the head, its record, and the number of
the next piece. So it can be sent as one statement that first compares those, and stores nothing if they differ. Then,
and for all other commits, the shared operation asks first and tells what is wrong, or does what had to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from perdure.checkpoint import layout
from perdure.checkpoint.base import ANY_HEAD, Lease
from perdure.checkpoint.chains import Change, Value
from perdure.checkpoint.layout import Record
from perdure.checkpoint.liveness import is_dead
from perdure.checkpoint.records import Prepared, TaskRecord
from perdure.checkpoint.tables import writing
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.sights import Known, Sights
from perdure.database.operation import Op, Statement
from perdure.database.postgres.adapting import Blobs, Numbers, Texts
from perdure.errors import CorruptCheckpointError

_NOT_YET = 0
"""Stands for the number of a namespace that is being made; real ones count from 1."""


def may_append(prepared: Sequence[Prepared]) -> bool:
    """Tell whether commits have the form of an append: they go on from one another in one namespace."""
    first = prepared[0] if prepared else None
    if first is None:
        return False
    parent_id = first.parent_id
    for one in prepared:
        same = one.thread_id == first.thread_id and one.checkpoint_ns == first.checkpoint_ns
        if not same or one.parent_id != parent_id or one.lease != first.lease:
            return False
        if one.checkpoint_id is not None:
            parent_id = one.checkpoint_id
        elif one.expected_head is not ANY_HEAD:
            return False
    return True


class _Rows:
    """The rows of an append, by column."""

    def __init__(self) -> None:
        self.checkpoints: tuple[list[Any], ...] = (Texts(), Texts(), Texts(), Texts(), Blobs())
        self.pieces: tuple[list[Any], ...] = (Numbers(), Blobs())
        self.writes: tuple[list[Any], ...] = (Texts(), Texts(), Texts(), Blobs())

    @staticmethod
    def add(table: tuple[list[Any], ...], *values: Any) -> None:
        for column, value in zip(table, values, strict=True):
            column.append(value)


class _Appended(NamedTuple):
    """What an append stores, and what is known of the namespace if it succeeds."""

    rows: _Rows
    head: str | None
    number: int
    record: Record | None
    values: list[Value]


def append(dialect: Dialect, sights: Sights[Known], prepared: Sequence[Prepared]) -> Op[bool | None]:
    """Store commits whose namespace is as it was last seen, or new; tell whether a holder shall stop.

    Returns:
        None if nothing was stored, for whatever reason: the shared operation finds out.
    """
    first = prepared[0]
    key = (first.thread_id, first.checkpoint_ns)
    dialect = dialect.at(*key)
    known = sights.get(key)
    if known is None:
        if first.parent_id is None and first.checkpoint_id is not None and first.expected_head in {None, ANY_HEAD}:
            stop = yield from _begin(dialect, sights, prepared)
            if stop is not None:
                return stop
        known = yield from _look(dialect, key)
    made = None if known is None else (yield from _appended(dialect, known, prepared))
    if known is None or made is None:
        return None
    [rows] = yield [_appending(dialect, first.lease, known, made)]
    if not rows:
        sights.note(key, None)
        return None
    sights.note(key, Known(known.ns, *made[1:4]))
    return bool(rows[0][0])


def _begin(dialect: Dialect, sights: Sights[Known], prepared: Sequence[Prepared]) -> Op[bool | None]:
    """Store the first commits of a namespace; None if it was there already, or the lease is lost."""
    first = prepared[0]
    key = (first.thread_id, first.checkpoint_ns)
    made = yield from _appended(dialect, Known(_NOT_YET, None, 0, None), prepared)
    if made is None:
        return None
    held = first.lease or (None, None, None)
    tables = (*made.rows.checkpoints, *made.rows.pieces, *made.rows.writes)
    [rows] = yield [(dialect.sql["begin"], (*held, *key, made.head, made.number, *tables))]
    if not rows:
        return None
    [(ns, stop)] = rows
    for value in made.values:
        if value.chain is not None:
            value.chain = value.chain._replace(place=ns)
    sights.note(key, Known(ns, *made[1:4]))
    return bool(stop)


def _look(dialect: Dialect, key: tuple[str, str]) -> Op[Known | None]:
    [rows] = yield [(dialect.sql["known"], key)]
    if not rows:
        return None
    ns, head, number, frame = rows[0]
    if frame is None:
        return Known(ns, head, number, None)
    try:
        return Known(ns, head, number, (yield from writing.opened(dialect, ns, frame, (*key, head))))
    except CorruptCheckpointError:  # or deleted just now; who asks under the lock will see
        return None


def _appended(dialect: Dialect, known: Known, prepared: Sequence[Prepared]) -> Op[_Appended | None]:
    """Make the rows; None if the commits don't go on from what is known."""
    ns, head, number, record, _ = known
    rows = _Rows()
    values: list[Value] = []
    for one in prepared:
        tasks: Sequence[TaskRecord] = one.tasks
        if one.checkpoint_id is not None:
            if not _follows(one, head):
                return None
            follows = head is not None
            record, led, pieces, tasks = yield from writing.made(dialect, ns, one, record, number, leads=follows)
            for frame in pieces:
                rows.add(rows.pieces, number, frame)
                number += 1
            head = one.checkpoint_id
            stored = (*one.pieces.values(), *one.offered.values())
            values += [piece.value for piece in stored if isinstance(piece, Change)]
            values += [record.body] if record.body is not None else ()
            frame = layout.seal_record(dialect.sealing, record, head, led)
            rows.add(rows.checkpoints, head, one.parent_id, one.run_id, one.searched, frame)
        elif one.parent_id != head:
            return None
        for task in tasks:
            frame = layout.seal_task(dialect.sealing, task, one.parent_id)
            rows.add(rows.writes, one.parent_id, task.task_id, task.task_path, frame)
    if len(set(zip(*rows.writes[:2], strict=True))) < len(rows.writes[0]):
        return None  # a task's writes in two parts
    return _Appended(rows, head, number, record, values)


def _follows(one: Prepared, head: str | None) -> bool:
    """Tell whether a commit's checkpoint goes on from the head."""
    expected = head if one.expected_head is ANY_HEAD else one.expected_head
    return one.parent_id == head == expected and (head is None or (one.checkpoint_id or "") > head)


def _appending(dialect: Dialect, lease: Lease | None, known: Known, made: _Appended) -> Statement:
    held = lease or (None, None, None)
    rows = made.rows
    if made.head == known.head:
        return dialect.sql["append_writes"], (*held, known.ns, known.head, *rows.writes)
    guard = (known.ns, known.head, known.number, made.head, made.number)
    return dialect.sql["append"], (*held, *guard, *rows.checkpoints, *rows.pieces, *rows.writes)


# -- leases


def acquire(dialect: Dialect, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
    """Take a lease that is free, expired, held by a dead process of this machine, or held by this holder."""
    sql = dialect.sql
    [rows] = yield [(sql["acquire_lease"], (thread_id, holder, ttl))]
    if not rows:
        [found] = yield [(sql["lease_holder"], (thread_id,))]
        if found and is_dead(found[0][0]):
            [rows] = yield [(sql["inherit_lease"], (thread_id, holder, ttl, *found[0]))]
    return Lease(thread_id, holder, rows[0][0]) if rows else None
