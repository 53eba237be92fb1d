"""Statements that only read, whatever a view has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.checkpoint.address import Scope
from perdure.checkpoint.rows.answering import MANY, answers, space_of
from perdure.checkpoint.rows.backend import Sight, together
from perdure.checkpoint.rows.keys import Space, decoded, encoded, opened_row, opened_state
from perdure.checkpoint.rows.view import Belief, Reading, View
from perdure.checkpoint.tables.dialect import Cursor
from perdure.errors import CorruptCheckpointError


@answers
def one_checkpoint(view: View, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Reading:
    """Return the checkpoint's row, and those of its writes with None in front."""
    sight: Sight | None = yield from view.backend.checkpoint(thread_id, checkpoint_ns, checkpoint_id)
    if sight is None or sight.row is None:
        if sight is not None and checkpoint_id is None:
            raise CorruptCheckpointError(
                f"thread {thread_id!r}, namespace {checkpoint_ns!r}: the head is missing", thread_id=thread_id
            )
        return []
    state, found_id = opened_state(sight.state), decoded(sight.checkpoint_id)
    space = space_of(thread_id, checkpoint_ns, state)
    if found_id == state.head:
        view.seen[space[:2]] = Belief(sight.state, sight.row)
    parent_id, _, frame = opened_row(sight.row, 3, space, found_id)
    return [(space, found_id, parent_id, frame), *[(None, *one) for one in _writes(space, found_id, sight)]]


def _writes(space: Space, checkpoint_id: str, sight: Sight) -> list[Any]:
    found: list[Any] = [
        (decoded(task_id), *opened_row(data, 2, space, checkpoint_id)) for task_id, data in sight.writes
    ]
    following_id, following = sight.following
    if following_id:
        parent_id, _, frame = opened_row(following, 3, space, decoded(following_id))
        if parent_id == checkpoint_id:
            found.append((decoded(following_id), None, frame))
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
    least, greatest = scope.checkpoint_id or "", cursor.checkpoint_id or None
    if scope.checkpoint_id:
        greatest = min(scope.checkpoint_id, greatest or scope.checkpoint_id)
    found: list[tuple[str, Space]] = []
    for at in range(0, len(thread_ids), MANY):
        some = thread_ids[at : at + MANY]
        # One more: that of the cursor itself may be among them.
        asked = [view.backend.newest(one, scope.checkpoint_ns, least, greatest, size + 1) for one in some]
        for thread_id, spaces in zip(some, (yield from together(asked)), strict=True):
            for name, state, ids in spaces:
                space = space_of(thread_id, decoded(name[1:]), opened_state(state))
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
    keys: dict[str, list[bytes]] = {}
    for checkpoint_id, space in found:
        keys.setdefault(space.thread_id, []).append(space.key(b"c", checkpoint_id))
    if not keys:
        return []
    replies = yield from together([view.backend.get(thread_id, asked) for thread_id, asked in keys.items()])
    # The ids of a thread are in the order of `found`.
    read = {thread_id: iter(reply) for thread_id, reply in zip(keys, replies, strict=True)}
    rows = [next(read[space.thread_id]) for _, space in found]
    return [
        None if row is None else opened_row(row, 3, space, checkpoint_id)
        for (checkpoint_id, space), row in zip(found, rows, strict=True)
    ]


@answers
def threads(view: View, after: str | None = None, limit: int | None = None) -> Reading:
    """Return the ids of threads; those that have expired are left out."""
    found: list[Any] = []
    start = b"" if after is None else encoded(after) + b"\x00"
    while limit is None or len(found) < limit:
        members = yield from view.backend.members("threads", start, None, MANY)
        if members:
            names = [decoded(member) for member in members]
            there = yield from together([view.backend.keys(name, b"c", b"d", limit=1) for name in names])
            found += [(name,) for name, keys in zip(names, there, strict=True) if keys]
            start = members[-1] + b"\x00"
        if len(members) < MANY:
            break
    return found[:limit]
