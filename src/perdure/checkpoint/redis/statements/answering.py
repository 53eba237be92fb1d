"""The statements that the shared operations ask by name, each answered from a view; see `tables.dialect.Dialect`.

One is a generator of commands that returns rows, as the SQL of the same name in other backends does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from perdure.checkpoint.redis.keys import Space, State, decoded, opened_row
from perdure.checkpoint.redis.view import Reading, View, rows_of
from perdure.database.redis.driver import Script

Answer = Callable[..., Reading]

STATEMENTS: Final[dict[str, Answer]] = {}
"""By name."""

MANY: Final = 500
"""Threads that are asked in one round trip, and fields that are read in one."""


def answers(answer: Answer) -> Answer:
    """Note what answers the statement of its name."""
    STATEMENTS[answer.__name__] = answer
    return answer


def script(name: str) -> Script:
    """Read a script."""
    return Script((Path(__file__).parents[1] / "scripts" / f"{name}.lua").read_text(encoding="utf-8"))


def space_of(thread_id: str, checkpoint_ns: str, state: State) -> Space:
    """Return a namespace."""
    return Space(thread_id, checkpoint_ns, state.mark)


def read_checkpoint(view: View, space: Space, checkpoint_id: str | None) -> Reading:
    """Read a row: parent, run, frame; None if there is none."""
    if checkpoint_id is None:
        return None
    [data] = yield from view.get(space.thread_id, [space.field(b"c", checkpoint_id)])
    return None if data is None else opened_row(data, 3, space, checkpoint_id)


def read_checkpoints(view: View, space: Space, fields: Sequence[bytes]) -> Reading:
    """Read rows: id, parent, run, frame."""
    found: list[Any] = []
    for at in range(0, len(fields), MANY):
        some = fields[at : at + MANY]
        read = rows_of(some, (yield from view.get(space.thread_id, some)))
        found += [(decoded(field[9:]), *opened_row(data, 3, space, decoded(field[9:]))) for field, data in read]
    return found


def delete_fields(view: View, space: Space, fields: Iterable[bytes]) -> Reading:
    """Delete rows of a namespace."""
    yield from ()
    for field in fields:
        view.touch(space).changes[field] = None
    return []
