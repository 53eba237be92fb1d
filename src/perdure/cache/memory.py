"""A cache in this process's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from perdure.cache.base import BaseCache, FullKey, Namespace, ValueT
from perdure.checkpoint.serde.base import SerializerProtocol

__all__ = ["InMemoryCache"]


class InMemoryCache(BaseCache[ValueT]):
    """Keeps values until the process ends or they expire; thread-safe.

    Args:
        serde: Turns values into bytes.
        most: Values that it holds at most; beyond it the oldest half goes.
    """

    def __init__(self, *, serde: SerializerProtocol | None = None, most: int = 100_000) -> None:
        super().__init__(serde=serde)
        self._most = most
        self._lock = threading.Lock()
        self._values: dict[FullKey, tuple[tuple[str, bytes], float | None]] = {}

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        now = time.time()
        found = {}
        with self._lock:
            for key in keys:
                blob, end = self._values.get(key, (None, None))
                if blob is None:
                    continue
                if end is not None and end <= now:
                    del self._values[key]
                else:
                    found[key] = blob
        return self._decoded(found)

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        return self.get(keys)

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        now = time.time()
        encoded = {
            key: (self.serde.dumps_typed(value), None if ttl is None else now + ttl)
            for key, (value, ttl) in pairs.items()
        }
        with self._lock:
            self._values.update(encoded)
            if len(self._values) > self._most:
                for key in list(self._values)[: self._most // 2]:
                    del self._values[key]

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        self.set(pairs)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        with self._lock:
            if namespaces is None:
                self._values.clear()
                return
            gone = {tuple(namespace) for namespace in namespaces}
            self._values = {key: value for key, value in self._values.items() if key[0] not in gone}

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        self.clear(namespaces)
