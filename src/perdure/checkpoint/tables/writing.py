"""Operations that store commits and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ormsgpack import packb

from perdure.checkpoint import chains, layout, records
from perdure.checkpoint.base import ANY_HEAD, Lease
from perdure.checkpoint.chains import INLINE, Chain, Change, Value
from perdure.checkpoint.frames import CHECKSUM
from perdure.checkpoint.layout import Outline, Pieces, Record, Ref
from perdure.checkpoint.records import Prepared, TaskRecord
from perdure.checkpoint.sealing import Sealing
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.sights import Known
from perdure.database.operation import Op, Rows, Statement
from perdure.errors import ConflictError, CorruptCheckpointError
from perdure.tuples import build

SCAN = 100
"""Rows read at once by a search."""

_NOTHING = (None, None, 0, None, False)


def commit(dialect: Dialect, prepared: Sequence[Prepared]) -> Op[bool]:
    """Store commits in their order; tell whether a holder shall stop."""
    return _commit_one(dialect, prepared[0]) if len(prepared) == 1 else _commit_all(dialect, prepared)


def _commit_all(dialect: Dialect, prepared: Sequence[Prepared]) -> Op[bool]:
    stop = False
    for one in prepared:
        stop = (yield from _commit_one(dialect, one)) or stop
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


def _commit_one(dialect: Dialect, one: Prepared) -> Op[bool]:
    if dialect.vault is not None:
        dialect = dialect.at(one.thread_id, one.checkpoint_ns)
    stop = False
    known = dialect.recalled(one)
    if known is None:
        asking = dialect.asking_guard(one)
        if one.lease is not None:
            asking.insert(0, (dialect.sql["lease"], (one.lease.thread_id,)))
        replies = yield asking
        if one.lease is not None:
            stop = _check_lease(one.lease, replies[0])
        ns, head, number, parent, done = replies[-1][0] if replies[-1] else _NOTHING
        if done and not one.replaces:
            return stop  # a retry after a lost reply
        if one.expected_head is not ANY_HEAD:
            records.check_head(one, head)
        if ns is None:
            [[(ns,)]] = yield [(dialect.sql["add_namespace"], (one.thread_id, one.checkpoint_ns))]
        before = None
        if parent is not None and one.checkpoint_id is not None:
            before = yield from opened(dialect, ns, parent, (one.thread_id, one.checkpoint_ns, one.parent_id or ""))
    else:
        ns, head, number, before, _ = known
    if one.checkpoint_id is None:
        yield from add_tasks(dialect, ns, one.parent_id, one.tasks, is_head=one.parent_id == head)
        return stop
    is_head = not one.replaces and (head is None or head < one.checkpoint_id)
    if not is_head:
        yield from set_apart(dialect, ns, one.checkpoint_id)
    follows = is_head and head is not None and one.parent_id == head
    record, led, pieces, tasks = yield from made(dialect, ns, one, before, number, leads=follows)
    frame = layout.seal_record(dialect.sealing, record, one.checkpoint_id, led)
    batch, number = dialect.storing(ns, one, frame, pieces, number, is_new=is_head)
    # Who has been asked to stop is told so at each commit: so the lease must be looked at each time.
    keeps = is_head and not stop
    dialect.remember(one, build(Known, (ns, one.checkpoint_id, number, record, one.lease)) if keeps else None)
    batch += dialect.advancing(ns, one, number)
    yield batch
    if tasks:
        yield from add_tasks(dialect, ns, one.parent_id, tasks, is_head=follows)
    return stop


def opened(dialect: Dialect, ns: int, frame: bytes, place: tuple[str, str, str]) -> Op[Record]:
    """Read a checkpoint's record from its row, and from pieces if it is long; the dialect is at its namespace.

    Raises:
        CorruptCheckpointError: It is damaged.
    """
    try:
        outline = layout.open_row(dialect.sealing, frame, place[2])
        if outline.record is not None:
            return outline.record
        [rows] = yield [dialect.asking_pieces([(ns, number) for number in outline.body()])]
        return outline.complete(Pieces({number: frame for _, number, frame in rows}, ns, dialect.sealing))
    except CorruptCheckpointError as e:
        raise records.located(e, place, "(its record)") from e


def made(
    dialect: Dialect, ns: int, one: Prepared, parent: Record | None, number: int, *, leads: bool
) -> Op[tuple[Record, Sequence[TaskRecord], list[bytes], Sequence[TaskRecord]]]:
    """Make a checkpoint's record.

    Args:
        dialect: The backend's, at the namespace.
        ns: The namespace's number.
        one: The commit, with a checkpoint.
        parent: The parent's record.
        number: Of the next piece.
        leads: Whether the parent is the head, so that the row may take up the writes that led here.

    Returns:
        The record, the writes that lie in its row, the frames of the new pieces, which count from `number`, and the
        writes that don't.
    """
    parent_versions, parent_refs = (None, {}) if parent is None else (parent.versions, parent.refs)
    refs, stored, missing = records.inherit(one, parent_versions, parent_refs)
    if missing:
        yield from _find_earlier(dialect, ns, one, refs, missing)
    fresh: dict[str, Value] = {}
    pieces: list[bytes] = []
    for channel, piece in stored.items():
        if piece is None:
            refs.pop(channel, None)
            continue
        if not isinstance(piece, Change):
            if len(piece[1]) <= INLINE:
                refs[channel] = piece
                continue
            piece = Change(Value(*piece))  # noqa: PLW2901
        held = parent_refs.get(channel)
        if held is None or not layout.is_chain(held, piece.value.kind):
            held = before = None
        elif (before := _guessed(piece, held, ns)) is None:
            base = yield from _read_base(dialect, ns, held)
            before = base.chain if base is not None else None
            piece = chains.change(piece.value, base)  # noqa: PLW2901
        frame = _extend(dialect.sealing, piece, before, held, (number + len(pieces), ns))
        refs[channel] = piece.value.ref
        fresh[channel] = piece.value
        if frame is not None:
            pieces.append(frame)
    assert one.header is not None
    tasks = [layout.share(task, fresh) for task in one.tasks] if fresh else one.tasks
    led: Sequence[TaskRecord] = ()
    if leads and tasks and layout.fits_in_record(tasks):
        led, tasks = tasks, ()
    record = build(Record, (one.versions, refs, *one.header, None))
    if len(one.header[1]) + _CHANNEL_COSTS * len(one.versions) > layout.LEAST_BODY:
        record, frame = _with_body(dialect.sealing, record, parent, (number + len(pieces), ns))
        if frame is not None:
            pieces.append(frame)
    return record, led, pieces, tasks


_CHANNEL_COSTS = 16


def _with_body(
    sealing: Sealing, record: Record, parent: Record | None, where: tuple[int, int]
) -> tuple[Record, bytes | None]:
    """Store a record as a value that follows its parent's; return it and its piece, None if it is the parent's."""
    body = Value(layout.BODY, packb(record[:4]))
    base = parent.body if parent is not None else None
    if base is None or base.chain is None or base.chain.place != where[1]:
        base = None
    new = chains.change(body, base)
    frame = _extend(sealing, new, base.chain if base else None, base.ref if base else None, where)
    return record._replace(body=body), frame


def _guessed(new: Change, held: Ref, ns: int) -> Chain | None:
    """Return the chain of what the parent is thought to have, if that is what it has."""
    base = new.base
    if base is None or base.chain is None or base.chain.place != ns:
        return None
    return base.chain if base.ref is held or layout.is_at(base.chain, ns, held) else None


def _extend(
    sealing: Sealing, new: Change, before: Chain | None, held: Ref | None, where: tuple[int, int]
) -> bytes | None:
    """Give a value its chain and reference, and return its new piece; None: it is the parent's value.

    Args:
        sealing: Closes the piece.
        new: The value.
        before: The parent's chain, None if there is none to go on from.
        held: The reference to that.
        where: The number of the new piece, and the namespace's.
    """
    value = new.value
    if before is not None and new.script is not None and not new.script.hunks:
        value.chain, value.ref = before, held
        return None
    found = chains.following(before, new)
    frame = layout.seal_piece(value.kind, found)
    chain = chains.linked(before, found, value, where, frame[:CHECKSUM])
    value.chain, value.ref = chains.without_whole(chain), layout.ref_after(held if before else None, chain)
    return sealing.close(frame, "piece", where[0])


def _read_base(dialect: Dialect, ns: int, ref: Ref) -> Op[Value | None]:
    """Read the parent's value, which wasn't at hand; None if it is damaged: then the new one is stored whole."""
    try:
        [rows] = yield [dialect.asking_pieces([(ns, number) for number in layout.numbers_of(ref)])]
        return Pieces({number: frame for _, number, frame in rows}, ns, dialect.sealing).value(ref)
    except CorruptCheckpointError:
        return None


def _find_earlier(dialect: Dialect, ns: int, one: Prepared, refs: dict[str, Ref], missing: dict[str, Any]) -> Op[None]:
    """Look in older checkpoints for the values that the parent lacks; move what is found from `missing` to `refs`."""
    before = one.checkpoint_id or ""
    while missing:
        [rows] = yield [(dialect.sql["older_records"], (ns, before, SCAN))]
        for before, frame in rows:
            record = yield from opened(dialect, ns, frame, (one.thread_id, one.checkpoint_ns, before))
            for channel, version in list(missing.items()):
                if record.versions.get(channel) == version and channel in record.refs:
                    refs[channel] = record.refs[channel]
                    del missing[channel]
        if len(rows) < SCAN:
            return


def set_apart(dialect: Dialect, ns: int, checkpoint_id: str) -> Op[None]:
    """Give the writes that lie in a record rows of their own: of this checkpoint, or else of the one that follows it.

    Needed before the checkpoint is replaced, deleted, or put in front of one whose parent it isn't. The dialect is at
    the namespace.
    """
    [rows] = yield [(dialect.sql["from_checkpoint"], (ns, checkpoint_id))]
    for found_id, parent_id, frame in rows[:1]:
        outline = layout.open_row(dialect.sealing, frame, found_id)
        if outline.led:
            yield [strip(dialect, ns, found_id, outline)]
            yield from add_tasks(dialect, ns, parent_id, outline.led, is_head=True)


def strip(dialect: Dialect, ns: int, checkpoint_id: str, outline: Outline) -> Statement:
    """Return what takes the writes out of a stored record; the dialect is at its namespace."""
    frame = layout.seal_without_led(dialect.sealing, outline, checkpoint_id)
    return dialect.sql["change_record"], (frame, ns, checkpoint_id)


def add_tasks(
    dialect: Dialect, ns: int, checkpoint_id: str | None, tasks: Sequence[TaskRecord], *, is_head: bool
) -> Op[None]:
    """Store tasks' writes in rows of their own; add them to those that the tasks have.

    Args:
        dialect: The backend's, at the namespace.
        ns: The namespace's number.
        checkpoint_id: What they are on top of.
        tasks: The writes.
        is_head: Whether no checkpoint follows this one whose record may have writes of the same tasks.
    """
    if not is_head:
        [rows] = yield [(dialect.sql["from_checkpoint"], (ns, checkpoint_id))]
        for found_id, parent_id, _ in rows:
            if parent_id == checkpoint_id:
                yield from set_apart(dialect, ns, found_id)
    replies = yield [dialect.adding_task(ns, checkpoint_id, task) for task in tasks]
    for task, reply in zip(tasks, replies, strict=True):
        if not reply:
            yield from _merge(dialect, ns, checkpoint_id, task)


def _merge(dialect: Dialect, ns: int, checkpoint_id: str | None, task: TaskRecord) -> Op[None]:
    key = (ns, checkpoint_id, task.task_id)
    [[(task_path, frame)]] = yield [(dialect.sql["find_writes"], key)]
    old = layout.open_task(dialect.sealing, checkpoint_id or "", task.task_id, task_path, frame)
    merged = old._replace(writes=records.merge_writes(old.writes, task.writes))
    if merged.writes != old.writes:
        yield [(dialect.sql["change_writes"], (layout.seal_task(dialect.sealing, merged, checkpoint_id), *key))]


def put_writes(dialect: Dialect, thread_id: str, checkpoint_ns: str, checkpoint_id: str, task: TaskRecord) -> Op[None]:
    """Store a task's writes."""
    dialect = dialect.at(thread_id, checkpoint_ns)
    ns = yield from namespace(dialect, thread_id, checkpoint_ns)
    yield from add_tasks(dialect, ns, checkpoint_id, [task], is_head=False)


def namespace(dialect: Dialect, thread_id: str, checkpoint_ns: str) -> Op[int]:
    """Find a namespace's number, or make one."""
    [rows] = yield [(dialect.sql["find_namespace"], (thread_id, checkpoint_ns))]
    if not rows:
        [rows] = yield [(dialect.sql["add_namespace"], (thread_id, checkpoint_ns))]
    ns: int = rows[0][0]
    return ns
