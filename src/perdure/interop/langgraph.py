"""LangGraph's graphs on perdure's storage: its contracts of savers and stores, kept by perdure's.

Its own types are stored under names of their own, as data; reading them runs none of its code but their constructors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, overload

try:
    from langgraph import types
    from langgraph.checkpoint.base import BaseCheckpointSaver as LangGraphSaver
    from langgraph.checkpoint.base import CheckpointTuple
    from langgraph.store.base import BaseStore as LangGraphStore
    from langgraph.store.base import Item, SearchItem
except ImportError as missing:
    raise ModuleNotFoundError(
        "perdure.interop.langgraph needs langgraph: pip install langgraph", name=missing.name
    ) from missing

from perdure.checkpoint.adopted import adopt
from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.serde import register
from perdure.checkpoint.serde.schemas import collect_types
from perdure.errors import UsageError
from perdure.store import base as stores

__all__ = ["AdaptedSaver", "AdaptedStore", "from_langgraph", "to_langgraph"]


@cache
def _register_types() -> None:
    """Let LangGraph's own values be stored and read."""
    register(types.Interrupt, encode=lambda i: [i.value, i.id], decode=lambda data: types.Interrupt(*data))
    register(types.Send, encode=lambda s: [s.node, s.arg], decode=lambda data: types.Send(*data))
    register(types.Overwrite, encode=lambda o: o.value, decode=types.Overwrite)
    register(types.Command, encode=_parts, decode=lambda data: types.Command(**data))


def _parts(command: Any) -> dict[str, Any]:
    return {name: getattr(command, name) for name in ("graph", "update", "resume", "goto")}


class AdaptedSaver(LangGraphSaver[Any]):
    """A saver of perdure's, as LangGraph calls one.

    Args:
        inner: The saver. It turns values into bytes; LangGraph's serializer isn't used.
    """

    def __init__(self, inner: BaseCheckpointSaver[Any]) -> None:
        super().__init__()
        self.inner = inner
        _register_types()

    def learn(self, schemas: Iterable[Any]) -> None:
        """Let values of the types that a graph's schemas name be read."""
        for schema in schemas:
            if schema is not None:
                self.inner.register_types(collect_types(schema))

    def get_next_version(self, current: Any, channel: Any) -> Any:
        return self.inner.get_next_version(current, None)

    def get_tuple(self, config: Any) -> CheckpointTuple | None:
        return _theirs(self.inner.get_tuple(config))

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        return _theirs(await self.inner.aget_tuple(config))

    def list(self, config: Any, **options: Any) -> Iterator[CheckpointTuple]:
        for found in self.inner.list(config, **options):
            yield _known(found)

    async def alist(self, config: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        async for found in self.inner.alist(config, **options):
            yield _known(found)

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return self.inner.put(config, checkpoint, metadata, new_versions)

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return await self.inner.aput(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        self.inner.put_writes(config, writes, task_id, task_path)

    async def aput_writes(
        self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self.inner.aput_writes(config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        self.inner.delete_thread(thread_id)

    async def adelete_thread(self, thread_id: str) -> None:
        await self.inner.adelete_thread(thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.inner.delete_for_runs(run_ids)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self.inner.adelete_for_runs(run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.inner.copy_thread(source_thread_id, target_thread_id)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self.inner.acopy_thread(source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: Any = "keep_latest") -> None:
        self.inner.prune(thread_ids, strategy=strategy)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: Any = "keep_latest") -> None:
        await self.inner.aprune(thread_ids, strategy=strategy)


def _theirs(found: Any) -> CheckpointTuple | None:
    return None if found is None else _known(found)


def _known(found: Any) -> CheckpointTuple:
    return CheckpointTuple(
        found.config, found.checkpoint, found.metadata, found.parent_config, found.pending_writes or []
    )


class AdaptedStore(LangGraphStore):
    """A store of perdure's, as LangGraph calls one.

    Args:
        inner: The store.
    """

    def __init__(self, inner: stores.BaseStore) -> None:
        self.inner = inner

    @property
    def supports_ttl(self) -> bool:  # type: ignore[override]  # theirs is a class attribute
        return self.inner.supports_ttl

    def batch(self, ops: Iterable[Any]) -> list[Any]:
        return [_item(result) for result in self.inner.batch(map(_op, ops))]

    async def abatch(self, ops: Iterable[Any]) -> list[Any]:
        return [_item(result) for result in await self.inner.abatch(map(_op, ops))]


def _op(op: Any) -> Any:
    """Return an operation of perdure's: it has the same name and fields."""
    kind = getattr(stores, type(op).__name__)
    fields = op._asdict()
    if fields.get("match_conditions"):
        fields["match_conditions"] = tuple(
            stores.MatchCondition(one.match_type, one.path) for one in fields["match_conditions"]
        )
    return kind(**{name: fields[name] for name in kind._fields if name in fields})


def _item(result: Any) -> Any:
    if isinstance(result, list):
        return [_item(one) for one in result]
    if isinstance(result, stores.SearchItem):
        about = (result.namespace, result.key, result.value, result.created_at, result.updated_at)
        return SearchItem(*about, score=result.score)
    if isinstance(result, stores.Item):
        return Item(
            value=result.value,
            key=result.key,
            namespace=result.namespace,
            created_at=result.created_at,
            updated_at=result.updated_at,
        )
    return result


@overload
def to_langgraph(one: BaseCheckpointSaver[Any]) -> AdaptedSaver: ...
@overload
def to_langgraph(one: stores.BaseStore) -> AdaptedStore: ...


def to_langgraph(one: BaseCheckpointSaver[Any] | stores.BaseStore) -> AdaptedSaver | AdaptedStore:
    """Return a saver or store of perdure's as LangGraph's own graphs are compiled with.

    Args:
        one: The saver or store; it stays the caller's to close.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(one, stores.BaseStore):
        return AdaptedStore(one)
    if isinstance(one, BaseCheckpointSaver):
        return AdaptedSaver(one)
    raise UsageError(
        f"{type(one).__name__} is neither a saver nor a store of perdure's",
        hint="those of LangGraph's are passed to its graphs as they are, and to perdure's by `from_langgraph`",
    )


def from_langgraph(saver: Any) -> BaseCheckpointSaver[Any]:
    """Return a saver that was written for LangGraph as one of perdure's; `compile(checkpointer=...)` does so by itself.

    Args:
        saver: The saver; it stays the caller's to close. One of perdure's comes back as it is.

    Raises:
        TypeError: It lacks a method that LangGraph's contract has.
    """
    found: BaseCheckpointSaver[Any] = adopt(saver)
    return found
