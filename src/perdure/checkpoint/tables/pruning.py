"""Operations that make threads smaller, and those that only tell what would go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

from perdure.checkpoint import layout, records
from perdure.checkpoint.pruning import Pruned, PruningRule
from perdure.checkpoint.records import located
from perdure.checkpoint.rules import check_free
from perdure.checkpoint.sealing import Sealing
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables.deleting import delete_thread, forget_led, is_resting, sweep
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.keeping import check_all_free
from perdure.checkpoint.tables.writing import opened, set_apart
from perdure.database.operation import Op, Rows
from perdure.errors import CorruptCheckpointError

T = TypeVar("T")

_AT_ONCE: Final = 500


class _Plan(NamedTuple):
    """What goes of a namespace.

    Attributes:
        gone: Ids of checkpoints, in ascending order.
        orphans: Ids of checkpoints that aren't there, whose writes go.
        following: Checkpoints that stay and come behind one that goes.
        parents: Of all checkpoints, by id.
    """

    gone: Sequence[str]
    orphans: Sequence[str]
    following: Sequence[str]
    parents: Mapping[str, str | None]


def prune(dialect: Dialect, serde: SerializerProtocol, rule: PruningRule, thread_ids: Sequence[str]) -> Op[Pruned]:
    """Make threads smaller, or delete those that rest.

    Raises:
        ThreadHeldError: One of them is on hold: then none is changed.
    """
    asked = sorted(set(map(str, thread_ids)))
    if len(asked) > 1:  # one is looked at in any case, before anything of it is changed
        yield from check_all_free(dialect, asked)
    done = Pruned()
    for thread_id in asked:
        if rule.deletes:
            done = done.plus((yield from _delete(dialect, thread_id, rule.before)))
            continue
        spaces, rules = yield [(dialect.sql[name], (thread_id,)) for name in ("namespaces_of_thread", "rules")]
        check_free(thread_id, rules)  # again: the namespaces are locked now
        count = 0
        for ns, checkpoint_ns in spaces:
            here = dialect.at(thread_id, checkpoint_ns)
            plan = yield from _plan(here, serde, rule, ns, (thread_id, checkpoint_ns))
            yield from _carry_out(here, ns, plan)
            count += len(plan.gone)
        done = done.plus(Pruned(int(count > 0), count))
    return done


def measure(dialect: Dialect, serde: SerializerProtocol, rule: PruningRule, thread_ids: Sequence[str]) -> Op[Pruned]:
    """Tell what `prune` would do, threads on hold included; change nothing."""
    done = Pruned(bytes=0)
    for thread_id in sorted(set(map(str, thread_ids))):
        if rule.deletes and not (yield from is_resting(dialect, thread_id, rule.before)):
            continue
        [spaces] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
        count = size = 0
        for ns, checkpoint_ns in spaces:
            here = dialect.at(thread_id, checkpoint_ns)
            names = ("records_of_namespace", "writes_of_namespace")
            rows, writes = yield [(dialect.sql[name], (ns,)) for name in names]
            if rule.deletes:
                gone = {row[0] for row in rows}
            else:
                gone = set((yield from _gone(here, serde, rule, ns, (thread_id, checkpoint_ns), rows)))
            count += len(gone)
            size += yield from _bytes(here, ns, rows, writes, gone)
        done = done.plus(Pruned(int(count > 0), count, size))
    return done


def _delete(dialect: Dialect, thread_id: str, before: str | None) -> Op[Pruned]:
    if not (yield from is_resting(dialect, thread_id, before)):
        return Pruned()
    [spaces] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    trees = yield [(dialect.sql["tree_of_namespace"], (ns,)) for ns, _ in spaces]
    yield from delete_thread(dialect, thread_id)
    return Pruned(int(bool(spaces)), sum(len(rows) for rows in trees))


# -- what goes


def _plan(dialect: Dialect, serde: SerializerProtocol, rule: PruningRule, ns: int, place: tuple[str, str]) -> Op[_Plan]:
    name = "records_of_namespace" if rule.filter else "tree_of_namespace"
    rows, writes = yield [(dialect.sql[name], (ns,)), (dialect.sql["writes_of_namespace"], (ns,))]
    parents = {row[0]: row[1] for row in rows}
    gone = yield from _gone(dialect, serde, rule, ns, place, rows)
    held = {row[0] for row in writes} - parents.keys()
    head = max(parents, default="")
    orphans = sorted(one for one in held if rule.is_orphan_gone(one, head))
    away = set(gone)
    following = [after for before, after in pairwise(sorted(parents)) if before in away and after not in away]
    return _Plan(gone, orphans, following, parents)


def _gone(
    dialect: Dialect, serde: SerializerProtocol, rule: PruningRule, ns: int, place: tuple[str, str], rows: Rows
) -> Op[list[str]]:
    """Return the ids that go; the rows are records if there is a filter."""
    tree = [(row[0], row[1]) for row in rows]
    if not rule.filter:
        return rule.gone(tree, lambda _: True)
    asked = set(rule.gone(tree, lambda _: True))
    matching: set[str] = set()
    for checkpoint_id, _, _, frame, *_ in rows:
        if checkpoint_id in asked:
            record = yield from opened(dialect, ns, frame, (*place, checkpoint_id))
            if records.matches(records.decode_header(serde, record.blob()).metadata, dict(rule.filter)):
                matching.add(checkpoint_id)
    return rule.gone(tree, matching.__contains__)


def _carry_out(dialect: Dialect, ns: int, plan: _Plan) -> Op[None]:
    """Delete what goes, and what nothing needs any more; what stays keeps its writes."""
    if not plan.gone and not plan.orphans:
        return
    away = set(plan.gone)
    for checkpoint_id in plan.gone:
        if plan.parents[checkpoint_id] in plan.parents and plan.parents[checkpoint_id] not in away:
            yield from set_apart(dialect, ns, checkpoint_id)  # its record may have writes of the parent, which stays
    for some in _parts(plan.gone):
        yield dialect.deleting_checkpoints(ns, some)
    if plan.orphans:
        yield [(dialect.sql["delete_writes_of_checkpoint"], (ns, one)) for one in plan.orphans]
    for checkpoint_id in plan.following:
        yield from forget_led(dialect, ns, checkpoint_id)
    yield from sweep(dialect, ns)


# -- what it takes


def _bytes(dialect: Dialect, ns: int, rows: Rows, writes: Rows, gone: set[str]) -> Op[int]:
    """Measure what goes: records, writes, and the pieces that only these need."""
    size = sum(len(row[3]) for row in rows if row[0] in gone)
    size += sum(len(data) for checkpoint_id, _, _, data in writes if checkpoint_id in gone)
    goes, stays = (_needed(dialect.sealing, rows, writes, gone, goes=goes) for goes in (True, False))
    freed = goes - stays
    for some in _parts(sorted(freed)):
        [read] = yield [dialect.asking_pieces([(ns, number) for number in some])]
        size += sum(len(frame) for _, _, frame in read)
    return size


def _parts(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    return (whole[at : at + _AT_ONCE] for at in range(0, len(whole), _AT_ONCE))


def _needed(sealing: Sealing, rows: Rows, writes: Rows, gone: set[str], *, goes: bool) -> set[int]:
    found: set[int] = set()
    for numbers in _numbers(sealing, rows, writes, gone, goes=goes):
        found |= numbers
    return found


def _numbers(sealing: Sealing, rows: Rows, writes: Rows, gone: set[str], *, goes: bool) -> Iterator[set[int]]:
    for row in rows:
        if (row[0] in gone) is goes:
            yield _of(row[0], lambda one: layout.open_row(sealing, one[3], one[0]).numbers(), row)
    for row in writes:
        if (row[0] in gone) is goes:
            yield _of(row[0], lambda one: layout.numbers_of_all({}, [layout.open_task(sealing, *one)]), row)


def _of(checkpoint_id: str, numbers: Any, row: Sequence[Any]) -> set[int]:
    try:
        found: set[int] = numbers(row)
    except CorruptCheckpointError as e:
        raise located(e, ("", "", checkpoint_id), "(its record or writes)") from e
    return found
