"""Threads that run plain functions for event loops, many at a time.

Theory of operation:

1. Each event loop has a desk, where the functions that are to run queue up. A worker does one after the other, lays
   their outcomes on the desk and leaves when none is left; then it wakes the loop, once for all of them. So a tick in
   which many runs have something to call costs two changes of thread, not two a function.
2. A function that blocks mustn't keep others waiting. While some wait, the loop looks at its desk every `PATIENCE`
   seconds. It takes what has ended. If that is nothing, although the loop itself was idle and left the workers the
   interpreter, it calls as many workers again as there are, up to `MOST`.
3. Functions may wait for each other: one calls a graph on this very loop and waits for it, and that graph has plain
   functions too. So there is no last worker: past `MOST`, another one comes whenever nothing has ended for `STALL`
   seconds.
4. Whoever is cancelled goes at once. What no worker has taken is then left out. What runs goes on, as nothing can stop
   a thread; the loop's default executor waits for it, so that `asyncio.run` returns after it.
5. The threads are those of an executor that ends with the desk, and the desk with its loop, or when another loop gets
   one after that was closed: outcomes that a closed loop didn't take refer to it. They end before the interpreter
   does, which waits for what they run.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from perdure.pregel.driver import DEFAULT_CONCURRENCY

T = TypeVar("T")

PATIENCE = 0.001
"""Seconds without the end of a function after which more workers come."""

MOST = DEFAULT_CONCURRENCY
"""Workers of one loop, while functions end at all."""

STALL = 0.1
"""Seconds without the end of a function after which one worker more than `MOST` comes."""


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a thread, in a copy of the current context."""
    loop = asyncio.get_running_loop()
    desk = (_here.desk() if _here.loop() is loop else None) or _look_up(loop)
    job = _Job(loop.create_future(), function, args)
    desk.submit(job)
    try:
        return await job.future  # type: ignore[no-any-return]
    except asyncio.CancelledError:
        desk.leave(job)
        raise


def carried(error: BaseException) -> BaseException:
    """Return an error as one that futures and coroutines can carry."""
    if not isinstance(error, StopIteration):
        return error
    stopped = RuntimeError("a function called in a thread raised StopIteration")
    stopped.__cause__ = error
    return stopped


