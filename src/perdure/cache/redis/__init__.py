"""A cache in Redis or Valkey, which any number of machines may share."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

try:
    import redis
except ImportError as missing:
    raise ImportError(
        "perdure.cache.redis needs redis-py: pip install 'perdure[redis]'", name=missing.name
    ) from missing

from perdure.cache.base import BaseCache, FullKey, Namespace, ValueT
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.errors import InvalidConfigError, StorageError, TransientStorageError

__all__ = ["RedisCache"]

_PAGE: Final = 1000
_SPECIAL = re.compile(r"([\\*?\[\]])")


class RedisCache(BaseCache[ValueT]):
    """Keeps values in Redis or Valkey, which forgets them when their time is over.

    One object serves sync and async callers; async ones wait in a thread. It doesn't close the client.

    Args:
        redis: A client: `redis.Redis.from_url("redis://localhost")`.
        serde: Turns values into bytes.
        prefix: What the keys begin with; caches with different ones don't see each other.

    Raises:
        InvalidConfigError: It isn't a synchronous client, or one that decodes its replies.
    """

    def __init__(self, redis: Any, *, serde: SerializerProtocol | None = None, prefix: str = "perdure:cache:") -> None:
        super().__init__(serde=serde)
        _check(redis)
        self.redis = redis
        self.prefix = prefix

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        if not keys:
            return {}
        with _mapped():
            stored: list[bytes | None] = self.redis.mget([self._key(*key) for key in keys])
        return self._decoded({key: _blob(one) for key, one in zip(keys, stored, strict=True) if one is not None})

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        return await asyncio.to_thread(self.get, keys)

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        encoded = [
            (self._key(*key), _frame(*self.serde.dumps_typed(value)), ttl) for key, (value, ttl) in pairs.items()
        ]
        with _mapped(), self.redis.pipeline(transaction=False) as pipeline:
            for key, frame, ttl in encoded:
                pipeline.set(key, frame, ex=ttl)
            pipeline.execute()

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        await asyncio.to_thread(self.set, pairs)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        parts = [self.prefix] if namespaces is None else [self._key(namespace, "") for namespace in namespaces]
        with _mapped():
            for part in parts:
                page: list[bytes] = []
                for key in self.redis.scan_iter(match=_SPECIAL.sub(r"\\\1", part) + "*", count=_PAGE):
                    page.append(key)
                    if len(page) == _PAGE:
                        self.redis.unlink(*page)
                        page = []
                if page:
                    self.redis.unlink(*page)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        await asyncio.to_thread(self.clear, namespaces)

    def _key(self, namespace: Namespace, key: str) -> str:
        return f"{self.prefix}{json.dumps(list(namespace))}{key}"  # the list's end can't be part of another list


def _check(client: Any) -> None:
    if not hasattr(client, "mget") or asyncio.iscoroutinefunction(getattr(client, "ping", None)) or _is_async(client):
        raise InvalidConfigError(
            f"RedisCache takes a synchronous client, not {client!r:.100}",
            hint="RedisCache(redis.Redis.from_url('redis://localhost')); it serves async callers too",
        )
    pool = getattr(client, "connection_pool", None)
    if pool is not None and pool.connection_kwargs.get("decode_responses"):
        raise InvalidConfigError(
            "the client decodes its replies as text, and what a cache keeps is bytes",
            hint="make it without decode_responses=True",
        )


def _is_async(client: Any) -> bool:
    return any(cls.__module__.startswith("redis.asyncio") for cls in type(client).__mro__)


def _frame(kind: str, data: bytes) -> bytes:
    name = kind.encode()
    return bytes((len(name),)) + name + data


def _blob(frame: bytes) -> tuple[str, bytes]:
    end = 1 + frame[0] if frame else 0
    return frame[1:end].decode(errors="replace"), frame[end:]


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn the client's errors into perdure's."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise TransientStorageError(f"the cache can't be reached: {error}", hint="is Redis running there?") from error
    except redis.RedisError as error:
        raise StorageError(f"the cache refused: {error}") from error
