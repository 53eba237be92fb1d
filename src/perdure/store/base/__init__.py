"""The contract of stores: long-term memory, in namespaces, shared by all threads.

The law:

1. An item is a dict under a key in a namespace, which is a tuple of labels. Namespaces are compared label by label: no
   label matches by a part of it, whatever characters it has.
2. A batch is atomic. Its reads see what was there before it; of several puts under one key the last counts.
3. Values are copies: changing one that was given or returned changes nothing in the store. They keep their types, as
   far as the serializer knows them.
4. `search` without a query returns what was updated last first; with one, what is most alike first, and then what has
   no vector. `list_namespaces` is in the order of the labels.
5. An item whose time to live has passed is never returned, also before it is swept out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypedDict

from perdure.errors import UsageError
from perdure.store.base.embed import AEmbeddingsFunc, Distance, Embeddings, EmbeddingsFunc, ensure_embeddings
from perdure.store.base.paths import get_text_at_path, tokenize_path

__all__ = [
    "NOT_PROVIDED",
    "AEmbeddingsFunc",
    "BaseStore",
    "Embeddings",
    "EmbeddingsFunc",
    "GetOp",
    "IndexConfig",
    "InvalidNamespaceError",
    "Item",
    "ListNamespacesOp",
    "MatchCondition",
    "NamespaceMatchType",
    "NamespacePath",
    "NotProvided",
    "Op",
    "PutOp",
    "Result",
    "SearchItem",
    "SearchOp",
    "TTLConfig",
    "ensure_embeddings",
    "get_text_at_path",
    "tokenize_path",
    "validate_op_namespace",
]

NamespacePath = tuple[str, ...]
"""Labels; `*` stands for any one label."""

NamespaceMatchType = Literal["prefix", "suffix"]


class InvalidNamespaceError(UsageError, ValueError):
    """A namespace that no item can have."""


class StoreUsageError(UsageError, ValueError, TypeError):
    """An operation that no store can do."""


class NotProvided:
    """Says that an argument wasn't given, where None means something."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_PROVIDED"


NOT_PROVIDED: Final = NotProvided()


class Item:
    """What is stored under a key.

    Attributes:
        value: A dict.
        key: Unique in its namespace.
        namespace: The labels.
        created_at: When the key was first put, in UTC.
        updated_at: When it was last put, in UTC.
    """

    __slots__ = ("created_at", "key", "namespace", "updated_at", "value")

    def __init__(
        self,
        *,
        value: dict[str, Any],
        key: str,
        namespace: Sequence[str],
        created_at: datetime | str,
        updated_at: datetime | str,
    ) -> None:
        self.value = value
        self.key = key
        self.namespace = tuple(namespace)
        self.created_at = _moment(created_at)
        self.updated_at = _moment(updated_at)

    def dict(self) -> dict[str, Any]:
        """Return the item as plain data, times as ISO 8601."""
        return {
            "namespace": list(self.namespace),
            "key": self.key,
            "value": self.value,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Item):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in Item.__slots__)

    def __hash__(self) -> int:
        return hash((self.namespace, self.key))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.dict().items())})"