class _Job:
    """A function to call, and how it went.

    Attributes:
        future: What the caller waits for, until it has been told; only its loop touches it.
        is_taken: Whether a worker has it.
        is_over: Whether the function has ended.
        gone: What waits for that end instead of a caller who was cancelled.
    """

    __slots__ = ("_args", "_context", "_function", "error", "future", "gone", "is_over", "is_taken", "result")

    def __init__(self, future: asyncio.Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.future = future
        self._context = contextvars.copy_context()
        self._function = function
        self._args = args
        self.is_taken = False
        self.is_over = False
        self.gone: threading.Event | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._context.run(self._function, *self._args)
        except BaseException as error:  # noqa: BLE001 - belongs to whoever waits
            self.error = error
        del self._context, self._function, self._args  # what they hold may be large, and the outcome may wait
        self.is_over = True
        if self.gone is not None:
            self.gone.set()

    def settle(self) -> None:
        """Tell the caller how it went; on the loop's thread."""
        future, error = self.future, self.error
        del self.future, self.error  # the error's traceback knows this job: a circle would keep all of its frames
        if future.cancelled():
            return
        if error is None:
            future.set_result(self.result)
        else:
            future.set_exception(carried(error))


class _Desk:
    """The functions of one event loop: those that wait, that run, and whose outcomes nobody has taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[_Job] = deque()
        self._ended: list[_Job] = []
        self._workers = 0
        self._count = 0
        self._is_stuck = False
        self._is_told = False
        self._threads = ThreadPoolExecutor(_NO_LIMIT, thread_name_prefix="perdure-node")
        # Of the loop's thread alone:
        self._is_watched = False
        self._last_count = 0
        self._progress = (0.0, 0.0)

    # -- in the loop's thread

    def submit(self, job: _Job) -> None:
        """Queue a function up, and see to it that somebody comes."""
        with self._lock:
            self._queue.append(job)
            call = self._workers == 0 or (self._is_stuck and self._workers < MOST)
            self._workers += call
            self._is_stuck = self._is_stuck and not call  # who follows in this tick waits for the one that comes
        if not self._is_watched:
            self._last_count = self._count
            self._progress = (time.monotonic(), time.thread_time())
            self._watch(job.future.get_loop())
        if call:
            try:
                self._threads.submit(self._serve)
            except RuntimeError:  # the interpreter ends
                self.leave(job)
                raise

    def leave(self, job: _Job) -> None:
        """Do without an outcome."""
        with self._lock:
            if not job.is_taken:
                self._queue.remove(job)
                return
        job.gone = threading.Event()
        if not job.is_over:
            with suppress(RuntimeError):  # the loop ends, and waits for nothing more; the interpreter does
                job.future.get_loop().run_in_executor(None, job.gone.wait)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_watched = True
        loop.call_later(PATIENCE, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take what has ended; call more workers if nothing has, and some wait."""
        self._is_watched = False
        now, used = time.monotonic(), time.thread_time()
        with self._lock:
            if self._count != self._last_count:
                self._last_count = self._count
                self._progress = (now, used)
            quiet = now - self._progress[0]
            idle = quiet - (used - self._progress[1])
            self._is_stuck = self._workers > 0 and (idle >= PATIENCE / 2 or quiet >= STALL)
            more = self._wanted(quiet) if self._is_stuck else 0
            self._workers += more
            goes_on = bool(self._queue) or (self._workers > 0 and not self._is_stuck)
        for _ in range(more):
            self._threads.submit(self._serve)
        if self._ended:
            self._collect()
        if goes_on:
            self._watch(loop)

    def _wanted(self, quiet: float) -> int:
        if self._workers >= MOST and self._queue and quiet >= STALL:
            self._progress = (time.monotonic(), time.thread_time())
            return 1
        return max(0, min(self._workers, len(self._queue), MOST - self._workers))

    def _collect(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
            self._is_told = False
        for job in ended:
            job.settle()

    # -- in the workers' threads

    def _serve(self) -> None:
        """Run what waits, until nothing does."""
        job = self._next(None)
        while job is not None:
            job.run()
            job = self._next(job)

    def _next(self, ended: _Job | None) -> _Job | None:
        """Take the next job; if there is none, this worker leaves, and tells the loop."""
        with self._lock:
            if ended is not None:
                self._ended.append(ended)
                self._count += 1
                self._is_stuck = False
            if self._queue:
                job = self._queue.popleft()
                job.is_taken = True
                return job
            self._workers -= 1
            if self._is_told or not self._ended:
                return None
            self._is_told = True
            loop = self._ended[-1].future.get_loop()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._collect)
        return None


_NO_LIMIT = 1 << 20  # of the executor; the desk has its own

_desks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk] = weakref.WeakKeyDictionary()
_desks_lock = threading.Lock()


class _Here(threading.local):
    """This thread's last loop, and its desk: found faster than in the dict. Keeps neither alive."""

    loop: Callable[[], asyncio.AbstractEventLoop | None] = staticmethod(lambda: None)
    desk: Callable[[], _Desk | None] = staticmethod(lambda: None)


_here = _Here()


def _look_up(loop: asyncio.AbstractEventLoop) -> _Desk:
    desk = _desks.get(loop)
    if desk is None:
        with _desks_lock:
            for closed in [known for known in _desks if known.is_closed()]:
                del _desks[closed]
            desk = _desks[loop] = _Desk()
    _here.loop, _here.desk = weakref.ref(loop), weakref.ref(desk)
    return desk
