"""What a batch needs before a store is asked, and how what was found becomes results. Pure; shared by all stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, get_args

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.store.base import (
    Embeddings,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
    StoreUsageError,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
    validate_namespace,
)
from perdure.store.base.embed import Distance, pack, similarity
from perdure.store.base.matching import check_filter, matches

Key = tuple[tuple[str, ...], str]
"""A namespace and a key."""


class Row(NamedTuple):
    """A stored item.

    Attributes:
        blob: The value: the serializer's type and the bytes.
        created_at: ISO 8601 in UTC, with microseconds: the order of the texts is that of the times.
        updated_at: The same.
        vectors: Of its texts.
    """

    namespace: tuple[str, ...]
    key: str
    blob: tuple[str, bytes]
    created_at: str
    updated_at: str
    vectors: Sequence[bytes] = ()


class Batch:
    """A batch of operations, checked.

    Args:
        ops: The operations.
        index: The store's index, if it has one.

    Raises:
        UsageError: An operation can't be done.
    """

    def __init__(self, ops: Iterable[Op], index: Index | None) -> None:
        self.ops = list(ops)
        self.puts: dict[Key, PutOp] = {}
        self._index = index
        self._texts: dict[Key, list[str]] = {}
        self._vectors: dict[str, bytes] = {}
        self._queries: dict[str, bytes] = {}
        for op in self.ops:
            self._take(op)

    def _take(self, op: Op) -> None:
        if isinstance(op, PutOp):
            validate_namespace(op.namespace)
            if op.ttl is not None and not op.ttl > 0:
                raise StoreUsageError(f"ttl is a number of minutes above 0, not {op.ttl!r}", hint="None: for ever")
            key = (tuple(op.namespace), op.key)
            self.puts[key] = op
            self._texts.pop(key, None)
            if self._index is not None and op.value is not None and op.index is not False:
                self._texts[key] = self._index.texts(op.value, op.index)
        elif isinstance(op, SearchOp):
            check_filter(op.filter)
            if op.limit < 0 or op.offset < 0:
                raise StoreUsageError(f"limit and offset are at least 0, not {op.limit} and {op.offset}")
        elif not isinstance(op, (GetOp, ListNamespacesOp)):
            raise StoreUsageError(
                f"a store has no operation {type(op).__name__}", hint="GetOp, SearchOp, PutOp, ListNamespacesOp"
            )

    # -- vectors

    def _wanted(self) -> tuple[list[str], list[str]]:
        if self._index is None:
            return [], []
        texts = dict.fromkeys(text for many in self._texts.values() for text in many)
        queries = dict.fromkeys(op.query for op in self.ops if isinstance(op, SearchOp) and op.query)
        return list(texts), [query for query in queries if query]

    def embed(self) -> None:
        """Make the vectors that the batch needs."""
        texts, queries = self._wanted()
        if self._index is None or not (texts or queries):
            return
        embeddings = self._index.embeddings
        self._keep(texts, embeddings.embed_documents(texts) if texts else [])
        for query in queries:
            self._queries[query] = self._index.pack(embeddings.embed_query(query))

    async def aembed(self) -> None:
        """Async twin of `embed`."""
        texts, queries = self._wanted()
        if self._index is None or not (texts or queries):
            return
        embeddings = self._index.embeddings
        self._keep(texts, await embeddings.aembed_documents(texts) if texts else [])
        for query in queries:
            self._queries[query] = self._index.pack(await embeddings.aembed_query(query))

    def _keep(self, texts: list[str], vectors: list[list[float]]) -> None:
        assert self._index is not None
        for text, vector in zip(texts, vectors, strict=True):
            self._vectors[text] = self._index.pack(vector)

    def vectors(self, key: Key) -> list[bytes]:
        """Return the vectors of what is put under a key."""
        return [self._vectors[text] for text in self._texts.get(key, ())]

    @property
    def has_queries(self) -> bool:
        """Whether anything is searched by meaning."""
        return bool(self._queries)

    def query(self, op: SearchOp) -> bytes | None:
        """Return the vector that a search looks for; None if it looks for none."""
        return self._queries.get(op.query) if op.query else None

    def score(self, row: Row, query: bytes) -> float | None:
        """Return how alike an item and a query are, by the text of it that is most so; None if there is none."""
        distance = "cosine" if self._index is None else self._index.distance
        alike = (similarity(query, vector, distance) for vector in row.vectors if len(vector) == len(query))
        return max(alike, default=None)


class Index:
    """A store's `IndexConfig`, checked.

    Raises:
        UsageError: It can't be used.
    """

    def __init__(self, config: IndexConfig) -> None:
        self.embeddings: Embeddings = ensure_embeddings(config.get("embed"))
        self.dims = config.get("dims")
        self.fields = list(config.get("fields") or ["$"])
        self.distance: Distance = config.get("distance_type") or "cosine"
        if self.distance not in get_args(Distance):
            raise StoreUsageError(
                f"there is no distance_type {self.distance!r}", hint=f"there are: {', '.join(get_args(Distance))}"
            )

    def pack(self, vector: Sequence[float]) -> bytes:
        """Return a vector as it is stored and compared."""
        return pack(vector, self.dims, self.distance)

    def texts(self, value: Mapping[str, Any], paths: Sequence[str] | None) -> list[str]:
        """Return the texts that make a value searchable."""
        found = [text for path in (self.fields if paths is None else paths) for text in get_text_at_path(value, path)]
        return [text for text in dict.fromkeys(found) if text]


def index_of(config: IndexConfig | None) -> Index | None:
    """Return the index that a config describes, if there is one."""
    return None if config is None else Index(config)


# -- time


def end_of_life(ttl: float | None, now: float) -> float | None:
    """Return the second since 1970 at which what is put now expires.

    Args:
        ttl: Minutes.
        now: Seconds since 1970.
    """
    return None if ttl is None else now + ttl * 60


def sweep_seconds(config: TTLConfig | None, interval: int | None) -> float:
    """Return how often to sweep."""
    minutes = interval or (config or {}).get("sweep_interval_minutes") or 5
    return minutes * 60.0


# -- results


Decode = Callable[[tuple[str, bytes]], Any]


def decoder(serde: SerializerProtocol) -> Decode:
    """Return what decodes a value."""
    return serde.loads_typed


def item(row: Row, decode: Decode) -> Item:
    """Make an item of a row."""
    return Item(
        value=decode(row.blob),
        key=row.key,
        namespace=row.namespace,
        created_at=datetime.fromisoformat(row.created_at),
        updated_at=datetime.fromisoformat(row.updated_at),
    )


def found(rows: Iterable[Row], op: SearchOp, asked: Batch, decode: Decode) -> list[SearchItem]:
    """Return what a search finds.

    Args:
        rows: The items in the namespace and below, updated last first.
        op: The search.
        asked: The batch that it is part of.
        decode: Decodes values.
    """
    hits, query = _filtered(rows, op, decode), asked.query(op)
    if query is None:
        return [hit(row, value, None) for row, value in _slice(hits, op.offset, op.limit)]
    scored = [(asked.score(row, query), row, value) for row, value in hits]
    scored.sort(key=lambda one: -math.inf if one[0] is None else one[0], reverse=True)
    return [hit(row, value, score) for score, row, value in scored[op.offset : op.offset + op.limit]]


def _filtered(rows: Iterable[Row], op: SearchOp, decode: Decode) -> Iterator[tuple[Row, Any]]:
    for row in rows:
        value = decode(row.blob)
        if matches(value, op.filter):
            yield row, value


def _slice(hits: Iterator[tuple[Row, Any]], offset: int, limit: int) -> Iterator[tuple[Row, Any]]:
    if limit:
        for place, one in enumerate(hits):
            if place >= offset:
                yield one
            if place + 1 >= offset + limit:
                return


def hit(row: Row, value: Any, score: float | None) -> SearchItem:
    """Make what a search returns of a row."""
    return SearchItem(
        row.namespace,
        row.key,
        value,
        datetime.fromisoformat(row.created_at),
        datetime.fromisoformat(row.updated_at),
        score,
    )
