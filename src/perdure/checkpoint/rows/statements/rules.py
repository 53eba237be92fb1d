"""Statements about how long threads are kept."""

from __future__ import annotations

from typing import Any, Final

import ormsgpack

from perdure.checkpoint.rows.answering import MANY, answers
from perdure.checkpoint.rows.backend import together
from perdure.checkpoint.rows.keys import RULES, decoded, encoded
from perdure.checkpoint.rows.view import Reading, View
from perdure.checkpoint.rules import Change
from perdure.errors import CorruptCheckpointError

_NOTHING: Final = (None, None)


def _opened(data: bytes, thread_id: str) -> tuple[Any, ...]:
    try:
        ttl, hold = ormsgpack.unpackb(data)
    except (TypeError, ValueError) as e:
        raise CorruptCheckpointError(
            f"thread {thread_id!r}: what says how long it is kept is damaged", thread_id=thread_id
        ) from e
    return ttl, hold


@answers
def rules(view: View, thread_id: str) -> Reading:
    """Return time to live and hold, and rely on them."""
    [data] = yield from view.get(thread_id, [RULES])
    thread = view.thread(thread_id)
    if RULES not in thread.changes:
        thread.guards[RULES] = data
    return [] if data is None else [_opened(data, thread_id)]


@answers
def set_rules(view: View, thread_id: str, *change: Any) -> Reading:
    found = yield from rules(view, thread_id)
    row = Change(*change).over(*(found[0] if found else _NOTHING))
    view.set(thread_id, RULES, ormsgpack.packb(row))
    return [row]


@answers
def delete_rules(view: View, thread_id: str) -> Reading:
    found = yield from rules(view, thread_id)
    if found and found[0][1] is None:
        view.set(thread_id, RULES, None)
    return []


@answers
def all_rules(view: View, after: str | None, limit: int | None, held: bool) -> Reading:
    """Return the threads that have rules; the list of them may have more."""
    found: list[Any] = []
    start = b"" if after is None else encoded(after) + b"\x00"
    while limit is None or len(found) < limit:
        members = yield from view.backend.members("ruled", start, None, MANY)
        if members:
            names = [decoded(member) for member in members]
            stored = yield from together([view.backend.get(thread_id, [RULES]) for thread_id in names])
            rows = [(n, *_opened(data, n)) for n, [data] in zip(names, stored, strict=True) if data is not None]
            found += [row for row in rows if row[2] is not None or not held]
            start = members[-1] + b"\x00"
        if len(members) < MANY:
            break
    return found[:limit]
