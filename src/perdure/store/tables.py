"""The operations of stores on tables: generators that yield statements, driven in both colours (see `Op`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.operation import Batch as Statements
from perdure.database.operation import Op, Rows, Statement
from perdure.store.base import GetOp, ListNamespacesOp, PutOp, Result, SearchOp
from perdure.store.base.expiring import Life
from perdure.store.base.matching import fixed_prefix, listed
from perdure.store.base.plan import Batch, Decode, Key, decoder, end_of_life, found, item
from perdure.store.keys import from_bytes, range_below, to_bytes
from perdure.store.nearest import Nearest, ranked, row_of


class Outcome(NamedTuple):
    """What a batch gave.

    Attributes:
        results: Of the operations.
        read: The numbers of the items that were read, have a time to live, and are to live on.
    """

    results: list[Result]
    read: list[int]


Encoded = Mapping[Key, tuple[str, bytes] | None]
"""The values that are put; None: deleted."""


def encode(serde: SerializerProtocol, asked: Batch) -> Encoded:
    """Encode what is put.

    Raises:
        SerializationError: A value can't be stored.
    """
    return {key: None if op.value is None else serde.dumps_typed(dict(op.value)) for key, op in asked.puts.items()}


def batch(
    sql: Mapping[str, str],
    serde: SerializerProtocol,
    asked: Batch,
    values: Encoded,
    now: float,
    near: Nearest | None = None,
) -> Op[Outcome]:
    """Read what is asked for, then put.

    Args:
        sql: The backend's statements by name.
        serde: Decodes values.
        asked: The operations.
        values: What is put, encoded.
        now: Seconds since 1970.
        near: How the database finds the nearest vectors, if it does.
    """
    decode = decoder(serde)
    reads = [op for op in asked.ops if not isinstance(op, PutOp)]
    by_meaning = {id(op) for op in reads if isinstance(op, SearchOp) and asked.query(op) is not None}
    others = [op for op in reads if id(op) not in by_meaning]
    replies = iter((yield [_asking(sql, op, now) for op in others]) if others else ())
    answers: list[Result] = []
    read: list[int] = []
    for op in reads:
        if isinstance(op, SearchOp) and id(op) in by_meaning:
            answers.append((yield from _search(sql, asked, op, decode, read, now, near)))
        else:
            answers.append(_answer(asked, op, next(replies), (), decode, read))
    if asked.puts:
        yield from _put_all(sql, asked, values, now, near)
    following = iter(answers)
    return Outcome([None if isinstance(op, PutOp) else next(following) for op in asked.ops], read)


def _search(
    sql: Mapping[str, str],
    asked: Batch,
    op: SearchOp,
    decode: Decode,
    read: list[int],
    now: float,
    near: Nearest | None,
) -> Op[Result]:
    """Search by meaning."""
    query = asked.query(op)
    assert query is not None
    if near is not None:
        done = yield from ranked(near, sql, op, query, decode, now)
        if done.hits is not None:
            _note_read(op, done.hits, done.rows, read)
            return done.hits
    rows, vectors = yield [_asking(sql, op, now), (sql["vectors_below"], range_below(op.namespace_prefix))]
    return _answer(asked, op, rows, vectors, decode, read)


def _asking(sql: Mapping[str, str], op: Any, now: float) -> Statement:
    if isinstance(op, GetOp):
        return sql["get"], (to_bytes(op.namespace), op.key, now)
    if isinstance(op, SearchOp):
        whole = not op.filter and op.query is None
        return sql["below"], (*range_below(op.namespace_prefix), now, op.offset + op.limit if whole else -1)
    return sql["namespaces"], (*range_below(fixed_prefix(op)), now)


def _answer(asked: Batch, op: Any, rows: Rows, vectors: Rows, decode: Decode, read: list[int]) -> Result:
    if isinstance(op, ListNamespacesOp):
        return listed([from_bytes(namespace) for (namespace,) in rows], op)
    by_item: dict[int, list[bytes]] = {}
    for number, vector in vectors:
        by_item.setdefault(number, []).append(vector)
    if isinstance(op, GetOp):
        hits: list[Any] = [item(row_of(row), decode) for row in rows]
        result: Any = hits[0] if hits else None
    else:
        result = hits = found((row_of(row, by_item.get(row[0], ())) for row in rows), op, asked, decode)
    _note_read(op, hits, rows, read)
    return result  # type: ignore[no-any-return]


def _note_read(op: Any, hits: Sequence[Any], rows: Rows, read: list[int]) -> None:
    if op.refresh_ttl:
        places = {(hit.namespace, hit.key) for hit in hits}
        read += [row[0] for row in rows if row[7] is not None and (from_bytes(row[1]), row[2]) in places]


def _put_all(sql: Mapping[str, str], asked: Batch, values: Encoded, now: float, near: Nearest | None) -> Op[None]:
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
    puts = sorted(asked.puts.items(), key=lambda put: (to_bytes(put[0][0]), put[0][1]))  # one order: no deadlocks
    batch: list[Statement] = []
    for (namespace, key), op in puts:
        where = (to_bytes(namespace), key)
        blob = values[namespace, key]
        if blob is None:
            batch += [(sql["delete_vectors_of_item"], where), (sql["delete_item"], where)]
        else:
            # The item first: who puts the same one waits here, and then finds the vectors to replace.
            batch.append((sql["put_item"], (*where, *blob, moment, moment, end_of_life(op.ttl, now), op.ttl, now)))
            batch.append((sql["delete_vectors_of_item"], where))
            put = sql["put_vector"] if near is None or near.put is None else near.put
            for place, vector in enumerate(asked.vectors((namespace, key))):
                batch.append((put, (*where, place, *((vector,) if near is None else near.put_values(vector)))))
    yield batch


def lives(sql: Mapping[str, str], keys: Sequence[Key], now: float) -> Op[list[Life | None]]:
    """Read the times of items."""
    replies = yield [(sql["life"], (to_bytes(namespace), key, now)) for namespace, key in keys]
    return [Life(*rows[0]) if rows else None for rows in replies]


def restore(
    sql: Mapping[str, str],
    asked: Batch,
    values: Encoded,
    lives: Mapping[Key, Life],
    now: float,
    near: Nearest | None,
) -> Op[None]:
    """Put items with times that they had elsewhere."""
    yield from _put_all(sql, asked, values, now, near)
    yield [(sql["set_life"], (to_bytes(namespace), key, *lives[namespace, key])) for namespace, key in asked.puts]


def refresh(sql: Mapping[str, str], items: Sequence[int], now: float) -> Op[None]:
    """Begin the time to live of items anew."""
    yield [(sql["refresh"], (now, number)) for number in sorted(set(items))]


def sweep(sql: Mapping[str, str], now: float) -> Op[int]:
    """Delete what has expired; return how many items that were."""
    statements: Statements = [(sql["sweep_vectors"], (now,)), (sql["sweep"], (now,))]
    _, rows = yield statements
    return len(rows)
