"""Running one task from asynchronous code; the twin of `execute.run_task`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from perdure.errors import GraphBubbleUp, NodeCancelledError, ParentCommand
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
            result = await node.action.arun(result, scope)
        except ParentCommand as sent:
            result = to_here(sent)
    node.write(result, task)
    for branch in node.branches:
        branch.route(await branch.action.arun(scope.fresh(branch.reader), scope), task)


def _cancelled(task: Task, error: BaseException) -> NodeCancelledError:
    failure = NodeCancelledError(
        f"node {task.name!r} raised CancelledError although nobody cancelled it",
        hint="something that the node awaits was cancelled from elsewhere",
        node=task.name,
    )
    failure.__cause__ = error
    return failure
