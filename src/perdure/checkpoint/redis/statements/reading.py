"""Statements that only read, whatever a view has changed: scripts of one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from perdure.checkpoint.address import Scope
from perdure.checkpoint.redis.keys import Space, decoded, encoded, opened_row, opened_state
from perdure.checkpoint.redis.statements.answering import MANY, answers, script, space_of
from perdure.checkpoint.redis.view import Belief, Reading, View
from perdure.checkpoint.tables.dialect import Cursor
from perdure.errors import CorruptCheckpointError

ONE: Final = script("one")
PAGE: Final = script("page")


@answers
def one_checkpoint(view: View, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Reading:
    """Return the checkpoint's row, and those of its writes with None in front."""
    asked = b"0" if checkpoint_id is None else b"1" + encoded(checkpoint_id)
    rows, order, _ = view.keys.of(thread_id)
    # Only what is to be forgotten at all: a thread with rules of its own isn't.
    renewing = [("PEXPIRE", key, view.life.ttl, "XX") for key in (rows, order)] if view.life.is_renewed else []
    reply, *_ = yield [(ONE, 2, rows, order, b"n" + encoded(checkpoint_ns), asked), *renewing]
    if len(reply) < 2:
        if reply and checkpoint_id is None:
            raise CorruptCheckpointError(
                f"thread {thread_id!r}, namespace {checkpoint_ns!r}: the head is missing", thread_id=thread_id
            )
        return []
    state, found_id, row = opened_state(reply[0]), decoded(reply[1]), reply[2]
    space = space_of(thread_id, checkpoint_ns, state)
    if found_id == state.head:
        view.seen[space[:2]] = Belief(reply[0], row)
    parent_id, _, frame = opened_row(row, 3, space, found_id)
    return [(space, found_id, parent_id, frame), *[(None, *one) for one in _writes(space, found_id, reply)]]


def _writes(space: Space, checkpoint_id: str, reply: Sequence[bytes]) -> list[Any]:
    found: list[Any] = [
        (decoded(task_id), *opened_row(data, 2, space, checkpoint_id))
        for task_id, data in zip(reply[5::2], reply[6::2], strict=True)
    ]
    if reply[3]:
        parent_id, _, frame = opened_row(reply[4], 3, space, decoded(reply[3]))
        if parent_id == checkpoint_id:
            found.append((decoded(reply[3]), None, frame))
    return found


@answers
def writes_of_checkpoint(view: View, space: Space, checkpoint_id: str) -> Reading:
    rows = yield from one_checkpoint(view, *space[:2], checkpoint_id)
    return [row[1:] for row in rows[1:]] if rows and rows[0][0] == space else []


@answers
def page(view: View, scope: Scope, cursor: Cursor, size: int, again: Any = None) -> Reading:
    """Return the next checkpoints of a walk, the newest first; of all threads, if the scope names none.

    What was missing at the last look is in `again`.
    """
    thread_ids = [scope.thread_id] if scope.thread_id is not None else [row[0] for row in (yield from threads(view))]
    only = b"*" if scope.checkpoint_ns is None else b"n" + encoded(scope.checkpoint_ns)
    # One more: that of the cursor itself may be among them.
    asked = (only, encoded(cursor.checkpoint_id or ""), encoded(scope.checkpoint_id or ""), size + 1)
    found: list[tuple[str, Space]] = []
    for at in range(0, len(thread_ids), MANY):
        some = thread_ids[at : at + MANY]
        replies = yield [(PAGE, 2, *view.keys.of(thread_id)[:2], *asked) for thread_id in some]
        for thread_id, spaces in zip(some, replies, strict=True):
            for field, state, ids in spaces:
                space = space_of(thread_id, decoded(field[1:]), opened_state(state))
                found += [(decoded(found_id), space) for found_id in ids]
        if cursor.checkpoint_id is not None:
            found = [one for one in found if (one[0], one[1] if cursor.ns else 0) < tuple(cursor)]  # type: ignore[operator]
        found = sorted(found, reverse=True)[:size]
    rows = yield from _rows_of_page(view, found)
    if missing := [one for one, row in zip(found, rows, strict=True) if row is None]:
        if missing == again:
            raise CorruptCheckpointError(
                f"checkpoint {missing[0][0]} is missing", thread_id=missing[0][1].thread_id, checkpoint_id=missing[0][0]
            )
        return (yield from page(view, scope, cursor, size, missing))  # deleted meanwhile: then they are gone now
    return [(space, *space[:2], found_id, row[0], row[2]) for (found_id, space), row in zip(found, rows, strict=True)]


def _rows_of_page(view: View, found: Sequence[tuple[str, Space]]) -> Reading:
    """Read the rows of checkpoints; None for those that aren't there."""
    fields: dict[str, list[bytes]] = {}
    for checkpoint_id, space in found:
        fields.setdefault(space.thread_id, []).append(space.field(b"c", checkpoint_id))
    if not fields:
        return []
    replies = yield [("HMGET", view.keys.of(thread_id)[0], *asked) for thread_id, asked in fields.items()]
    # The ids of a thread are in the order of `found`.
    read = {thread_id: iter(reply) for thread_id, reply in zip(fields, replies, strict=True)}
    rows = [next(read[space.thread_id]) for _, space in found]
    return [
        None if row is None else opened_row(row, 3, space, checkpoint_id)
        for (checkpoint_id, space), row in zip(found, rows, strict=True)
    ]


@answers
def threads(view: View, after: str | None = None, limit: int | None = None) -> Reading:
    """Return the ids of threads; those that have expired are left out."""
    found: list[Any] = []
    start = b"-" if after is None else b"(" + encoded(after)
    while limit is None or len(found) < limit:
        [members] = yield [("ZRANGEBYLEX", view.keys.threads, start, b"+", "LIMIT", 0, MANY)]
        if members:
            asked = [view.keys.of(decoded(member))[1] for member in members]
            states = yield [("ZRANGEBYLEX", order, b"[c", b"(d", "LIMIT", 0, 1) for order in asked]
            found += [(decoded(member),) for member, there in zip(members, states, strict=True) if there]
            start = b"(" + members[-1]
        if len(members) < MANY:
            break
    return found[:limit]
