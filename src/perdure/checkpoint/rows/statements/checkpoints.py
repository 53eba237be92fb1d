"""Statements about checkpoints' rows."""

from __future__ import annotations

from perdure.checkpoint.rows.answering import answers, read_checkpoint, read_checkpoints
from perdure.checkpoint.rows.keys import END, Space, decoded, encoded, packed_row, run_member
from perdure.checkpoint.rows.statements.namespaces import namespaces_of_thread
from perdure.checkpoint.rows.view import Reading, View


@answers
def add_checkpoint(
    view: View, space: Space, checkpoint_id: str, parent_id: str | None, run_id: str | None, frame: bytes
) -> Reading:
    yield from ()
    view.touch(space)
    view.set(space.thread_id, space.key(b"c", checkpoint_id), packed_row(parent_id, run_id, frame))
    if run_id is not None:
        view.thread(space.thread_id).runs.add(run_id)
    return []


@answers
def change_record(view: View, frame: bytes, space: Space, checkpoint_id: str) -> Reading:
    row = yield from read_checkpoint(view, space, checkpoint_id)
    if row is not None:
        yield from add_checkpoint(view, space, checkpoint_id, row[0], row[1], frame)
    return []


@answers
def has_checkpoint(view: View, space: Space, checkpoint_id: str | None) -> Reading:
    row = yield from read_checkpoint(view, space, checkpoint_id)
    return [] if row is None else [(1,)]


@answers
def from_checkpoint(view: View, space: Space, checkpoint_id: str) -> Reading:
    state = yield from view.state(*space[:2])
    if state.head is None or checkpoint_id > state.head:
        return []
    start = space.key(b"c")
    keys = [start + encoded(checkpoint_id)]
    if checkpoint_id != state.head:
        keys = yield from view.range(space.thread_id, keys[0], start + END, limit=2)
    found = yield from read_checkpoints(view, space, keys)
    return [(found_id, parent_id, frame) for found_id, parent_id, _, frame in found]


@answers
def older_records(view: View, space: Space, before: str, limit: int) -> Reading:
    start = space.key(b"c")
    keys = yield from view.range(space.thread_id, start, start + encoded(before), limit=limit, newest_first=True)
    found = yield from read_checkpoints(view, space, keys)
    return [(row[0], row[3]) for row in found]


@answers
def records_of_namespace(view: View, space: Space) -> Reading:
    start = space.key(b"c")
    keys = yield from view.range(space.thread_id, start, start + END)
    return (yield from read_checkpoints(view, space, keys))


@answers
def tree_of_namespace(view: View, space: Space) -> Reading:
    rows = yield from records_of_namespace(view, space)
    return [row[:2] for row in rows]


@answers
def checkpoints_of_run(view: View, run_id: str) -> Reading:
    start = run_member(run_id)
    members = yield from view.backend.members("runs", start, start + END, None)
    found = []
    for member in members:
        thread_id = decoded(member[len(start) :])
        for space, _ in (yield from namespaces_of_thread(view, thread_id)):
            rows = yield from records_of_namespace(view, space)
            found += [(space, row[0]) for row in rows if row[2] == run_id]
    return found


@answers
def delete_checkpoint(view: View, space: Space, checkpoint_id: str) -> Reading:
    yield from ()
    view.touch(space)
    view.set(space.thread_id, space.key(b"c", checkpoint_id), None)
    return []
