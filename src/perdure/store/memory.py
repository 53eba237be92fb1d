"""A store that keeps everything in this process's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.store.base import GetOp, IndexConfig, ListNamespacesOp, Op, PutOp, Result, SearchOp, TTLConfig
from perdure.store.base.expiring import ExpiringStore, Life
from perdure.store.base.matching import is_below, listed
from perdure.store.base.plan import Batch, Key, Row, decoder, end_of_life, found, index_of, item

__all__ = ["InMemoryStore"]


class _Entry:
    """A row and its time to live."""

    __slots__ = ("expires_at", "row", "ttl")

    def __init__(self, row: Row, ttl: float | None, expires_at: float | None) -> None:
        self.row = row
        self.ttl = ttl
        self.expires_at = expires_at


class InMemoryStore(ExpiringStore):
    """Keeps items until the process ends; for tests, examples and short-lived work.

    One object serves sync and async callers and any number of threads. See `perdure.store.base` for the law.

    Args:
        index: How items are made searchable by meaning; a search then compares the query with every item.
        ttl: How long items live.
        serde: Turns values into bytes.
    """

    def __init__(
        self,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(ttl)
        self.index_config = index
        self._index = index_of(index)
        self._serde = serde or JsonPlusSerializer()
        self._lock = threading.Lock()
        self._items: dict[tuple[str, ...], dict[str, _Entry]] = {}

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        asked = Batch(ops, self._index)
        asked.embed()
        return self._do(asked)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        asked = Batch(ops, self._index)
        await asked.aembed()
        return self._do(asked)

    def _do(self, asked: Batch) -> list[Result]:
        encoded = {key: self._encode(op) for key, op in asked.puts.items()}
        now = time.time()
        with self._lock:
            results: list[Result] = [self._answer(asked, op, now) for op in asked.ops]
            for key, op in asked.puts.items():
                self._put(op, encoded[key], asked.vectors(key), now)
        return results

    def _encode(self, op: PutOp) -> tuple[str, bytes] | None:
        return None if op.value is None else self._serde.dumps_typed(dict(op.value))

    def _answer(self, asked: Batch, op: Op, now: float) -> Result:
        decode = decoder(self._serde)
        if isinstance(op, GetOp):
            entry = self._live(tuple(op.namespace), op.key, now)
            if entry is None:
                return None
            self._refresh_entry(entry, now, wanted=op.refresh_ttl)
            return item(entry.row, decode)
        if isinstance(op, SearchOp):
            entries = sorted(self._below(op.namespace_prefix, now), key=_newest, reverse=True)
            hits = found((entry.row for entry in entries), op, asked, decode)
            if op.refresh_ttl:
                for hit in hits:
                    self._refresh_entry(self._items[hit.namespace][hit.key], now, wanted=True)
            return hits
        if isinstance(op, ListNamespacesOp):
            return listed([ns for ns in self._items if any(self._live(ns, key, now) for key in self._items[ns])], op)
        return None

    @staticmethod
    def _refresh_entry(entry: _Entry, now: float, *, wanted: bool) -> None:
        if wanted and entry.ttl is not None:
            entry.expires_at = end_of_life(entry.ttl, now)

    def _live(self, namespace: tuple[str, ...], key: str, now: float) -> _Entry | None:
        entry = self._items.get(namespace, {}).get(key)
        return None if entry is None or (entry.expires_at is not None and entry.expires_at <= now) else entry

    def _below(self, prefix: tuple[str, ...], now: float) -> Iterator[_Entry]:
        for namespace, items in self._items.items():
            if is_below(namespace, prefix):
                for key in items:
                    if (entry := self._live(namespace, key, now)) is not None:
                        yield entry

    def _put(self, op: PutOp, blob: tuple[str, bytes] | None, vectors: list[bytes], now: float) -> None:
        namespace = tuple(op.namespace)
        if blob is None:
            self._remove(namespace, op.key)
            return
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
        old = self._live(namespace, op.key, now)
        row = Row(namespace, op.key, blob, old.row.created_at if old else moment, moment, vectors)
        self._items.setdefault(namespace, {})[op.key] = _Entry(row, op.ttl, end_of_life(op.ttl, now))

    def lives(self, keys: Sequence[Key]) -> list[Life | None]:
        now = time.time()
        with self._lock:
            found = [self._live(namespace, key, now) for namespace, key in keys]
            return [
                None if one is None else Life(one.row.created_at, one.row.updated_at, one.expires_at, one.ttl)
                for one in found
            ]

    async def alives(self, keys: Sequence[Key]) -> list[Life | None]:
        """Async twin of `lives`."""
        return self.lives(keys)

    def restore(self, items: Sequence[tuple[PutOp, Life]]) -> None:
        asked = Batch([op for op, _ in items], self._index)
        asked.embed()
        self._restore(asked, items)

    async def arestore(self, items: Sequence[tuple[PutOp, Life]]) -> None:
        """Async twin of `restore`."""
        asked = Batch([op for op, _ in items], self._index)
        await asked.aembed()
        self._restore(asked, items)

    def _restore(self, asked: Batch, items: Sequence[tuple[PutOp, Life]]) -> None:
        encoded = {key: self._encode(op) for key, op in asked.puts.items()}
        with self._lock:
            for op, life in items:
                key = (tuple(op.namespace), op.key)
                self._put(op, encoded[key], asked.vectors(key), time.time())
                entry = self._items[key[0]][key[1]]
                entry.row = entry.row._replace(created_at=life.created_at, updated_at=life.updated_at)
                entry.expires_at, entry.ttl = life.expires_at, life.ttl

    def _remove(self, namespace: tuple[str, ...], key: str) -> None:
        items = self._items.get(namespace, {})
        items.pop(key, None)
        if not items:
            self._items.pop(namespace, None)

    def sweep_ttl(self) -> int:
        now = time.time()
        with self._lock:
            gone = [(ns, key) for ns, items in self._items.items() for key in items if not self._live(ns, key, now)]
            for namespace, key in gone:
                self._remove(namespace, key)
        return len(gone)


def _newest(entry: _Entry) -> Any:
    row = entry.row
    return row.updated_at, row.namespace, row.key
