"""A driver for a client that blocks: it serves callers of both colours, and begins again after errors that pass.

It runs generators that yield batches of commands, each one round trip, and are sent their replies. What the commands
are is known to the one who sends them. A generator may be made and run anew as often as it takes: whoever writes one
sees to that.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from asyncio import get_running_loop, wrap_future
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from perdure.database.attempts import Attempts
from perdure.errors import TransientStorageError, UsageError

T = TypeVar("T")

Exchange = Generator[Sequence[Any], Sequence[Any], T]

_THREADS: Final = 8


class _Again(Exception):
    """An error that may pass."""

    def __init__(self, error: TransientStorageError) -> None:
        super().__init__()
        self.error = error


class BlockingDriver(ABC):
    """Runs exchanges on a client that blocks; those of async callers on threads of its own.

    Args:
        where: What the client connects to, for people.
        retry_for: Seconds to go on trying, since the first failure.
    """

    def __init__(self, where: str, retry_for: float = 30.0) -> None:
        self.where = where
        self._retry_for = retry_for
        self._closed = False
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0

    @abstractmethod
    def _send(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Send commands that don't need each other, and return the reply of each; called by any thread.

        Raises:
            TransientStorageError: It may work later; then the exchange is begun anew.
            StorageError: It won't.
        """

    def _hang_up(self) -> None:  # noqa: B027 - a client may be the caller's
        """Close the client, if it is the driver's own."""

    def run(self, make: Callable[[], Exchange[T]]) -> T:
        """Run an exchange in this thread."""
        self._check_usable()
        return self._work(make)

    def run_aside(self, make: Callable[[], Exchange[None]]) -> None:
        """Run an exchange in this thread; or, not to be waited for, on another, if this one is in the middle of one."""
        self._check_usable()
        if getattr(self._mine, "busy", False):
            self._on_thread(make)
        else:
            self._work(make)

    async def arun(self, make: Callable[[], Exchange[T]]) -> T:
        """Run an exchange on one of the driver's threads."""
        self._check_usable()
        return await wrap_future(self._on_thread(make), loop=get_running_loop())

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("the saver is closed", hint="use it inside of its `with` block")

    def _on_thread(self, make: Callable[[], Exchange[Any]]) -> Any:
        if self._threads is None or self._process != os.getpid():  # a fork takes no threads along
            with self._lock:
                if self._threads is None or self._process != os.getpid():
                    self._threads = ThreadPoolExecutor(_THREADS, "perdure-driver")
                    self._process = os.getpid()
        return self._threads.submit(self._work, make)

    def _work(self, make: Callable[[], Exchange[T]]) -> T:
        attempts = Attempts(self._retry_for)
        self._mine.busy = True
        try:
            while True:
                try:
                    return self._carry(make())
                except _Again as again:
                    pause = attempts.pause()
                    if pause is None:
                        raise again.error from again.error.__cause__
                    time.sleep(pause)
        finally:
            self._mine.busy = False

    def _carry(self, exchange: Exchange[T]) -> T:
        try:
            batch = next(exchange)
            while True:
                try:
                    replies = self._send(batch)
                except TransientStorageError as error:  # of the client: one of the exchange's own is final
                    raise _Again(error) from error
                batch = exchange.send(replies)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            exchange.close()

    def close(self) -> None:
        """End the threads, after what is under way, and close the client if it is the driver's own."""
        self._closed = True
        if self._threads is not None and self._process == os.getpid():
            self._threads.shutdown()
        self._hang_up()

    def abandon(self) -> None:
        """Close the client, if it is the driver's own."""
        self._closed = True
        self._hang_up()
