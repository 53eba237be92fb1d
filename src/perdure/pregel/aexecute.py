"""Running one task from asynchronous code; the twin of `execute.run_task`."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.errors import GraphBubbleUp, NodeCancelledError, NodeTimeoutError, ParentCommand
from perdure.pregel import handling
from perdure.pregel.crew import carried, in_thread
from perdure.pregel.execute import enter, reset, retry_delay, stop, to_here
from perdure.pregel.scope import TaskScope

if TYPE_CHECKING:
    from perdure.pregel.action import Action
    from perdure.pregel.plan import Node
    from perdure.pregel.run import Run
    from perdure.pregel.task import Task
    from perdure.types import TimeoutPolicy


async def arun_task(run: Run, task: Task, begun: Begun | None = None) -> Task:
    """Do what `run_task` does, from asynchronous code; or what is left of it."""
    if begun is None:
        scope = TaskScope(run, task)
        scope.is_async = True
    else:
        scope = begun.scope
    enter(scope)
    try:
        if not run.tells_tasks:
            return await _aattempts(scope, begun)
        with run.observer.task(scope):
            return await _aattempts(scope, begun)
    finally:
        scope.let_go()


class Begun(NamedTuple):
    """A task that isn't done.

    Attributes:
        scope: Its scope.
        at: The first part that isn't done.
        waiting: What that part's function returned, if it is to be awaited.
        error: What it raised.
    """

    scope: TaskScope
    at: int
    waiting: Awaitable[Any] | None
    error: BaseException | None


def begins_in_thread(run: Run, task: Task) -> bool:
    """Tell whether `run_in_thread` may begin a task."""
    action = task.node.action
    return action is not None and action.runs_in_thread and task.failed is None and not run.tells_tasks


def run_in_thread(run: Run, task: Task) -> Begun | None:
    """Run a task in a context and a thread of its own, as most can be from beginning to end; return what is left."""
    scope = TaskScope(run, task)
    scope.is_async = True
    enter(scope)
    try:
        at, waiting = _plain_parts(scope, 0)
    except BaseException as error:  # noqa: BLE001 - a node may raise anything; the policy decides, on the loop
        return Begun(scope, 0, None, carried(error))
    if waiting is None and scope.kept is None and at > len(task.node.branches):
        scope.let_go()
        return None
    return Begun(scope, at, waiting, None)


async def _aattempts(scope: TaskScope, begun: Begun | None) -> Task:
    task = scope.task
    while True:
        try:
            try:
                await _aattempt(scope, begun)
            finally:
                begun = None
                if scope.kept is not None:
                    await scope.kept.await_()
        except GraphBubbleUp as bubble:
            stop(scope, bubble)
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            task.failure = _cancelled(task, error)
        except Exception as error:  # noqa: BLE001 - a node may raise anything; the policy decides
            delay = retry_delay(task, error)
            if delay is not None:
                await asyncio.sleep(delay)
                reset(scope)
                continue
            if handling.is_handled(task, error):
                await scope.acommit(handling.note(scope, error))
                continue
            task.failure = error
        return task


async def _aattempt(scope: TaskScope, begun: Begun | None) -> None:
    """Call the node and take its branches: parts 0, 1, and so on.

    What plain functions do runs in a thread, with one hop for as many of them as follow each other.
    """
    at = 0
    waiting: Awaitable[Any] | None = None
    if begun is not None:
        _, at, waiting, error = begun
        del begun
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback knows this frame: a circle would keep all of its frames
    node = scope.task.node
    if scope.task.failed is not None:
        handler = handling.begin(scope)
        assert handler.action is not None
        handler.write(await handler.action.arun(scope.task.input, scope), scope.task)
        scope.run.plan.check(scope.run.machine.channels, scope.task)
        return
    count = 1 + len(node.branches)
    while at < count:
        if waiting is None:
            action = _action(node, at)
            if action is None:
                _finish(scope, at, scope.task.input)
                at += 1
                continue
            if action.runs_in_thread:
                at, waiting = await in_thread(_plain_parts, scope, at)
                continue
            waiting = _in_time(action.arun(_input(scope, at), scope), scope, at)
        try:
            result = await waiting
        except ParentCommand as sent:
            result = to_here(sent)
        _finish(scope, at, result)
        waiting = None
        at += 1


_AT_HAND = frozenset({dict, str, bool, list, type(None)})
"""What functions mostly return: to ask whether that is to be awaited takes half a microsecond."""


def _plain_parts(scope: TaskScope, at: int) -> tuple[int, Awaitable[Any] | None]:
    """Do the parts from one on that plain functions do; runs in a thread.

    Return the first part that isn't done, and what it waits for if its function returned an awaitable.
    """
    node = scope.task.node
    while at <= len(node.branches):
        action = _action(node, at)
        if action is None or not action.runs_in_thread:
            break
        given = _input(scope, at)
        try:
            plain = action.plain
            result = plain(given) if plain is not None else action.call(given, scope)
        except ParentCommand as sent:
            result = to_here(sent)
        if type(result) not in _AT_HAND and inspect.isawaitable(result):
            return at, result
        _finish(scope, at, result)
        at += 1
    return at, None


def _action(node: Node, at: int) -> Action | None:
    return node.branches[at - 1].action if at else node.action


def _input(scope: TaskScope, at: int) -> Any:
    return scope.fresh(scope.task.node.branches[at - 1].reader) if at else scope.task.input


def _finish(scope: TaskScope, at: int, result: Any) -> None:
    node = scope.task.node
    if at:
        node.branches[at - 1].route(result, scope.task)
    else:
        node.write(result, scope.task)
        if scope.run.plan.checks:
            scope.run.plan.check(scope.run.machine.channels, scope.task)


class InContext:
    """Awaits a coroutine in a context of its own, as a new asyncio task would, but within the current task."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        run, coroutine = contextvars.copy_context().run, self._coroutine
        step: Callable[[Any], Any] = coroutine.send
        value: Any = None
        while True:
            try:
                waiting = run(step, value)
            except StopIteration as end:
                return end.value
            try:
                step, value = coroutine.send, (yield waiting)
            except GeneratorExit:
                run(coroutine.close)
                raise
            except BaseException as error:  # noqa: BLE001 - belongs to the coroutine
                step, value = coroutine.throw, error


