"""The contract of caches.

The law:

1. A value is under a key in a namespace; both together are the full key. `get` returns those that are there and have
   not expired, and leaves out the others.
2. A cache may forget anything at any time: nothing but speed depends on it.
3. Values are copies, made by the serializer; a value that it can't read back counts as not there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import SerializationError, StorageError

__all__ = ["BaseCache", "FullKey", "Namespace", "ValueT"]

ValueT = TypeVar("ValueT")
Namespace = tuple[str, ...]
FullKey = tuple[Namespace, str]


class BaseCache(ABC, Generic[ValueT]):
    """A cache. See this module's docstring for the law.

    Args:
        serde: Turns values into bytes.
    """

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        self.serde: SerializerProtocol = serde or JsonPlusSerializer()

    @abstractmethod
    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """Return the values that are there."""

    @abstractmethod
    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """Async twin of `get`."""

    @abstractmethod
    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """Keep values, each with the seconds that it is valid; None: for ever."""

    @abstractmethod
    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """Async twin of `set`."""

    @abstractmethod
    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget all of some namespaces; of all if None."""

    @abstractmethod
    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Async twin of `clear`."""

    def _decoded(self, found: Mapping[FullKey, tuple[str, bytes]]) -> dict[FullKey, Any]:
        values = {}
        for key, blob in found.items():
            try:
                values[key] = self.serde.loads_typed(blob)
            except (SerializationError, StorageError):  # law 3: it is made anew
                continue
        return values
