"""The two drivers of a run: threads for synchronous callers, tasks for asynchronous ones.

They hold all concurrency, cancellation and waiting; what happens, and in which order, is the run's business.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from perdure.constants import CONF
from perdure.errors import GraphBubbleUp
from perdure.pregel.execute import arun_task, run_task
from perdure.pregel.run import Effect, Execute, Load, LoadBefore, LoadHead, Run, Store

if TYPE_CHECKING:
    from perdure.pregel.run import Loop
    from perdure.pregel.stream import Event
    from perdure.pregel.task import Task
    from perdure.types import RunnableConfig

MAX_LAG = 64
"""Commits that durability `async` lets wait; beyond it, the run waits for the storage (back-pressure)."""

DEFAULT_CONCURRENCY = 32
"""Tasks that run at once in a synchronous superstep, unless the config's `max_concurrency` says otherwise."""


def failure_of(tasks: Sequence[Task]) -> BaseException | None:
    """Return what the first failed task raised; a stop to ask is no failure."""
    for task in tasks:
        if task.failure is not None and not isinstance(task.failure, GraphBubbleUp):
            return task.failure
    return None


def _at(effect: LoadBefore) -> RunnableConfig:
    return {CONF: {**effect.config[CONF], "checkpoint_id": effect.before}}


# -- synchronous


def drive(run: Run, loop: Loop) -> Iterator[Event]:
    """Drive a run to its end, yielding the events that somebody listens to."""
    sink = run.sink
    commits = _Commits(run)
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
                if type(effect) is Execute:
                    tasks = effect.tasks
                    if len(tasks) == 1 and not run.listens:
                        run_task(run, tasks[0])
                        run.ended(tasks)
                    else:
                        yield from _execute(run, tasks, commits)
                    reply = failure_of(tasks)
                else:
                    reply = commits.do(effect)
            except GeneratorExit:
                raise
            except BaseException as e:  # noqa: BLE001 - the loop decides
                error = e
        commits.settle()
        if run.owns_sink:
            yield from sink.drain()
    except BaseException:
        if run.owns_sink:
            yield from sink.drain()
        raise
    finally:
        loop.close()
        commits.close()


_WORKER_DONE = object()


def _execute(run: Run, tasks: Sequence[Task], commits: _Commits) -> Iterator[Event]:
    """Run tasks in threads; commit the writes of those that ended; pass on events meanwhile.

    After a failure no further task is started; those that run are waited for, and what they finish is kept.
    """
    sink = run.sink
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
    stop = threading.Event()
    for task in tasks:
        todo.put(task)
    if run.listens:
        sink.notify = lambda: ended.put(None)
    workers = min(run.config.get("max_concurrency") or DEFAULT_CONCURRENCY, len(tasks))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="perdure-task")
    left = len(tasks)
    try:
        for _ in range(workers):
            pool.submit(contextvars.copy_context().run, _work, run, todo, ended, stop)
        while workers:
            batch = _take(ended)
            workers -= batch.count(_WORKER_DONE)
            done = [task for task in batch if task is not None and task is not _WORKER_DONE]
            if done:
                left -= len(done)
                run.ended(done)
                if failure_of(done) is not None:
                    stop.set()
                if left and (unsaved := run.take_unsaved()):
                    commits.put(unsaved)
            if run.listens:
                yield from sink.drain()
    finally:
        stop.set()
        if run.listens:
            sink.notify = None
        pool.shutdown(wait=True)


def _work(run: Run, todo: queue.SimpleQueue[Task], ended: queue.SimpleQueue[Any], stop: threading.Event) -> None:
    """Run tasks in one thread until none is left."""
    try:
        while not stop.is_set():
            try:
                task = todo.get_nowait()
            except queue.Empty:
                return
            try:
                run_task(run, task)
            except BaseException as e:  # noqa: BLE001 - such as SystemExit: it must reach the caller, not die with the thread
                task.failure = e
            ended.put(task)
    finally:
        ended.put(_WORKER_DONE)


def _take(ended: queue.SimpleQueue[Any]) -> list[Any]:
    """Wait for the next thing that ended, and take all that have."""
    batch = [ended.get()]
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
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def do(self, effect: Effect) -> Any:
        if isinstance(effect, Store):
            return self.put(effect.prepared)
        self.settle()
        if isinstance(effect, Load):
            return self.saver.get_tuple(effect.config)
        if isinstance(effect, LoadBefore):
            return next(iter(self.saver.list(effect.config, before=_at(effect), limit=1)), None)
        if isinstance(effect, LoadHead):
            return self.saver.get_head(self.run.thread_id, self.run.machine.ns)
        msg = f"unknown effect {effect!r}"
        raise TypeError(msg)

    def put(self, prepared: Sequence[Any]) -> None:
        if not self.is_behind:
            self._commit(prepared)
            return
        if self._error is not None:
            self.settle()
        if self._queue is None:
            self._queue = queue.Queue(MAX_LAG)
            self._thread = threading.Thread(target=self._work, name="perdure-commits", daemon=True)
            self._thread.start()
        self._queue.put(prepared)

    def _commit(self, prepared: Sequence[Any]) -> None:
        if self.saver.commit(prepared) and self.run.turn is not None:
            self.run.turn.is_asked_to_stop = True

    def _work(self) -> None:
        assert self._queue is not None  # noqa: S101 - started with it
        ending = False
        while not ending:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            ending = None in batch
            prepared = [p for part in batch if part is not None for p in part]
            if prepared and self._error is None:
                try:
                    self._commit(prepared)
                except BaseException as e:  # noqa: BLE001 - raised where the run next touches the storage
                    self._error = e
            for _ in batch:
                self._queue.task_done()

    def settle(self) -> None:
        """Wait until everything is durable.

        Raises:
            StorageError: What went wrong behind the run's back.
        """
        if self._queue is not None:
            self._queue.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        if self._queue is not None and self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._queue = self._thread = None


