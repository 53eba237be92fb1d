"""Statements about pieces."""

from __future__ import annotations

from itertools import islice

from perdure.checkpoint.redis.keys import Space
from perdure.checkpoint.redis.statements.answering import MANY, answers, delete_fields
from perdure.checkpoint.redis.view import Reading, View, rows_of


@answers
def pieces(view: View, *keys: tuple[Space, int]) -> Reading:
    fields: dict[str, dict[bytes, tuple[Space, int]]] = {}
    for space, number in keys:
        fields.setdefault(space.thread_id, {})[space.field(b"p", str(number))] = (space, number)
    found = []
    for thread_id, asked in fields.items():
        read = rows_of(asked, (yield from view.get(thread_id, list(asked))))
        found += [(*asked[field], data) for field, data in read]
    return found


@answers
def add_piece(view: View, space: Space, number: int, frame: bytes) -> Reading:
    yield from ()
    view.touch(space).changes[space.field(b"p", str(number))] = frame
    return []


@answers
def delete_piece(view: View, space: Space, number: int) -> Reading:
    return (yield from delete_fields(view, space, [space.field(b"p", str(number))]))


@answers
def pieces_of_namespace(view: View, space: Space) -> Reading:
    thread = view.thread(space.thread_id)
    start = space.field(b"p")
    [names] = yield [("HKEYS", thread.rows)]
    found = {field for field in [*names, *thread.changes] if field.startswith(start)}
    gone = {field for field in found if thread.changes.get(field, b"") is None}
    return [(int(field[9:]),) for field in sorted(found - gone)]


@answers
def copy_pieces(view: View, source: Space, target: Space, shift: int) -> Reading:
    found = yield from pieces_of_namespace(view, source)
    state = yield from view.state(*target[:2])
    end = max([number for (number,) in found], default=-1) + shift + 1
    view.touch(target).spaces[target.checkpoint_ns] = state._replace(number=max(state.number, end))
    numbers = iter(found)
    while some := [(source, number) for (number,) in islice(numbers, MANY)]:
        for _, number, frame in (yield from pieces(view, *some)):
            yield from add_piece(view, target, number + shift, frame)
    return []
