"""Runs operations on sync connections, for callers of both colours: turns, retries, and the sharing of transactions.

Theory of operation:

1. A sync caller borrows a connection and runs its operation in its own thread: there is no hop.
2. Async callers' jobs are collected for one tick of their event loop and handed over together. A few threads, started
   when they are needed, take them: one takes *all* plain jobs that wait and runs them as one pipeline, so that they
   share a round trip and an fsync; jobs with transactions of their own are taken one by one. One call wakes all
   that are done. Nothing belongs to a loop, so several loops may use one driver.
3. A job of a shared pipeline that the database refuses spoils it: then each runs alone.
4. What may be tried again is: a lost connection, a restart, a deadlock. Each attempt makes its operations anew, on
   another connection if that one is broken. Operations are idempotent, so it doesn't matter how far a lost one came.
5. A finalizer may call amid anything, even amid a call of the same thread, which holds the only connection. What it
   leaves (`later`) is given to a thread, and it never waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from perdure.database.attempts import Attempts
from perdure.database.operation import Op
from perdure.database.pooling import PoolUse
from perdure.database.postgres.errors import mapped, may_be_retried
from perdure.database.postgres.exchange import SHARED, Exchange, Job, Merge, Mode, exchanges
from perdure.database.postgres.sources import Source
from perdure.database.waking import wake
from perdure.errors import UsageError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from perdure.database.postgres.connecting import Link

T = TypeVar("T")

_MOST_TOGETHER = 64  # each transaction has its price; more at once would leave the event loop idle meanwhile


class Driver:
    """Owns the way to the database.

    Args:
        source: Lends connections.
        retry_for: Seconds to go on trying, since the first failure.
        threads: How many threads serve async callers, at most.
        merge: Makes fewer statements of those that many callers send at once.
    """

    def __init__(self, source: Source, retry_for: float, threads: int, merge: Merge) -> None:
        self._merge = merge
        self._source = source
        self._retry_for = retry_for
        self._most_threads = max(1, min(threads, source.size))
        self._room = threading.Condition()
        self._plain: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._plain_first = False
        self._ticks: dict[AbstractEventLoop, list[Job]] = {}
        self._pid = os.getpid()
        self._closed = False

    @property
    def where(self) -> str:
        """The database, for messages."""
        return self._source.where

    @property
    def pool(self) -> PoolUse:
        """How many of its connections are used."""
        return self._source.turnstile.use

    # -- the two doors

    def run(self, make: Callable[[], Op[T]], mode: Mode, *, later: bool = False) -> T | None:
        """Run an operation in this thread.

        Args:
            make: Makes the operation.
            mode: Its transaction.
            later: Whether it may run after this call, if this thread is in the middle of another one.
        """
        self._check_usable()
        job = Job(make, mode)
        if later and self._source.turnstile.is_mine:
            self._hand_over([job])
            return None
        self._work([job])
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[no-any-return]

    async def arun(self, make: Callable[[], Op[T]], mode: Mode, key: str = "") -> T:
        """Run an operation on one of the driver's threads, together with what others ask."""
        from asyncio import get_running_loop

        self._check_usable()
        loop = get_running_loop()
        job = Job(make, mode, key)
        job.future = loop.create_future()
        tick = self._ticks.get(loop)
        if tick is None:
            self._ticks[loop] = [job]
            loop.call_soon(self._flush, loop)
        else:
            tick.append(job)
        return await job.future  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the threads, after what is under way, and close the connections that are the driver's own."""
        with self._room:
            if self._closed:
                return
            self._closed = True
            self._room.notify_all()
        if os.getpid() == self._pid:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()
        self._source.close()

    def abandon(self) -> None:
        """Let the threads end, without waiting: the saver was forgotten."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("the saver is closed", hint="use it inside of its `with` block")
        if os.getpid() != self._pid:
            # The sockets are the parent's too: two processes must never write to one.
            raise UsageError(
                "the saver was opened before this process was forked",
                hint="open a saver in each process: a connection can't be shared by two",
            )

    # -- threads for async callers

    def _flush(self, loop: AbstractEventLoop) -> None:
        self._hand_over(self._ticks.pop(loop))

    def _hand_over(self, jobs: Sequence[Job]) -> None:
        with self._room:
            for job in jobs:
                (self._plain if job.mode in SHARED else self._others).append(job)
            wanted = min(len(self._others) + bool(self._plain), self._most_threads)
            for _ in range(min(wanted - self._waiting, self._most_threads - len(self._threads))):
                thread = threading.Thread(target=self._serve, name="perdure-postgres", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._room.notify(wanted)

    def _serve(self) -> None:
        while jobs := self._next():
            try:
                self._work(jobs)
            except BaseException as e:  # noqa: BLE001 - belongs to the callers, who wait for it
                for job in jobs:
                    job.error = job.error or e
            wake(jobs)

    def _next(self) -> list[Job]:
        """Wait for jobs that can run together; none: the driver is closed and all are done."""
        with self._room:
            while True:
                self._plain_first = not self._plain_first  # neither kind can keep the other waiting
                if self._plain and (self._plain_first or not self._others):
                    count = min(len(self._plain), _MOST_TOGETHER)
                    return [self._plain.popleft() for _ in range(count)]
                if self._others:
                    return [self._others.popleft()]
                if self._closed:
                    return []
                self._waiting += 1
                self._room.wait()
                self._waiting -= 1

    # -- attempts

    def _work(self, jobs: Sequence[Job]) -> None:
        """Run jobs until each has a result or an error that more attempts won't change."""
        attempts = Attempts(self._retry_for)
        while True:
            jobs = [job for job in jobs if not self._is_settled(job)]
            if not jobs:
                return
            error = self._attempt(jobs)
            if error is None:
                continue
            if not may_be_retried(error) or not self._source.has_served:
                if len(jobs) > 1 and self._source.has_served:
                    self._work_alone(jobs)
                else:
                    self._fail(jobs, error)
                return
            pause = attempts.pause()
            if pause is None:
                self._fail(jobs, error)
                return
            time.sleep(pause)

    @staticmethod
    def _is_settled(job: Job) -> bool:
        """Tell whether a job needs no (more) attempt; get it ready for one if it does."""
        if not job.done:
            job.reset()
        return job.done

    def _work_alone(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._work([job])

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        for job in jobs:
            job.done = True
            job.error = mapped(error, self.where)

    def _attempt(self, jobs: Sequence[Job]) -> BaseException | None:
        """Run jobs once on a connection; return what went wrong there."""
        try:
            with self._source.lend(self._retry_for) as link:
                for group, exchange in exchanges(jobs, self._merge):
                    try:
                        _carry(link, exchange)
                    except BaseException:
                        # None of the group counts, even those whose operation had come to its end.
                        for job in group:
                            job.reset()
                        raise
        except UsageError:
            raise
        except Exception as e:  # noqa: BLE001 - of the connection, or of the database
            return e
        return None


def _carry(link: Link, exchange: Exchange) -> None:
    """Carry an exchange's batches to the server."""
    try:
        batch = next(exchange)
        while True:
            batch = exchange.send(link.execute(batch))
    except StopIteration:
        pass
    finally:
        exchange.close()