def _moment(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class SearchItem(Item):
    """An item that a search found.

    Attributes:
        score: How alike it is to the query, at most 1; None without a query, or if it has no vector.
    """

    __slots__ = ("score",)

    def __init__(
        self,
        namespace: Sequence[str],
        key: str,
        value: dict[str, Any],
        created_at: datetime | str,
        updated_at: datetime | str,
        score: float | None = None,
    ) -> None:
        super().__init__(value=value, key=key, namespace=namespace, created_at=created_at, updated_at=updated_at)
        self.score = score

    def dict(self) -> dict[str, Any]:
        return {**super().dict(), "score": self.score}


class GetOp(NamedTuple):
    """Read one item.

    Attributes:
        refresh_ttl: Whether its time to live begins anew.
    """

    namespace: tuple[str, ...]
    key: str
    refresh_ttl: bool = True


class SearchOp(NamedTuple):
    """Find items in a namespace and all below it.

    Attributes:
        filter: Values that items must have, by key: a value, or operators `$eq $ne $gt $gte $lt $lte`.
        query: Text that they shall be alike to; needs an index.
        refresh_ttl: Whether the time to live of what is found begins anew.
    """

    namespace_prefix: tuple[str, ...]
    filter: dict[str, Any] | None = None
    limit: int = 10
    offset: int = 0
    query: str | None = None
    refresh_ttl: bool = True


class PutOp(NamedTuple):
    """Store an item, or delete it.

    Attributes:
        value: None deletes.
        index: Paths of the texts that make it searchable; False for none; None for those of the store's index.
        ttl: Minutes that it lives; None for ever.
    """

    namespace: tuple[str, ...]
    key: str
    value: Mapping[str, Any] | None
    index: Literal[False] | list[str] | None = None  # type: ignore[assignment]  # a name that users know
    ttl: float | None = None


class MatchCondition(NamedTuple):
    """What a namespace begins or ends with."""

    match_type: NamespaceMatchType
    path: NamespacePath


class ListNamespacesOp(NamedTuple):
    """List the namespaces that have items.

    Attributes:
        max_depth: Cut longer ones to so many labels.
    """

    match_conditions: tuple[MatchCondition, ...] | None = None
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0


Op = GetOp | SearchOp | PutOp | ListNamespacesOp
Result = Item | list[Item] | list[SearchItem] | list[tuple[str, ...]] | None


class TTLConfig(TypedDict, total=False):
    """How long items live.

    Attributes:
        refresh_on_read: Whether reading begins the time anew, if the read doesn't say (True).
        default_ttl: Minutes that items live whose put doesn't say; for ever if not given.
        sweep_interval_minutes: How often `start_ttl_sweeper` deletes what has expired (5).
    """

    refresh_on_read: bool
    default_ttl: float | None
    sweep_interval_minutes: int | None


class IndexConfig(TypedDict, total=False):
    """How items are made searchable by meaning.

    Attributes:
        dims: The length of a vector.
        embed: Turns texts into vectors: an object with `embed_documents` and `embed_query`, a function of a list of
            texts, or a coroutine function of one.
        fields: Paths of the texts, `["$"]` (the whole value) by default.
        distance_type: What makes vectors alike: `cosine` (default), `inner_product` or `l2`. Scores are the cosine, the
            product, or the distance below zero. It can't be changed for items that are stored.
    """

    dims: int
    embed: Embeddings | EmbeddingsFunc | AEmbeddingsFunc | str
    fields: list[str] | None
    distance_type: Distance


def validate_op_namespace(op: Op) -> None:
    """Check the namespace of a put.

    Raises:
        InvalidNamespaceError: No item can have it.
    """
    if isinstance(op, PutOp):
        validate_namespace(op.namespace)


def validate_namespace(namespace: tuple[str, ...]) -> None:
    """Check a namespace that an item is to have.

    Raises:
        InvalidNamespaceError: No item can have it.
    """
    if isinstance(namespace, str) or not isinstance(namespace, Sequence):
        raise InvalidNamespaceError(f"a namespace is a tuple of labels, not {namespace!r}", hint="('users', 'ada')")
    if not namespace:
        raise InvalidNamespaceError("the namespace is empty", hint="give it a label, as in ('users',)")
    for label in namespace:
        if not isinstance(label, str) or not label:
            raise InvalidNamespaceError(f"the label {label!r} in {namespace!r} is not a non-empty text")
        if "." in label:
            raise InvalidNamespaceError(
                f"the label {label!r} in {namespace!r} has a period, which other programs take for a separator",
                hint="use another character, or two labels",
            )
    if namespace[0] == "langgraph":
        raise InvalidNamespaceError("the first label can't be 'langgraph': servers keep their own items there")


class BaseStore(ABC):
    """A store. See this module's docstring for the law.

    Implement `batch` and `abatch`; everything else is made of them.
    """

    supports_ttl: bool = False
    ttl_config: TTLConfig | None = None

    @abstractmethod
    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations; return their results in order."""

    @abstractmethod
    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Async twin of `batch`."""

    def _refresh(self, refresh: bool | None) -> bool:
        return (self.ttl_config or {}).get("refresh_on_read", True) if refresh is None else refresh

    def _ttl(self, ttl: float | None | NotProvided) -> float | None:
        if not isinstance(ttl, NotProvided):
            return ttl
        return (self.ttl_config or {}).get("default_ttl")

    def get(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        """Return an item, None if there is none.

        Args:
            namespace: Its labels.
            key: Its key.
            refresh_ttl: Whether its time to live begins anew; None: as the store's `TTLConfig` says.
        """
        return self.batch([GetOp(tuple(namespace), str(key), self._refresh(refresh_ttl))])[0]  # type: ignore[return-value]

    def search(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """Find items in a namespace and all below it; see `SearchOp`."""
        op = SearchOp(tuple(namespace_prefix), filter, limit, offset, query, self._refresh(refresh_ttl))
        return self.batch([op])[0]  # type: ignore[return-value]

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any] | None,
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | None | NotProvided = NOT_PROVIDED,
    ) -> None:
        """Store an item; replaces what the key had.

        Args:
            namespace: Its labels.
            key: Its key.
            value: A dict; None deletes.
            index: See `PutOp`.
            ttl: Minutes that it lives; None for ever; as the store's `TTLConfig` says if not given.

        Raises:
            InvalidNamespaceError: No item can have this namespace.
            SerializationError: The value can't be stored.
        """
        validate_namespace(namespace)
        self.batch([PutOp(tuple(namespace), str(key), _as_dict(value), index, self._ttl(ttl))])

    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        """Delete an item, if it is there."""
        self.batch([PutOp(tuple(namespace), str(key), None)])

    def list_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[tuple[str, ...]]:
        """List the namespaces that have items; see `ListNamespacesOp`."""
        return self.batch([_listing(prefix, suffix, max_depth, limit, offset)])[0]  # type: ignore[return-value]

    async def aget(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        """Async twin of `get`."""
        return (await self.abatch([GetOp(tuple(namespace), str(key), self._refresh(refresh_ttl))]))[0]  # type: ignore[return-value]

    async def asearch(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """Async twin of `search`."""
        op = SearchOp(tuple(namespace_prefix), filter, limit, offset, query, self._refresh(refresh_ttl))
        return (await self.abatch([op]))[0]  # type: ignore[return-value]

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any] | None,
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | None | NotProvided = NOT_PROVIDED,
    ) -> None:
        """Async twin of `put`."""
        validate_namespace(namespace)
        await self.abatch([PutOp(tuple(namespace), str(key), _as_dict(value), index, self._ttl(ttl))])

    async def adelete(self, namespace: tuple[str, ...], key: str) -> None:
        """Async twin of `delete`."""
        await self.abatch([PutOp(tuple(namespace), str(key), None)])

    async def alist_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[tuple[str, ...]]:
        """Async twin of `list_namespaces`."""
        return (await self.abatch([_listing(prefix, suffix, max_depth, limit, offset)]))[0]  # type: ignore[return-value]


def _listing(
    prefix: NamespacePath | None, suffix: NamespacePath | None, max_depth: int | None, limit: int, offset: int
) -> ListNamespacesOp:
    conditions = []
    if prefix:
        conditions.append(MatchCondition("prefix", tuple(prefix)))
    if suffix:
        conditions.append(MatchCondition("suffix", tuple(suffix)))
    return ListNamespacesOp(tuple(conditions) or None, max_depth, limit, offset)


def _as_dict(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise StoreUsageError(
            f"a store keeps dicts, not a {type(value).__name__}", hint="wrap it, as in {'value': ...}"
        )
    return dict(value)
