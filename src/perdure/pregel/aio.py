"""The driver for asynchronous callers: each task of a superstep is an asyncio task; plain functions run in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from perdure.pregel.aexecute import InContext, arun_task, begins_in_thread, run_in_thread
from perdure.pregel.crew import in_thread
from perdure.pregel.driver import MAX_LAG, before_config, failure_of
from perdure.pregel.effects import Effect, Execute, Load, LoadBefore, LoadHead, Memorise, Recall, Store
from perdure.pregel.run import Run

if TYPE_CHECKING:
    from perdure.pregel.effects import Loop
    from perdure.pregel.stream import Event
    from perdure.pregel.task import Task


async def adrive(run: Run, loop: Loop) -> AsyncGenerator[Event, None]:
    """Do what `drive` does, for asynchronous callers."""
    sink = run.sink
    commits = run.commits = _AsyncCommits(run)
    reply: Any = None
    error: BaseException | None = None
    rested = time.monotonic()
    me: asyncio.Task[Any] | None = None  # who drives: after an event that may be another one
    try:
        while True:
            try:
                effect = loop.send(reply) if error is None else loop.throw(error)
            except StopIteration:
                break
            reply = error = None
            if sink.events and run.owns_sink:
                me = None
                for event in sink.drain():
                    yield event
            try:
                if isinstance(effect, Execute):
                    if len(effect.tasks) == 1 and not run.listens and run.step_timeout is None:
                        me = me or asyncio.current_task()
                        rested = await _alone(run, effect.tasks[0], me, rested)
                    else:
                        me = None
                        async with aclosing(_aexecute(run, effect.tasks, commits)) as events:
                            async for event in events:
                                yield event
                elif isinstance(effect, Store):
                    if (committing := commits.put(effect.prepared)) is not None:
                        commits.note(await committing)
                        rested = time.monotonic()
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
        run.let_go()


LONGEST_HOLD = 0.002
"""Seconds after which a run that never had to wait lets the event loop's other tasks go on."""


async def _alone(run: Run, task: Task, me: asyncio.Task[Any] | None, rested: float) -> float:
    """Run the only task of a superstep, within the caller's asyncio task; return when others last could run."""
    cancelling = me.cancelling() if me is not None else 0
    if begins_in_thread(run, task):
        begun = await in_thread(run_in_thread, run, task)
        if begun is not None:
            await InContext(arun_task(run, task, begun))
        rested = time.monotonic()  # it has just waited for the thread
    else:
        await InContext(arun_task(run, task))
    run.ended([task])
    if me is not None and me.cancelling() > cancelling:
        raise asyncio.CancelledError  # the node didn't mind, the run does
    now = time.monotonic()
    if now - rested < LONGEST_HOLD:
        return rested
    await asyncio.sleep(0)
    return now


async def _aexecute(run: Run, tasks: Sequence[Task], commits: _AsyncCommits) -> AsyncGenerator[Event, None]:
    sink = run.sink
    listens = run.listens
    gate = asyncio.Semaphore(limit) if (limit := run.config.get("max_concurrency")) else None
    running: dict[asyncio.Future[Any], Task] = {}
    loop = asyncio.get_running_loop()
    heard, failed = asyncio.Event(), asyncio.Event()
    if listens:
        sink.notify = _notifier(loop, heard)
    for task in tasks:
        running[loop.create_task(_gated(run, task, gate, failed), name=task.name)] = task
    listener: asyncio.Future[Any] | None = None
    end = None if run.step_timeout is None else loop.time() + run.step_timeout
    try:
        while running:
            if listens and listener is None:
                listener = loop.create_task(heard.wait())
            waiting = [*running, listener] if listener is not None else list(running)
            patience = None if end is None else max(0.0, end - loop.time())
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=patience)
            run.is_late = end is not None and loop.time() > end
            if listener is not None and listener in done:
                done.discard(listener)
                listener = None
                heard.clear()
            batch = _finished(running, done)
            if batch:
                run.ended(batch)
                unsaved = run.take_unsaved() if running else []
                if unsaved and (committing := commits.put(unsaved)) is not None:
                    commits.note(await committing)
            if listens:
                for event in sink.drain():
                    yield event
            if failure_of(batch) is not None or (run.is_late and running):
                failed.set()
                await _let_end(run, running)
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


