"""Statements about tasks' writes."""

from __future__ import annotations

from collections.abc import Collection

from perdure.checkpoint.rows.answering import answers, delete_rows
from perdure.checkpoint.rows.keys import END, Space, decoded, opened_row, packed_row, unescaped
from perdure.checkpoint.rows.view import Reading, View, rows_of


@answers
def add_writes(
    view: View, space: Space, checkpoint_id: str | None, task_id: str, task_path: str, frame: bytes
) -> Reading:
    yield from view.state(*space[:2])
    thread = view.thread(space.thread_id)
    key = space.of_writes(checkpoint_id, task_id)
    if key not in thread.changes:
        if view.beliefs is None or key in thread.read:
            [found] = yield from view.get(space.thread_id, [key])
            if found is not None:
                return []
        thread.guards[key] = None
    elif thread.changes[key] is not None:
        return []
    thread.changes[key] = packed_row(task_path, frame)
    view.grow(space)
    return [(1,)]


@answers
def find_writes(view: View, space: Space, checkpoint_id: str | None, task_id: str) -> Reading:
    [data] = yield from view.get(space.thread_id, [space.of_writes(checkpoint_id, task_id)])
    return [] if data is None else [opened_row(data, 2, space, checkpoint_id or "")]


@answers
def change_writes(view: View, frame: bytes, space: Space, checkpoint_id: str | None, task_id: str) -> Reading:
    key = space.of_writes(checkpoint_id, task_id)
    [data] = yield from view.get(space.thread_id, [key])
    if data is not None:
        view.touch(space).changes[key] = packed_row(opened_row(data, 2, space, checkpoint_id or "")[0], frame)
    return []


@answers
def writes_of_namespace(view: View, space: Space) -> Reading:
    thread = view.thread(space.thread_id)
    key = space.key(b"u")
    [found] = yield from view.get(space.thread_id, [key])
    if key not in thread.changes:
        thread.guards[key] = found
    start = space.key(b"w")
    keys = yield from view.range(space.thread_id, start, start + END)
    rows = []
    for key, data in rows_of(keys, (yield from view.get(space.thread_id, keys))):
        checkpoint_id, _, task_id = decoded(key[9:]).partition("\x00")
        checkpoint_id = unescaped(checkpoint_id)
        rows.append((checkpoint_id, task_id, *opened_row(data, 2, space, checkpoint_id)))
    return rows


@answers
def delete_writes_of_checkpoint(view: View, space: Space, checkpoint_id: str) -> Reading:
    start = space.of_writes(checkpoint_id)
    keys = yield from view.range(space.thread_id, start, start + END)
    return (yield from delete_rows(view, space, keys))


@answers
def delete_checkpoints(view: View, space: Space, checkpoint_ids: Collection[str]) -> Reading:
    """Delete checkpoints and their writes: the names of these are read at once."""
    view.touch(space)
    for checkpoint_id in checkpoint_ids:
        view.set(space.thread_id, space.key(b"c", checkpoint_id), None)
    start, gone = space.key(b"w"), set(checkpoint_ids)
    keys = yield from view.range(space.thread_id, start, start + END)
    names = [(key, unescaped(decoded(key[9:]).partition("\x00")[0])) for key in keys]
    return (yield from delete_rows(view, space, [key for key, checkpoint_id in names if checkpoint_id in gone]))
