"""Statements about namespaces, and whole threads."""

from __future__ import annotations

from typing import Any

from perdure.checkpoint.rows.answering import STATEMENTS, answers, delete_rows, read_checkpoint, space_of
from perdure.checkpoint.rows.keys import END, Space, State, decoded, encoded
from perdure.checkpoint.rows.statements.pieces import delete_piece, pieces_of_namespace
from perdure.checkpoint.rows.view import Reading, View


@answers
def guard(view: View, thread_id: str, checkpoint_ns: str, parent_id: str | None, checkpoint_id: str | None) -> Reading:
    state = yield from view.state(thread_id, checkpoint_ns)
    if state is None:
        return []
    space = space_of(thread_id, checkpoint_ns, state)
    parent = yield from read_checkpoint(view, space, parent_id)
    is_done = False
    if checkpoint_id is not None and checkpoint_id <= (state.head or ""):
        stored = yield from read_checkpoint(view, space, checkpoint_id)
        is_done = stored is not None and stored[0] == parent_id
    return [(space, state.head, state.number, parent and parent[2], is_done)]


@answers
def find_namespace(view: View, thread_id: str, checkpoint_ns: str) -> Reading:
    state = yield from view.state(thread_id, checkpoint_ns)
    return [] if state is None else [(space_of(thread_id, checkpoint_ns, state),)]


@answers
def add_namespace(view: View, thread_id: str, checkpoint_ns: str) -> Reading:
    found = yield from find_namespace(view, thread_id, checkpoint_ns)
    return found or [(view.make(thread_id, checkpoint_ns),)]


@answers
def place_of_namespace(view: View, space: Space) -> Reading:
    yield from ()
    return [space[:2]]


@answers
def namespaces_of_thread(view: View, thread_id: str) -> Reading:
    if view.thread(thread_id).is_dropped:
        return []  # they go with it, and whatever is damaged in them
    keys = yield from view.range(thread_id, b"n", b"o")
    yield from view.get(thread_id, keys)
    found = []
    for key in keys:
        name = decoded(key[1:])
        if (state := (yield from view.state(thread_id, name))) is not None:
            found.append((space_of(thread_id, name, state), name))
    return found


@answers
def head(view: View, thread_id: str, checkpoint_ns: str) -> Reading:
    state = yield from view.state(thread_id, checkpoint_ns)
    return [] if state is None else [(state.head,)]


@answers
def next_piece_of_namespace(view: View, space: Space) -> Reading:
    state = yield from view.state(*space[:2])
    return [(state.number,)]


@answers
def advance(view: View, space: Space, checkpoint_id: str, number: int) -> Reading:
    state = yield from view.state(*space[:2])
    thread = view.touch(space)
    thread.spaces[space.checkpoint_ns] = State(space.mark, max(state.head or "", checkpoint_id), number)
    return []


@answers
def settle(view: View, space: Space) -> Reading:
    state = yield from view.state(*space[:2])
    start = space.key(b"c")
    last = yield from view.range(space.thread_id, start, start + END, limit=1, newest_first=True)
    thread = view.touch(space)
    thread.spaces[space.checkpoint_ns] = state._replace(head=decoded(last[0][9:]) if last else None)
    return []


def _nothing(view: View, *_: Any) -> Reading:
    yield from ()
    return []


@answers
def delete_namespace(view: View, space: Space) -> Reading:
    thread = view.touch(space)
    for kind in (b"c", b"w"):
        keys = yield from view.range(space.thread_id, space.key(kind), space.key(kind) + END)
        yield from delete_rows(view, space, keys)
    for (number,) in (yield from pieces_of_namespace(view, space)):
        yield from delete_piece(view, space, number)
    thread.spaces.pop(space.checkpoint_ns, None)
    for key in (space.key(b"u"), b"n" + encoded(space.checkpoint_ns)):
        thread.changes[key] = None
    return []


# All of it goes with the last of these.
for _name in ("checkpoints", "writes", "pieces"):
    STATEMENTS[f"delete_namespace_{_name}"] = _nothing


@answers
def delete_lease(view: View, thread_id: str) -> Reading:
    """Drop the thread: who deletes its lease deletes all of it."""
    yield from ()
    view.thread(thread_id).is_dropped = True
    return []