# -- asynchronous


async def adrive(run: Run, loop: Loop) -> AsyncGenerator[Event, None]:
    """Do what `drive` does, for asynchronous callers."""
    sink = run.sink
    commits = _AsyncCommits(run)
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
                for event in sink.drain():
                    yield event
            try:
                if type(effect) is Execute:
                    async with aclosing(_aexecute(run, effect.tasks, commits)) as events:
                        async for event in events:
                            yield event
                    reply = failure_of(effect.tasks)
                else:
                    reply = await commits.do(effect)
            except GeneratorExit:
                raise
            except BaseException as e:  # noqa: BLE001 - the loop decides
                error = e
        await commits.settle()
        if run.owns_sink:
            for event in sink.drain():
                yield event
    except GeneratorExit:
        raise
    except BaseException:
        if run.owns_sink:
            for event in sink.drain():
                yield event
        raise
    finally:
        loop.close()
        await commits.close()


async def _aexecute(run: Run, tasks: Sequence[Task], commits: _AsyncCommits) -> AsyncGenerator[Event, None]:
    sink = run.sink
    listens = run.listens
    gate = asyncio.Semaphore(limit) if (limit := run.config.get("max_concurrency")) else None
    running: dict[asyncio.Future[Any], Task] = {}
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    if listens:
        sink.notify = _notifier(loop, heard)
    for task in tasks:
        running[loop.create_task(_gated(run, task, gate), name=task.name)] = task
    listener: asyncio.Future[Any] | None = None
    try:
        while running:
            if listens and listener is None:
                listener = loop.create_task(heard.wait())  # type: ignore[arg-type]  # any awaitable will do
            waiting = [*running, listener] if listener is not None else list(running)
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if listener is not None and listener in done:
                done.discard(listener)
                listener = None
                heard.clear()
            batch = _finished(running, done)
            if batch:
                run.ended(batch)
                if running and (unsaved := run.take_unsaved()):
                    await commits.put(unsaved)
            if listens:
                for event in sink.drain():
                    yield event
            if failure_of(batch) is not None:
                break
    finally:
        if listens:
            sink.notify = None
        if listener is not None:
            listener.cancel()
        await _cancel(run, running)


def _finished(running: dict[asyncio.Future[Any], Task], done: set[asyncio.Future[Any]]) -> list[Task]:
    batch = []
    for future in [f for f in running if f in done]:  # in the order of the tasks
        task = running.pop(future)
        if future.cancelled():
            continue
        if (error := future.exception()) is not None:
            task.failure = error
        batch.append(task)
    return batch


async def _cancel(run: Run, running: dict[asyncio.Future[Any], Task]) -> None:
    """Cancel what still runs, and keep what finished in spite of it."""
    if not running:
        return
    for future in running:
        future.cancel()
    await asyncio.wait(running)
    if late := _finished(running, set(running)):
        run.ended(late)


async def _gated(run: Run, task: Task, gate: asyncio.Semaphore | None) -> None:
    if gate is None:
        await arun_task(run, task)
        return
    async with gate:
        await arun_task(run, task)


def _notifier(loop: asyncio.AbstractEventLoop, heard: asyncio.Event) -> Any:
    here = threading.get_ident()

    def notify() -> None:
        if threading.get_ident() == here:
            heard.set()
        else:
            loop.call_soon_threadsafe(heard.set)

    return notify


class _AsyncCommits:
    """The asynchronous way to the saver; with durability `async`, a task commits behind the run's back."""

    def __init__(self, run: Run) -> None:
        self.run = run
        saver = run.saver
        self.saver: Any = saver
        self.is_inline = saver is not None and saver.inline
        self.is_behind = saver is not None and run.durability == "async" and not saver.inline
        self._queue: list[Any] = []
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def do(self, effect: Effect) -> Any:
        if isinstance(effect, Store):
            return await self.put(effect.prepared)
        await self.settle()
        if isinstance(effect, Load):
            return await self.saver.aget_tuple(effect.config)
        if isinstance(effect, LoadBefore):
            async for found in self.saver.alist(effect.config, before=_at(effect), limit=1):
                return found
            return None
        if isinstance(effect, LoadHead):
            return await self.saver.aget_head(self.run.thread_id, self.run.machine.ns)
        msg = f"unknown effect {effect!r}"
        raise TypeError(msg)

    async def put(self, prepared: Sequence[Any]) -> None:
        if self.is_inline:
            self._note(self.saver.commit(prepared))
        elif not self.is_behind:
            self._note(await self.saver.acommit(prepared))
        else:
            if self._error is not None or len(self._queue) >= MAX_LAG:
                await self.settle()
            self._queue.extend(prepared)
            if self._task is None:
                self._task = asyncio.create_task(self._work())

    def _note(self, stop: bool) -> None:  # noqa: FBT001 - what commit returns
        if stop and self.run.turn is not None:
            self.run.turn.is_asked_to_stop = True

    async def _work(self) -> None:
        while self._queue and self._error is None:
            batch, self._queue = self._queue, []
            try:
                self._note(await self.saver.acommit(batch))
            except BaseException as e:  # noqa: BLE001 - raised where the run next touches the storage
                self._error = e
        self._task = None

    async def settle(self) -> None:
        """Wait until everything is durable.

        Raises:
            StorageError: What went wrong behind the run's back.
        """
        while self._task is not None:
            await asyncio.shield(self._task)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    async def close(self) -> None:
        while self._task is not None:
            await asyncio.shield(self._task)
