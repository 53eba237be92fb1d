"""What sends the requests of an exchange, in either colour."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from perdure.database.objects.exchange import Exchange, Pause, Request

T = TypeVar("T")


class Client(ABC):
    """Sends requests to one store; safe for any number of threads and event loops.

    A store adds `_send` and `_asend`. See `exchange` for the requests and their answers: nothing is raised that may
    succeed later, it is answered by `Lost`.

    Attributes:
        counts: How many requests of each kind were sent.
    """

    def __init__(self) -> None:
        self.counts = {"get": 0, "put": 0, "delete": 0, "list": 0}
        self._pool: ThreadPoolExecutor | None = None

    @abstractmethod
    def _send(self, request: Request) -> Any:
        """Send a request and return its answer.

        Raises:
            StorageError: The store refuses.
        """

    @abstractmethod
    async def _asend(self, request: Request) -> Any:
        """Async twin of `_send`."""

    def run(self, exchange: Exchange[T]) -> T:
        """Carry out an exchange."""
        answers: Any = None
        while True:
            try:
                wanted = exchange.send(answers)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(wanted, Pause):
                time.sleep(wanted.seconds)
                answers = None
                continue
            self._count(wanted)
            send = map if len(wanted) == 1 else self._threads().map
            answers = list(send(self._send, wanted))

    async def arun(self, exchange: Exchange[T]) -> T:
        """Async twin of `run`."""
        answers: Any = None
        while True:
            try:
                wanted = exchange.send(answers)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(wanted, Pause):
                await asyncio.sleep(wanted.seconds)
                answers = None
                continue
            self._count(wanted)
            if len(wanted) == 1:  # without a task of its own
                answers = [await self._asend(wanted[0])]
            else:
                answers = await asyncio.gather(*[self._asend(one) for one in wanted])

    def close(self) -> None:
        """Stop the threads that sync callers have needed."""
        if self._pool is not None:
            self._pool.shutdown()

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(16, "perdure-objects")
        return self._pool

    def _count(self, requests: list[Request]) -> None:
        for one in requests:
            self.counts[type(one).__name__.lower()] += 1
