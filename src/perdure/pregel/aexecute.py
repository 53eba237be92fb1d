"""Running one task from asynchronous code; the twin of `execute.run_task`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from perdure.errors import GraphBubbleUp, NodeCancelledError, NodeTimeoutError, ParentCommand
from perdure.pregel.execute import enter, reset, retry_delay, stop, to_here
from perdure.pregel.scope import TaskScope

if TYPE_CHECKING:
    from perdure.pregel.run import Run
    from perdure.pregel.task import Task


async def arun_task(run: Run, task: Task) -> Task:
    """Do what `run_task` does, from asynchronous code."""
    scope = TaskScope(run, task)
    enter(scope)
    while True:
        try:
            await _aattempt(scope)
        except GraphBubbleUp as bubble:
            stop(task, bubble)
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
            task.failure = error
        return task


async def _aattempt(scope: TaskScope) -> None:
    task = scope.task
    node = task.node
    result = task.input
    if node.action is not None:
        try:
            result = await _in_time(node.action.arun(result, scope), scope)
        except ParentCommand as sent:
            result = to_here(sent)
    node.write(result, task)
    for branch in node.branches:
        branch.route(await branch.action.arun(scope.fresh(branch.reader), scope), task)


async def _in_time(result: Awaitable[Any], scope: TaskScope) -> Any:
    """Wait for an attempt, at most as long as the node's (or the Send's) timeout says.

    Raises:
        NodeTimeoutError: It took longer.
    """
    task = scope.task
    timeout = task.timeout or task.node.timeout
    seconds = timeout.run_seconds if timeout is not None else None
    if seconds is None:
        return await result
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            return await result
    except TimeoutError as error:
        if not clock.expired():
            raise  # the node's own
        raise NodeTimeoutError(
            f"node {task.name!r} took longer than its timeout of {seconds:g} s", node=task.name, timeout=seconds
        ) from error


def _cancelled(task: Task, error: BaseException) -> NodeCancelledError:
    failure = NodeCancelledError(
        f"node {task.name!r} raised CancelledError although nobody cancelled it",
        hint="something that the node awaits was cancelled from elsewhere",
        node=task.name,
    )
    failure.__cause__ = error
    return failure
