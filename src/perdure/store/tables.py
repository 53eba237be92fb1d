"""The operations of stores on tables: generators that yield statements, driven in both colours (see `Op`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from perdure.checkpoint.operation import Batch as Statements
from perdure.checkpoint.operation import Op, Rows, Statement
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.store.base import GetOp, ListNamespacesOp, PutOp, Result, SearchOp
from perdure.store.base.matching import fixed_prefix, listed
from perdure.store.base.plan import Batch, Decode, Key, Row, decoder, end_of_life, found, item
from perdure.store.keys import from_bytes, range_below, to_bytes


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


def batch(sql: Mapping[str, str], serde: SerializerProtocol, asked: Batch, values: Encoded, now: float) -> Op[Outcome]:
    """Read what is asked for, then put."""
    decode = decoder(serde)
    reads = [op for op in asked.ops if not isinstance(op, PutOp)]
    replies = (yield [_asking(sql, op, now) for op in reads]) if reads else ()
    answers: list[Result] = []
    read: list[int] = []
    for op, rows in zip(reads, replies, strict=True):
        if isinstance(op, SearchOp) and asked.query(op) is not None:
            [vectors] = yield [(sql["vectors_below"], range_below(op.namespace_prefix))]
        else:
            vectors = ()
        answers.append(_answer(asked, op, rows, vectors, decode, read))
    if asked.puts:
        yield from _put_all(sql, asked, values, now)
    following = iter(answers)
    return Outcome([None if isinstance(op, PutOp) else next(following) for op in asked.ops], read)


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
        hits: list[Any] = [item(_row(row, ()), decode) for row in rows]
        result: Any = hits[0] if hits else None
    else:
        result = hits = found((_row(row, by_item.get(row[0], ())) for row in rows), op, asked.query(op), decode)
    if op.refresh_ttl:
        places = {(hit.namespace, hit.key) for hit in hits}
        read += [row[0] for row in rows if row[7] is not None and (from_bytes(row[1]), row[2]) in places]
    return result  # type: ignore[no-any-return]


def _row(row: Sequence[Any], vectors: Sequence[bytes]) -> Row:
    _, namespace, key, kind, data, created_at, updated_at, _ = row
    return Row(from_bytes(namespace), key, (kind, data), created_at, updated_at, vectors)


def _put_all(sql: Mapping[str, str], asked: Batch, values: Encoded, now: float) -> Op[None]:
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
            vectors = enumerate(asked.vectors((namespace, key)))
            batch += [(sql["put_vector"], (*where, place, vector)) for place, vector in vectors]
    yield batch


def refresh(sql: Mapping[str, str], items: Sequence[int], now: float) -> Op[None]:
    """Begin the time to live of items anew."""
    yield [(sql["refresh"], (now, number)) for number in sorted(set(items))]


def sweep(sql: Mapping[str, str], now: float) -> Op[int]:
    """Delete what has expired; return how many items that were."""
    statements: Statements = [(sql["sweep_vectors"], (now,)), (sql["sweep"], (now,))]
    _, rows = yield statements
    return len(rows)
