"""The statements that the shared operations ask by name, each answered from a view; see `tables.dialect.Dialect`.

One is a generator that returns rows, as the SQL of the same name in other backends does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from perdure.checkpoint.rows.keys import Space, State, decoded, opened_row
from perdure.checkpoint.rows.view import Reading, View, rows_of

Answer = Callable[..., Reading]

STATEMENTS: Final[dict[str, Answer]] = {}
"""By name."""

MANY: Final = 500
"""Threads that are asked in one batch, and rows that are read in one."""


def answers(answer: Answer) -> Answer:
    """Note what answers the statement of its name."""
    STATEMENTS[answer.__name__] = answer
    return answer


def space_of(thread_id: str, checkpoint_ns: str, state: State) -> Space:
    """Return a namespace."""
    return Space(thread_id, checkpoint_ns, state.mark)


def read_checkpoint(view: View, space: Space, checkpoint_id: str | None) -> Reading:
    """Read a row: parent, run, frame; None if there is none."""
    if checkpoint_id is None:
        return None
    [data] = yield from view.get(space.thread_id, [space.key(b"c", checkpoint_id)])
    return None if data is None else opened_row(data, 3, space, checkpoint_id)


def read_checkpoints(view: View, space: Space, keys: Sequence[bytes]) -> Reading:
    """Read rows: id, parent, run, frame."""
    found: list[Any] = []
    for at in range(0, len(keys), MANY):
        some = keys[at : at + MANY]
        read = rows_of(some, (yield from view.get(space.thread_id, some)))
        found += [(decoded(key[9:]), *opened_row(data, 3, space, decoded(key[9:]))) for key, data in read]
    return found


def delete_rows(view: View, space: Space, keys: Iterable[bytes]) -> Reading:
    """Delete rows of a namespace."""
    yield from ()
    for key in keys:
        view.touch(space).changes[key] = None
    return []
