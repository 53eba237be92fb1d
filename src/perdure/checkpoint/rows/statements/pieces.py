"""Statements about pieces."""

from __future__ import annotations

from itertools import islice

from perdure.checkpoint.rows.answering import MANY, answers, delete_rows
from perdure.checkpoint.rows.keys import END, Space, number_of
from perdure.checkpoint.rows.view import Reading, View, rows_of


@answers
def pieces(view: View, *keys: tuple[Space, int]) -> Reading:
    wanted: dict[str, dict[bytes, tuple[Space, int]]] = {}
    for space, number in keys:
        wanted.setdefault(space.thread_id, {})[space.key(b"p", str(number))] = (space, number)
    found = []
    for thread_id, asked in wanted.items():
        read = rows_of(asked, (yield from view.get(thread_id, list(asked))))
        found += [(*asked[key], data) for key, data in read]
    return found


@answers
def add_piece(view: View, space: Space, number: int, frame: bytes) -> Reading:
    yield from ()
    view.touch(space).changes[space.key(b"p", str(number))] = frame
    return []


@answers
def delete_piece(view: View, space: Space, number: int) -> Reading:
    return (yield from delete_rows(view, space, [space.key(b"p", str(number))]))


@answers
def pieces_of_namespace(view: View, space: Space) -> Reading:
    start = space.key(b"p")
    keys = yield from view.range(space.thread_id, start, start + END)
    return [(number_of(key[9:]),) for key in keys]


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
