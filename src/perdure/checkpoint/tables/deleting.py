"""Operations that delete and copy. Pieces are shared, so each is deleted only when nothing refers to it any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.checkpoint import layout
from perdure.checkpoint.records import TaskRecord, located
from perdure.checkpoint.rules import check_free
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.keeping import check_spaces_free
from perdure.checkpoint.tables.writing import namespace, opened, put_writes, set_apart, strip
from perdure.database.operation import Op, Rows
from perdure.errors import CorruptCheckpointError


def delete_thread(dialect: Dialect, thread_id: str) -> Op[None]:
    """Delete a thread's namespaces, its lease and its rules.

    Raises:
        ThreadHeldError: It is on hold.
    """
    names = ("delete_lease", "namespaces_of_thread", "rules", "delete_rules")
    _, rows, rules, _ = yield [(dialect.sql[name], (thread_id,)) for name in names]
    check_free(thread_id, rules)
    for ns, _ in rows:
        yield from _delete_namespace(dialect, ns)


def is_resting(dialect: Dialect, thread_id: str, before: str | None) -> Op[bool]:
    """Tell whether a thread has checkpoints, and none from an id on; so it is in any case if there is no id."""
    if before is None:
        return True
    [spaces] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    if not spaces:
        return False
    heads = yield [(dialect.sql["head"], (thread_id, checkpoint_ns)) for _, checkpoint_ns in spaces]
    return not any(rows and rows[0][0] is not None and rows[0][0] >= before for rows in heads)


def _delete_namespace(dialect: Dialect, ns: int) -> Op[None]:
    names = ("delete_namespace_checkpoints", "delete_namespace_writes", "delete_namespace_pieces", "delete_namespace")
    yield [(dialect.sql[name], (ns,)) for name in names]


def delete_for_runs(dialect: Dialect, run_ids: Sequence[str]) -> Op[None]:
    """Delete the checkpoints of runs, and the pieces that nothing refers to any more.

    Raises:
        ThreadHeldError: One of them is of a thread on hold.
    """
    sql = dialect.sql
    touched: set[int] = set()
    for run_id in run_ids:
        [rows] = yield [(sql["checkpoints_of_run"], (str(run_id),))]
        yield from check_spaces_free(dialect, {row[0] for row in rows} - touched)
        touched.update([row[0] for row in rows])
        for ns, checkpoint_id in rows:
            here = yield from dialect.of(ns)
            yield from set_apart(here, ns, checkpoint_id)
            yield dialect.deleting_checkpoint(ns, checkpoint_id)
            yield from forget_led(here, ns, checkpoint_id)
    for ns in sorted(touched):
        yield from sweep((yield from dialect.of(ns)), ns)


def forget_led(dialect: Dialect, ns: int, checkpoint_id: str) -> Op[None]:
    """Take the writes out of the first record behind deleted checkpoints, if they were on top of a deleted one."""
    [rows] = yield [(dialect.sql["from_checkpoint"], (ns, checkpoint_id))]
    for found_id, parent_id, frame in rows[:1]:
        outline = layout.open_row(dialect.sealing, frame, found_id)
        if outline.led and not (yield [(dialect.sql["has_checkpoint"], (ns, parent_id))])[0]:
            yield [strip(dialect, ns, found_id, outline)]


def sweep(dialect: Dialect, ns: int) -> Op[None]:
    """Delete the pieces of a namespace that nothing refers to, and an empty namespace; the dialect is at it."""
    sql = dialect.sql
    kept, writes, held = yield [(sql[f"{name}_of_namespace"], (ns,)) for name in ("records", "writes", "pieces")]
    if not kept:
        yield from _delete_namespace(dialect, ns)
        return
    used: set[int] = set()
    checkpoint_id = ""
    try:
        for checkpoint_id, *stored in writes:
            used |= layout.numbers_of_all({}, [layout.open_task(dialect.sealing, checkpoint_id, *stored)])
        for checkpoint_id, _, _, frame, *_ in kept:
            used |= layout.open_row(dialect.sealing, frame, checkpoint_id).numbers()
    except CorruptCheckpointError as e:
        [[where]] = yield [(sql["place_of_namespace"], (ns,))]
        raise located(e, (*where, checkpoint_id), "(its record or writes)") from e
    unused = dialect.unused([number for (number,) in held], used)
    yield [*[statement for number in unused for statement in dialect.deleting_piece(ns, number)], *dialect.settling(ns)]


def copy_thread(dialect: Dialect, source_id: str, target_id: str) -> Op[None]:
    """Copy all namespaces of a thread."""
    sql = dialect.sql
    [rows] = yield [(sql["namespaces_of_thread"], (source_id,))]
    for source, checkpoint_ns in rows:
        target = yield from namespace(dialect, target_id, checkpoint_ns)
        at_source, at_target = dialect.at(source_id, checkpoint_ns), dialect.at(target_id, checkpoint_ns)
        [[(shift,)], held] = yield [(sql[f"{name}_of_namespace"], (target,)) for name in ("next_piece", "records")]
        if held:  # what follows what may become another
            yield from _set_all_apart(at_source, source)
            yield from _set_all_apart(at_target, target)
        yield from _copy_pieces((at_source, source), (at_target, target), shift)
        found, writes = yield [(sql[f"{name}_of_namespace"], (source,)) for name in ("records", "writes")]
        for row in found:
            frame = row[3]
            if shift:
                record = yield from opened(at_source, source, frame, (source_id, checkpoint_ns, row[0]))
                led = layout.open_row(at_source.sealing, frame, row[0]).led
                led = [layout.shifted_task(task, shift) for task in led]
                frame = layout.seal_record(at_target.sealing, layout.shifted(record, shift), row[0], led)
            else:
                frame = _moved(at_source, at_target, frame, ("record", row[0]))
            yield [(sql["add_checkpoint"], (target, *row[:3], frame, *row[4:]))]
        tasks = _copied(at_source, writes, shift)
        adding = [at_target.adding_task(target, checkpoint_id, task) for checkpoint_id, task in tasks]
        replies = yield [*adding, *dialect.settling(target)]
        for (checkpoint_id, task), reply in zip(tasks, replies, strict=False):
            if not reply:  # the target's checkpoint has writes of this task
                yield from put_writes(dialect, target_id, checkpoint_ns, checkpoint_id, task)
        if shift:
            yield from sweep(at_target, target)  # checkpoints that were there already have other pieces now


_AT_ONCE = 256


def _copy_pieces(source: tuple[Dialect, Any], target: tuple[Dialect, Any], shift: int) -> Op[None]:
    """Copy a namespace's pieces: the database does it, unless they are bound to where they are."""
    (at_source, from_ns), (at_target, to_ns) = source, target
    if at_source.vault is None:
        yield [(at_source.sql["copy_pieces"], (from_ns, to_ns, shift))]
        return
    [held] = yield [(at_source.sql["pieces_of_namespace"], (from_ns,))]
    for start in range(0, len(held), _AT_ONCE):
        [rows] = yield [at_source.asking_pieces([(from_ns, number) for (number,) in held[start : start + _AT_ONCE]])]
        moved = [
            (number + shift, _moved(at_source, at_target, data, ("piece", number), ("piece", number + shift)))
            for _, number, data in rows
        ]
        yield [(at_target.sql["add_piece"], at_target.piece_row(to_ns, number, data)) for number, data in moved]


