"""Searches whose nearest vectors the database finds, in place of comparing all of a namespace here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from perdure.database.operation import Batch as Statements
from perdure.database.operation import Op, Rows
from perdure.store.base import SearchItem, SearchOp
from perdure.store.base.matching import matches
from perdure.store.base.plan import Decode, Row, hit
from perdure.store.keys import from_bytes, range_below

_FIRST = 64
"""Vectors to ask for at least when some of what is found may not count."""
_MORE = 4


class Nearest(NamedTuple):
    """How a database is asked for what is nearest.

    Attributes:
        statement: Gives the columns of an item and a score, highest score first; takes the vector, both ends of the
            range of namespaces, the time, and how many.
        bound: Makes of a packed vector what is bound to a statement.
        is_complete: Whether it goes on until every vector was found, if it is asked for enough.
        before: Statements that come first in the same transaction.
        put: Stores a vector and what makes it findable; takes what `put_vector` takes, and `bound`'s.
        waiting: Gives items, places and vectors that were stored by somebody who didn't make them findable.
        bring_in: Makes such a vector findable; takes item, place, and `bound`'s.
    """

    statement: str
    bound: Callable[[bytes], Any] = bytes
    is_complete: bool = True
    before: Statements = ()
    put: str | None = None
    waiting: str | None = None
    bring_in: str = ""

    def put_values(self, vector: bytes) -> tuple[Any, ...]:
        """Return what is bound after item and place to store a vector."""
        return (vector,) if self.put is None else (vector, self.bound(vector))


class Ranked(NamedTuple):
    """What was found.

    Attributes:
        hits: The items that the search asks for; None: the database can't tell, so everything has to be compared.
        rows: Rows of items that were read, those of the hits among them.
    """

    hits: list[SearchItem] | None
    rows: list[Sequence[Any]]


def ranked(near: Nearest, sql: Mapping[str, str], op: SearchOp, query: bytes, decode: Decode, now: float) -> Op[Ranked]:
    """Find what is nearest to a vector, more and more of it until enough of it counts.

    Some of it may not count: an item has a vector a text, and a filter is for values, which only this side can read.
    """
    found = _Found(op, decode)
    take = max(found.wanted, _FIRST if op.filter else 1)
    while found.is_wanting:
        values = (near.bound(query), *range_below(op.namespace_prefix), now, take)
        rows = yield from _asked(near, values)
        found.take(rows)
        if len(rows) < take:
            break
        take *= _MORE
    if found.is_wanting:
        if not near.is_complete:
            return Ranked(None, [])
        [rest] = yield [(sql["without_vectors"], (*range_below(op.namespace_prefix), now, len(query)))]
        found.take([(*row, None) for row in rest])
    return Ranked(found.hits[op.offset : found.wanted], found.rows)


def _asked(near: Nearest, values: Sequence[Any]) -> Op[Rows]:
    """Ask for what is nearest, again if something had to be made findable first."""
    asking = [*near.before, (near.statement, values)]
    if near.waiting is None:
        return (yield asking)[-1]
    while True:
        *_, rows, waiting = yield [*asking, (near.waiting, ())]
        if not waiting:
            return rows
        yield bringing_in(near, waiting)


def bringing_in(near: Nearest, waiting: Rows) -> Statements:
    """Return the statements that make vectors findable."""
    return [(near.bring_in, (item, place, near.bound(vector))) for item, place, vector in waiting]


class _Found:
    """What was found so far."""

    def __init__(self, op: SearchOp, decode: Decode) -> None:
        self.wanted = op.offset + op.limit if op.limit else 0
        self.hits: list[SearchItem] = []
        self.rows: list[Sequence[Any]] = []
        self._op = op
        self._decode = decode
        self._seen: set[int] = set()

    @property
    def is_wanting(self) -> bool:
        """Whether more is wanted."""
        return len(self.hits) < self.wanted

    def take(self, rows: Rows) -> None:
        """Take rows of items with their scores, highest first; an item's first row is its best."""
        for row, score in self._new(rows):
            value = self._decode((row[3], row[4]))
            if matches(value, self._op.filter):
                self.rows.append(row)
                self.hits.append(hit(row_of(row), value, score))

    def _new(self, rows: Rows) -> Iterator[tuple[Sequence[Any], float | None]]:
        for *row, score in rows:
            if row[0] not in self._seen and self.is_wanting:
                self._seen.add(row[0])
                yield row, score


def row_of(row: Sequence[Any], vectors: Sequence[bytes] = ()) -> Row:
    """Return an item's row."""
    _, namespace, key, kind, data, created_at, updated_at, _ = row
    return Row(from_bytes(namespace), key, (kind, data), created_at, updated_at, vectors)
