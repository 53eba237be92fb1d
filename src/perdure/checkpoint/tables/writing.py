"""Operations that store commits and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perdure.checkpoint import chains, layout, records
from perdure.checkpoint.base import ANY_HEAD, Lease
from perdure.checkpoint.chains import INLINE, Chain, Change, Value
from perdure.checkpoint.frames import CHECKSUM
from perdure.checkpoint.layout import Pieces, Record, Ref
from perdure.checkpoint.operation import Op, Rows, Statement
from perdure.checkpoint.records import Prepared, TaskRecord
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.sights import Known
from perdure.errors import ConflictError, CorruptCheckpointError

SCAN = 100
"""Rows read at once by a search."""

_NOTHING = (None, None, 0, None, False)


def commit(dialect: Dialect, prepared: Sequence[Prepared]) -> Op[bool]:
    """Store commits in their order; tell whether a holder shall stop."""
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
        before = None if parent is None or one.checkpoint_id is None else _parent(one, parent)
    else:
        ns, head, number, before, _ = known
    batch: list[Statement] = []
    fresh: Mapping[str, Value] = {}
    if one.checkpoint_id is not None:
        record, fresh, pieces = yield from made(dialect, ns, one, before, number)
        for frame in pieces:
            batch.append(dialect.adding_piece(ns, number, frame))
            number += 1
        is_head = not one.replaces and (head is None or head < one.checkpoint_id)
        # Who has been asked to stop is told so at each commit: so the lease must be looked at each time.
        known = Known(ns, one.checkpoint_id, number, record, one.lease) if is_head and not stop else None
        dialect.remember(one, known)
        batch.append(dialect.adding_checkpoint(ns, one, layout.seal_record(record, one.checkpoint_id)))
    batch += dialect.advancing(ns, one, number)
    tasks = [layout.share(task, fresh) for task in one.tasks] if fresh else one.tasks
    batch += [dialect.adding_writes(ns, one, task) for task in tasks]
    replies = yield batch
    for task, reply in zip(reversed(tasks), reversed(replies), strict=False):
        if not reply:
            yield from _add(dialect, ns, one.parent_id, task)
    return stop


def _parent(one: Prepared, frame: bytes) -> Record:
    try:
        return layout.open_record(frame, one.parent_id or "")
    except CorruptCheckpointError as e:
        raise records.located(e, (one.thread_id, one.checkpoint_ns, one.parent_id or ""), "(its record)") from e


def made(
    dialect: Dialect, ns: int, one: Prepared, parent: Record | None, number: int
) -> Op[tuple[Record, dict[str, Value], list[bytes]]]:
    """Make a checkpoint's record.

    Args:
        dialect: The backend's.
        ns: The namespace's number.
        one: The commit, with a checkpoint.
        parent: The parent's record.
        number: Of the next piece.

    Returns:
        The record, the values that have chains, and the frames of the new pieces, which count from `number`.
    """
    parent_versions, parent_refs = (None, {}) if parent is None else (parent.versions, parent.refs)
    found = records.inherit(one, parent_versions, parent_refs)
    if found.missing:
        yield from _find_earlier(dialect, ns, one.checkpoint_id or "", found)
    fresh: dict[str, Value] = {}
    pieces: list[bytes] = []
    for channel, piece in found.stored.items():
        if not isinstance(piece, Change):
            if len(piece[1]) <= INLINE:
                found.refs[channel] = list(piece)
                continue
            piece = Change(Value(*piece))  # noqa: PLW2901
        ref, frame = yield from _extended(dialect, ns, piece, parent_refs.get(channel), number + len(pieces))
        found.refs[channel] = ref
        fresh[channel] = piece.value
        if frame is not None:
            pieces.append(frame)
    assert one.header is not None
    return Record(one.versions, found.refs, *one.header), fresh, pieces


def _extended(dialect: Dialect, ns: int, new: Change, held: Ref | None, number: int) -> Op[tuple[Ref, bytes | None]]:
    """Make the reference of a value that follows the parent's, and its new piece; None: it is the parent's."""
    value = new.value
    before: Chain | None = None
    if held is not None and layout.is_chain(held, value.kind):
        base = new.base
        before = base.chain if base is not None else None
        is_known = base is not None and base.ref is held and before is not None and before.place == ns
        if before is None or not (is_known or layout.is_at(before, ns, held)):
            base = yield from _read_base(dialect, ns, held)
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


def _read_base(dialect: Dialect, ns: int, ref: Ref) -> Op[Value | None]:
    """Read the parent's value, which wasn't at hand; None if it is damaged: then the new one is stored whole."""
    try:
        [rows] = yield [dialect.asking_pieces([(ns, number) for number in layout.numbers_of(ref)])]
        return Pieces({number: frame for _, number, frame in rows}, ns).value(ref)
    except CorruptCheckpointError:
        return None


def _find_earlier(dialect: Dialect, ns: int, before: str, found: records.Inheritance[Ref]) -> Op[None]:
    """Look in older checkpoints for the values that the parent lacks."""
    while found.missing:
        [rows] = yield [(dialect.sql["older_records"], (ns, before, SCAN))]
        for before, frame in rows:  # noqa: PLR1704 - the last one is where the next page begins
            record = layout.open_record(frame, before)
            for channel, version in list(found.missing.items()):
                if record.versions.get(channel) == version and channel in record.refs:
                    found.refs[channel] = record.refs[channel]
                    del found.missing[channel]
        if len(rows) < SCAN:
            return


def _add(dialect: Dialect, ns: int, checkpoint_id: str | None, task: TaskRecord) -> Op[None]:
    """Store a task's writes, or add them to those that it has."""
    [reply] = yield [dialect.adding_task(ns, checkpoint_id, task)]
    if reply:
        return
    key = (ns, checkpoint_id, task.task_id)
    [[(frame,)]] = yield [(dialect.sql["find_writes"], key)]
    old = layout.open_task(checkpoint_id or "", task.task_id, task.task_path, frame)
    merged = task._replace(writes=records.merge_writes(old.writes, task.writes))
    if merged.writes != old.writes:
        yield [(dialect.sql["change_writes"], (layout.seal_task(merged, checkpoint_id), *key))]


def put_writes(dialect: Dialect, thread_id: str, checkpoint_ns: str, checkpoint_id: str, task: TaskRecord) -> Op[None]:
    """Store a task's writes."""
    ns = yield from namespace(dialect, thread_id, checkpoint_ns)
    yield from _add(dialect, ns, checkpoint_id, task)


def namespace(dialect: Dialect, thread_id: str, checkpoint_ns: str) -> Op[int]:
    """Find a namespace's number, or make one."""
    [rows] = yield [(dialect.sql["find_namespace"], (thread_id, checkpoint_ns))]
    if not rows:
        [rows] = yield [(dialect.sql["add_namespace"], (thread_id, checkpoint_ns))]
    ns: int = rows[0][0]
    return ns