def _moved(
    source: Dialect,
    target: Dialect,
    data: bytes,
    place: tuple[str | int, ...],
    new: tuple[str | int, ...] | None = None,
) -> bytes:
    try:
        frame = source.sealing.open(data, *place)
    except CorruptCheckpointError as e:
        raise type(e)(f"{' '.join(map(str, place))}: {e.args[0]}", hint=e.hint) from e
    return target.sealing.close(frame, *(new or place))


def _set_all_apart(dialect: Dialect, ns: int) -> Op[None]:
    [rows] = yield [(dialect.sql["records_of_namespace"], (ns,))]
    for row in rows:
        yield from set_apart(dialect, ns, row[0])


def _copied(dialect: Dialect, rows: Rows, shift: int) -> list[tuple[str, TaskRecord]]:
    """Return the writes of all checkpoints, with the numbers that their pieces have got."""
    by_checkpoint: dict[str, list[Sequence[Any]]] = {}
    for checkpoint_id, *stored in rows:
        by_checkpoint.setdefault(checkpoint_id, []).append(stored)
    return [
        (checkpoint_id, layout.shifted_task(task, shift))
        for checkpoint_id, found in by_checkpoint.items()
        for task in layout.open_tasks(dialect.sealing, checkpoint_id, found)
    ]