async def _let_end(run: Run, running: dict[asyncio.Future[Any], Task]) -> None:
    """After a failure, let end what is about to, and what runs in threads, where nothing can stop it: it is kept."""
    await asyncio.sleep(0)
    threads = [f for f, task in running.items() if task.node.action is not None and task.node.action.runs_in_thread]
    if threads:
        await asyncio.wait(threads)
    if late := _finished(running, {f for f in running if f.done()}):
        run.ended(late)


async def _cancel(run: Run, running: dict[asyncio.Future[Any], Task]) -> None:
    """Cancel what still runs, and keep what finished in spite of it."""
    if not running:
        return
    for future in running:
        future.cancel()
    await asyncio.wait(running)
    if late := _finished(running, set(running)):
        run.ended(late)


async def _gated(run: Run, task: Task, gate: asyncio.Semaphore | None, failed: asyncio.Event) -> None:
    if gate is None:
        await arun_task(run, task)
        return
    async with gate:
        if failed.is_set():
            raise asyncio.CancelledError  # no task is started after a failure
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
        self._lag = 0
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def do(self, effect: Effect) -> Any:
        if isinstance(effect, Recall):
            return await self.run.cache.aget(effect.keys)
        if isinstance(effect, Memorise):
            return await self.run.cache.aset(effect.pairs)
        if self.is_behind and self.run.parent is not None:
            await self.run.parent.run.commits.await_()  # see rule 2 of `driver`
        await self.settle()
        if isinstance(effect, Load):
            return await self.saver.aget_tuple(effect.config)
        if isinstance(effect, LoadBefore):
            async for found in self.saver.alist(effect.config, before=before_config(effect), limit=1):
                return found
            return None
        if isinstance(effect, LoadHead):
            return await self.saver.aget_head(self.run.thread_id, self.run.machine.ns)
        msg = f"unknown effect {effect!r}"
        raise TypeError(msg)

    def put(self, prepared: Sequence[Any]) -> Awaitable[bool] | None:
        """Make commits durable, or hand them to the task that does.

        Return what the caller has to wait for, if anything; what comes of it is for `note`.
        """
        if self.is_inline:
            self.note(self.saver.commit(prepared))
            return None
        if not self.is_behind:
            return self.saver.acommit(prepared)  # type: ignore[no-any-return]
        if self._error is not None or self._lag >= MAX_LAG:
            return self._put_later(prepared)
        self._hand_over(prepared)
        return None

    async def _put_later(self, prepared: Sequence[Any]) -> bool:
        await self.settle()  # back-pressure: at most MAX_LAG wait or are being committed
        self._hand_over(prepared)
        return False

    def _hand_over(self, prepared: Sequence[Any]) -> None:
        self._lag += 1
        self._queue.append(prepared)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    def note(self, stop: bool) -> None:
        """Note whether somebody has asked the run to stop, as a commit tells."""
        if stop and self.run.turn is not None:
            self.run.turn.is_asked_to_stop = True

    async def _work(self) -> None:
        while self._queue and self._error is None:
            batch, self._queue = self._queue, []
            try:
                self.note(await self.saver.acommit([one for prepared in batch for one in prepared]))
            except BaseException as e:  # noqa: BLE001 - raised where the run next touches the storage
                self._error = e
            self._lag -= len(batch)
        self._task = None

    async def await_(self) -> None:
        """Wait until everything that was put is durable, or has failed."""
        if asyncio.get_running_loop() is self._loop:
            await self._idle()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._idle(), self._loop))

    def wait(self) -> None:
        """Sync twin of `await_`, for a graph that a node calls in a thread.

        A coroutine that calls a graph synchronously stops its loop, and with it what commits: nobody can wait for that.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run_coroutine_threadsafe(self._idle(), self._loop).result()

    async def _idle(self) -> None:
        while self._task is not None:
            await asyncio.shield(self._task)

    async def settle(self) -> None:
        """Wait until everything is durable.

        Raises:
            StorageError: What went wrong behind the run's back.
        """
        await self._idle()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    async def close(self) -> None:
        await self._idle()
