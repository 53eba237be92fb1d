"""Statements about tasks' writes."""

from __future__ import annotations

from collections.abc import Collection

from perdure.checkpoint.redis.keys import END, Space, decoded, opened_row, packed_row, unescaped
from perdure.checkpoint.redis.statements.answering import answers, delete_fields
from perdure.checkpoint.redis.view import Reading, View, rows_of


@answers
def add_writes(
    view: View, space: Space, checkpoint_id: str | None, task_id: str, task_path: str, frame: bytes
) -> Reading:
    yield from view.state(*space[:2])
    thread = view.thread(space.thread_id)
    field = space.of_writes(checkpoint_id, task_id)
    if field not in thread.changes:
        if view.beliefs is None or field in thread.read:
            [found] = yield from view.get(space.thread_id, [field])
            if found is not None:
                return []
        thread.guards[field] = None
    elif thread.changes[field] is not None:
        return []
    thread.changes[field] = packed_row(task_path, frame)
    view.grow(space)
    return [(1,)]


@answers
def find_writes(view: View, space: Space, checkpoint_id: str | None, task_id: str) -> Reading:
    [data] = yield from view.get(space.thread_id, [space.of_writes(checkpoint_id, task_id)])
    return [] if data is None else [opened_row(data, 2, space, checkpoint_id or "")]


@answers
def change_writes(view: View, frame: bytes, space: Space, checkpoint_id: str | None, task_id: str) -> Reading:
    field = space.of_writes(checkpoint_id, task_id)
    [data] = yield from view.get(space.thread_id, [field])
    if data is not None:
        view.touch(space).changes[field] = packed_row(opened_row(data, 2, space, checkpoint_id or "")[0], frame)
    return []


@answers
def writes_of_namespace(view: View, space: Space) -> Reading:
    thread = view.thread(space.thread_id)
    field = space.field(b"u")
    [found] = yield from view.get(space.thread_id, [field])
    if field not in thread.changes:
        thread.guards[field] = found
    start = space.field(b"w")
    fields = yield from view.range(space.thread_id, start, start + END)
    rows = []
    for field, data in rows_of(fields, (yield from view.get(space.thread_id, fields))):
        checkpoint_id, _, task_id = decoded(field[9:]).partition("\x00")
        checkpoint_id = unescaped(checkpoint_id)
        rows.append((checkpoint_id, task_id, *opened_row(data, 2, space, checkpoint_id)))
    return rows


@answers
def delete_writes_of_checkpoint(view: View, space: Space, checkpoint_id: str) -> Reading:
    start = space.of_writes(checkpoint_id)
    fields = yield from view.range(space.thread_id, start, start + END)
    return (yield from delete_fields(view, space, fields))


@answers
def delete_checkpoints(view: View, space: Space, checkpoint_ids: Collection[str]) -> Reading:
    """Delete checkpoints and their writes: the names of these are read at once."""
    view.touch(space)
    for checkpoint_id in checkpoint_ids:
        view.set(space.thread_id, space.field(b"c", checkpoint_id), None)
    start, gone = space.field(b"w"), set(checkpoint_ids)
    fields = yield from view.range(space.thread_id, start, start + END)
    names = [(field, unescaped(decoded(field[9:]).partition("\x00")[0])) for field in fields]
    return (yield from delete_fields(view, space, [field for field, checkpoint_id in names if checkpoint_id in gone]))
