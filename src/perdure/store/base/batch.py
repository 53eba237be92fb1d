"""`AsyncBatchedBaseStore`: gathers what coroutines ask in one tick of the event loop into one batch."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from perdure.store.base import BaseStore, Op, PutOp, Result

__all__ = ["AsyncBatchedBaseStore"]


class AsyncBatchedBaseStore(BaseStore):
    """A base for stores to which one large batch is cheaper than many small ones.

    Operations that coroutines of one event loop ask for in one tick become one call of `abatch_now`. What is put
    is seen by whoever asks after the put was awaited. A batch that fails is done again operation by operation, so that
    callers don't fail for each other.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[tuple[list[Op], asyncio.Future[list[Result]]]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def abatch_now(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations of several callers, as `abatch`."""

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Result]] = loop.create_future()
        waiting = self._waiting.setdefault(loop, [])
        if not waiting:
            loop.call_soon(self._flush, loop)
        waiting.append((list(ops), future))
        return await future

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._do(self._waiting.pop(loop)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _do(self, waiting: list[tuple[list[Op], asyncio.Future[list[Result]]]]) -> None:
        for group in _groups(waiting):
            try:
                results = await self.abatch_now([op for ops, _ in group for op in ops])
            except Exception as error:  # noqa: BLE001 - told to the caller whose fault it is
                if len(group) == 1:
                    _tell(group[0][1], error)
                else:
                    for one in group:
                        await self._do([one])
                continue
            at = 0
            for ops, future in group:
                if not future.done():
                    future.set_result(results[at : at + len(ops)])
                at += len(ops)


def _groups(waiting: list[Any]) -> list[list[Any]]:
    """Split callers where one puts what another has put: in a batch, only the last put of a key counts."""
    groups: list[list[Any]] = []
    keys: set[Any] = set()
    for ops, future in waiting:
        mine = {(op.namespace, op.key) for op in ops if isinstance(op, PutOp)}
        if not groups or mine & keys:
            groups.append([])
            keys = set()
        groups[-1].append((ops, future))
        keys |= mine
    return groups


def _tell(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
