"""Appends of many callers as one statement: the cost of a statement is then paid once, here and on the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Batch, Replies, Rows
from perdure.database.postgres.adapting import Numbers, Texts

# Of an append: lease, namespace, what is expected of it, and what becomes of it.
_SCALARS = (Texts, Texts, Numbers, Numbers, Texts, Numbers, Texts, Numbers)
_NS = 3
_TABLES = (slice(8, 13), slice(13, 15), slice(15, 19))  # its columns of checkpoints, pieces and writes

Split = Callable[[Replies], Replies]


def merged(dialect: Dialect, batch: Batch) -> tuple[Batch, Split | None]:
    """Put the appends of a batch into one, where there are several.

    Returns:
        What to send, and what makes the replies to the batch of the replies to that; None: the same.
    """
    append = dialect.sql["append"]
    places: dict[int, int] = {}
    for place, (text, values) in enumerate(batch):
        if text is append:
            places.setdefault(values[_NS], place)  # a second one of a namespace stays alone, and comes after
    if len(places) < 2:
        return batch, None
    taken = set(places.values())
    one = (dialect.sql["append_all"], _columns([batch[place][1] for place in taken]))
    sent = [one, *[statement for place, statement in enumerate(batch) if place not in taken]]

    def split(replies: Replies) -> Replies:
        stops = {ns: [(stop,)] for ns, stop in replies[0]}
        others = iter(replies[1:])
        nothing: Rows = ()
        return [
            stops.get(values[_NS], nothing) if place in taken else next(others)
            for place, (_, values) in enumerate(batch)
        ]

    return sent, split


def _columns(appends: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the columns of all, those of the tables with the namespace's number in front."""
    columns: list[list[Any]] = [kind([values[n] for values in appends]) for n, kind in enumerate(_SCALARS)]
    for table in _TABLES:
        columns.append(Numbers([values[_NS] for values in appends for _ in values[table.start]]))
        for place in range(table.start, table.stop):
            kind = type(appends[0][place])
            columns.append(kind([cell for values in appends for cell in values[place]]))
    return columns