class _Clock:
    """The time that an attempt has left: until its end, and until its next sign of life.

    Args:
        policy: The node's, or the Send's.
    """

    def __init__(self, policy: TimeoutPolicy) -> None:
        self._loop = asyncio.get_running_loop()
        self._policy = policy
        run, idle = policy.run_seconds, policy.idle_seconds
        self._idle = idle
        self._end = None if run is None else self._loop.time() + run
        self._timeout = asyncio.timeout_at(self._next())
        self._thread = threading.get_ident()

    def _next(self) -> float | None:
        quiet = None if self._idle is None else self._loop.time() + self._idle
        return min((moment for moment in (self._end, quiet) if moment is not None), default=None)

    def sign(self, *, explicit: bool) -> None:
        """Note a sign of life; safe from any thread."""
        if self._idle is None or not (explicit or self._policy.refresh_on == "auto"):
            return
        if threading.get_ident() == self._thread:
            self._renew()
        else:
            self._loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        if not self._timeout.expired() and self._timeout.when() is not None:
            self._timeout.reschedule(self._next())

    async def wait(self, result: Awaitable[Any], task: Task) -> Any:
        """Wait for an attempt.

        Raises:
            NodeTimeoutError: It took too long, or gave no sign of life for too long.
        """
        try:
            async with self._timeout:
                return await result
        except TimeoutError as error:
            if not self._timeout.expired():
                raise  # the node's own
            raise self._error(task) from error

    def _error(self, task: Task) -> NodeTimeoutError:
        run = self._policy.run_seconds
        if run is not None and self._end is not None and self._loop.time() >= self._end:
            return NodeTimeoutError(
                f"node {task.name!r} took longer than its timeout of {run:g} s", node=task.name, timeout=run
            )
        return NodeTimeoutError(
            f"node {task.name!r} gave no sign of life for {self._idle:g} s",
            hint="it can give one by runtime.heartbeat()",
            node=task.name,
            timeout=self._idle,
        )


async def _in_time(result: Awaitable[Any], scope: TaskScope, at: int) -> Any:
    """Wait for an attempt, at most as long as the node's (or the Send's) timeout says.

    Raises:
        NodeTimeoutError: It took longer.
    """
    task = scope.task
    policy = task.timeout or task.node.timeout
    if policy is None or at:
        return await result
    clock = scope.clock = _Clock(policy)
    try:
        return await clock.wait(result, task)
    finally:
        scope.clock = None


def _cancelled(task: Task, error: BaseException) -> NodeCancelledError:
    failure = NodeCancelledError(
        f"node {task.name!r} raised CancelledError although nobody cancelled it",
        hint="something that the node awaits was cancelled from elsewhere",
        node=task.name,
    )
    failure.__cause__ = error
    return failure
