"""The driver for synchronous callers: tasks run in the caller's thread, or in a pool where there are several."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from perdure.pregel.driver import DEFAULT_CONCURRENCY, MAX_LAG, before_config, failure_of
from perdure.pregel.effects import Execute, Load, LoadBefore, LoadHead, Memorise, Recall, Store
from perdure.pregel.execute import run_task
from perdure.pregel.run import Run

if TYPE_CHECKING:
    from perdure.pregel.effects import Loop
    from perdure.pregel.stream import Event
    from perdure.pregel.task import Task


def drive(run: Run, loop: Loop) -> Iterator[Event]:
    """Drive a run to its end, yielding the events that somebody listens to."""
    sink = run.sink
    commits = run.commits = _Commits(run)
    put = commits.put if commits.is_behind else commits.commit
    reply: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                effect = loop.send(reply) if error is None else loop.throw(error)
            except StopIteration:
                break
            reply = error = None
            if sink.events and run.owns_sink:
                yield from sink.drain()
            try:
                if isinstance(effect, Store):
                    put(effect.prepared)
                elif isinstance(effect, Execute):
                    tasks = effect.tasks
                    if len(tasks) == 1 and not run.listens:
                        began = time.monotonic() if run.step_timeout is not None else 0.0
                        run_task(run, tasks[0])
                        run.ended(tasks)
                        if run.step_timeout is not None:
                            run.is_late = time.monotonic() - began > run.step_timeout
                    else:
                        yield from _execute(run, tasks, commits)
                else:
                    reply = commits.read(effect)
            except GeneratorExit:
                raise
            except BaseException as e:  # noqa: BLE001 - the loop decides
                error = e
        commits.settle()
        if run.owns_sink:
            yield from sink.drain()
    except GeneratorExit:  # nobody reads any more
        raise
    except BaseException:
        if run.owns_sink:
            yield from sink.drain()
        raise
    finally:
        loop.close()
        commits.close()
        run.let_go()


_WORKER_DONE = object()

FIRST_WORKERS = 4
"""Threads that a superstep of several tasks begins with."""

PATIENCE = 0.001
"""Seconds without the end of a task after which twice as many threads work."""


def _execute(run: Run, tasks: Sequence[Task], commits: _Commits) -> Iterator[Event]:
    """Run tasks in threads; commit the writes of those that ended; pass on events meanwhile.

    A few threads begin; as long as tasks take their time, more join them, up to the limit: starting a thread costs more
    than many a task. After a failure, or when the superstep has taken longer than it may, no further task is started;
    those that run are waited for, as nothing can stop a thread, and what they finish is kept.
    """
    sink = run.sink
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    todo = deque(tasks)
    if run.listens:
        sink.notify = lambda: ended.put(None)
    limit = min(run.config.get("max_concurrency") or DEFAULT_CONCURRENCY, len(tasks))
    pool = ThreadPoolExecutor(limit, thread_name_prefix="perdure-task")
    left, started, working = len(tasks), 0, 0
    wanted = min(limit, FIRST_WORKERS)
    end = None if run.step_timeout is None else time.monotonic() + run.step_timeout
    try:
        while working or not started:
            for _ in range(started, wanted):
                pool.submit(contextvars.copy_context().run, _work, run, todo, ended)
            working, started = working + wanted - started, wanted
            patience = None if started == limit or not todo else PATIENCE
            if end is not None and not run.is_late:
                left_time = max(0.0, end - time.monotonic())
                patience = left_time if patience is None else min(patience, left_time)
            batch = _take(ended, patience)
            if end is not None and time.monotonic() > end:
                run.is_late = True
                todo.clear()
            if not batch:
                wanted = min(limit, 2 * started)
                continue
            working -= batch.count(_WORKER_DONE)
            done = [task for task in batch if task is not None and task is not _WORKER_DONE]
            if done:
                left -= len(done)
                run.ended(done)
                if failure_of(done) is not None:
                    todo.clear()
                if left and (unsaved := run.take_unsaved()):
                    commits.put(unsaved)
            if run.listens:
                yield from sink.drain()
    finally:
        todo.clear()
        if run.listens:
            sink.notify = None
        pool.shutdown(wait=True)


def _work(run: Run, todo: deque[Task], ended: queue.SimpleQueue[Any]) -> None:
    """Run tasks in one thread until none is left."""
    try:
        while True:
            try:
                task = todo.popleft()
            except IndexError:  # the last was taken, by this thread or another
                return
            try:
                run_task(run, task)
            except BaseException as e:  # noqa: BLE001 - such as SystemExit: it must reach the caller, not die with the thread
                task.failure = e
            ended.put(task)
    finally:
        ended.put(_WORKER_DONE)


def _take(ended: queue.SimpleQueue[Any], patience: float | None) -> list[Any]:
    """Wait for the next thing that ended, and take all that have; none, if that takes longer than `patience`."""
    try:
        batch = [ended.get(timeout=patience)]
    except queue.Empty:
        return []
    while not ended.empty():
        batch.append(ended.get_nowait())
    return batch


class _Commits:
    """The synchronous way to the saver; with durability `async`, a thread commits behind the run's back."""

    def __init__(self, run: Run) -> None:
        self.run = run
        saver = run.saver
        self.saver: Any = saver
        self.is_behind = saver is not None and run.durability == "async" and not saver.inline
        self._queue: queue.Queue[Sequence[Any] | None] | None = None
        self._room = threading.Semaphore(MAX_LAG)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def read(self, effect: Load | LoadBefore | LoadHead | Recall | Memorise) -> Any:
        if isinstance(effect, Recall):
            return self.run.cache.get(effect.keys)
        if isinstance(effect, Memorise):
            return self.run.cache.set(effect.pairs)
        if self.is_behind and self.run.parent is not None:
            self.run.parent.run.commits.wait()  # see rule 2 of `driver`
        self.settle()
        if isinstance(effect, Load):
            return self.saver.get_tuple(effect.config)
        if isinstance(effect, LoadBefore):
            return next(iter(self.saver.list(effect.config, before=before_config(effect), limit=1)), None)
        return self.saver.get_head(self.run.thread_id, self.run.machine.ns)

    def put(self, prepared: Sequence[Any]) -> None:
        """Make commits durable, or hand them to the thread that does."""
        if not self.is_behind:
            self.commit(prepared)
            return
        if self._error is not None:
            self.settle()
        if self._queue is None:
            self._queue = queue.Queue()
            self._thread = threading.Thread(target=self._work, name="perdure-commits", daemon=True)
            self._thread.start()
        self._room.acquire()  # back-pressure: at most MAX_LAG wait or are being committed
        self._queue.put(prepared)

    def commit(self, prepared: Sequence[Any]) -> None:
        """Make commits durable now."""
        if self.saver.commit(prepared) and self.run.turn is not None:
            self.run.turn.is_asked_to_stop = True

    def _work(self) -> None:
        assert self._queue is not None
        ending = False
        while not ending:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            ending = None in batch
            prepared = [p for part in batch if part is not None for p in part]
            if prepared and self._error is None:
                try:
                    self.commit(prepared)
                except BaseException as e:  # noqa: BLE001 - raised where the run next touches the storage
                    self._error = e
            self._room.release(len(batch))
            for _ in batch:
                self._queue.task_done()

    def wait(self) -> None:
        """Wait until everything that was put is durable, or has failed."""
        if self._queue is not None:
            self._queue.join()

    async def await_(self) -> None:
        """Async twin of `wait`."""
        import asyncio

        if self._queue is not None:
            await asyncio.to_thread(self._queue.join)

    def settle(self) -> None:
        """Wait until everything is durable.

        Raises:
            StorageError: What went wrong behind the run's back.
        """
        self.wait()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        if self._queue is not None and self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._queue = self._thread = None
