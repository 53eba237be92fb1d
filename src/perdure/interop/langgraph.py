"""LangGraph's graphs on perdure's storage: its contracts of savers and stores, kept by perdure's.

Its own types are stored under names of their own, as data; reading them runs none of its code but their constructors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

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

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.serde import register
from perdure.checkpoint.serde.schemas import collect_types
from perdure.store import base as stores

__all__ = ["AdaptedSaver", "AdaptedStore", "saver_for_langgraph", "store_for_langgraph"]


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


def saver_for_langgraph(saver: BaseCheckpointSaver[Any]) -> AdaptedSaver:
    """Return a saver that LangGraph's graphs can be compiled with."""
    return AdaptedSaver(saver)


def store_for_langgraph(store: stores.BaseStore | None) -> AdaptedStore | None:
    """Return a store that LangGraph's graphs can be compiled with; None for none."""
    return None if store is None else AdaptedStore(store)
