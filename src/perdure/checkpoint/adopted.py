"""Savers written for another library's contract of the same shape, adopted as savers of this one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from perdure.checkpoint import bridge
from perdure.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from perdure.types import RunnableConfig

_CLASSIC = ("get_tuple", "list", "put", "put_writes", "delete_thread")


class AdoptedSaver(BaseCheckpointSaver[Any]):
    """Calls a saver that has the six classic methods but isn't a subclass of this library's contract.

    It has what the classic contract gives: no comparison of the head across processes, no leases, and the savers'
    own serializer. A method that only its base class defines counts as missing, and the other colour serves instead.

    Args:
        inner: The saver.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.loop = getattr(inner, "loop", None)

    def _has(self, name: str) -> bool:
        """Tell whether the saver's own classes, below its contract's base, define the method."""
        return any(name in vars(cls) for cls in type(self.inner).__mro__ if not cls.__name__.startswith("Base"))

    def _call(self, name: str, *args: Any) -> Any:
        if self._has(name):
            return getattr(self.inner, name)(*args)
        return bridge.run_on_loop(self, getattr(self.inner, "a" + name)(*args))

    async def _acall(self, name: str, *args: Any) -> Any:
        if self._has("a" + name):
            return await getattr(self.inner, "a" + name)(*args)
        return await bridge.to_thread(getattr(self.inner, name), *args)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return _own(self._call("get_tuple", config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return _own(await self._acall("get_tuple", config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        where = {"filter": filter, "before": before, "limit": limit}
        found = self.inner.list(config, **where) if self._has("list") else self._collected(config, where)
        return (CheckpointTuple(*one) for one in found)

    def _collected(self, config: Any, where: dict[str, Any]) -> Any:
        async def collect() -> Any:
            return [one async for one in self.inner.alist(config, **where)]

        return bridge.run_on_loop(self, collect())

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        where: dict[str, Any] = {"filter": filter, "before": before, "limit": limit}
        if self._has("alist"):
            async for one in self.inner.alist(config, **where):
                yield CheckpointTuple(*one)
            return
        for one in await bridge.to_thread(lambda: [*self.inner.list(config, **where)]):
            yield CheckpointTuple(*one)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self._call("put", config, checkpoint, metadata, new_versions)  # type: ignore[no-any-return]

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._acall("put", config, checkpoint, metadata, new_versions)  # type: ignore[no-any-return]

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self._call("put_writes", config, writes, task_id, task_path)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._acall("put_writes", config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        self._call("delete_thread", thread_id)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._acall("delete_thread", thread_id)

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self.inner.get_next_version(current, channel)


def _own(found: Any) -> CheckpointTuple | None:
    return None if found is None else CheckpointTuple(*found)


def adopt(saver: Any) -> Any:
    """Return a saver of this library as it is, and another one wrapped, if it has the classic methods.

    Raises:
        TypeError: It lacks one of them.
    """
    if isinstance(saver, BaseCheckpointSaver):
        return saver
    missing = [name for name in _CLASSIC if not callable(getattr(saver, name, None))]
    if missing:
        raise TypeError(f"{type(saver).__name__} is no saver: it has no {', '.join(missing)}")
    return AdoptedSaver(saver)
