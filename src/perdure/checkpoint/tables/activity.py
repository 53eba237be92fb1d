"""An operation that looks at what happens in a database."""

from __future__ import annotations

from perdure.checkpoint.activity import MOST, Activity, Mark, Moved
from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op


def look(dialect: Dialect, since: Activity | None) -> Op[Activity]:
    """Look at the newest heads, and count what the namespaces got whose head is another than at the look before."""
    [rows, held] = yield [(dialect.sql["heads"], (MOST,)), (dialect.sql["leases_held"], ())]
    marks = {(thread_id, ns): Mark(head, next_piece) for _, thread_id, ns, head, next_piece in rows}
    leases = {row[0]: row[1] for row in held}
    if since is None:
        return Activity(marks, (), leases)
    asked = []
    for number, thread_id, ns, head, _ in rows:
        before = since.marks.get((thread_id, ns), Mark("", 0))
        if head != before.head:
            asked.append((thread_id, ns, (number, before.head, before.position)))
    replies = yield [(dialect.sql["news"], place) for *_, place in asked]
    moved = [
        Moved(thread_id, ns, steps, stored)
        for (thread_id, ns, _), [(steps, stored)] in zip(asked, replies, strict=True)
    ]
    return Activity(marks, moved, leases)
