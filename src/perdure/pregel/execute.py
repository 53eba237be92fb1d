"""Running one task from synchronous code, and what its exceptions mean in either colour."""

from __future__ import annotations

import dataclasses
import random
import sys
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from perdure.errors import GraphBubbleUp, GraphInterrupt, InvalidResumeError, ParentCommand
from perdure.pregel import handling
from perdure.pregel.scope import TaskScope
from perdure.runtime import scope_var
from perdure.types import Command

if TYPE_CHECKING:
    from perdure.pregel.run import Run
    from perdure.pregel.task import Task


def run_task(run: Run, task: Task) -> Task:
    """Run a task to its end in a context of its own; its outcome is in the task."""
    scope = TaskScope(run, task)
    copy_context().run(_observed if run.tells_tasks else _attempts, scope)
    scope.let_go()
    return task


def _observed(scope: TaskScope) -> None:
    with scope.run.observer.task(scope):
        _attempts(scope)


def enter(scope: TaskScope) -> None:
    """Make the task the current one, for perdure's own calls and for LangChain's, where that is loaded."""
    scope_var.set(scope)
    if "langchain_core" in sys.modules:
        from perdure.interop.langchain import enter

        enter(scope.config())


def _attempts(scope: TaskScope) -> None:
    scope_var.set(scope)
    if "langchain_core" in sys.modules:
        enter(scope)
    task = scope.task
    while True:
        try:
            try:
                _attempt(scope)
            finally:
                if scope.kept is not None:
                    scope.kept.wait()
        except GraphBubbleUp as bubble:
            stop(scope, bubble)
        except Exception as error:  # noqa: BLE001 - a node may raise anything; the policy decides
            delay = retry_delay(task, error)
            if delay is not None:
                time.sleep(delay)
                reset(scope)
                continue
            if handling.is_handled(task, error):
                scope.commit(handling.note(scope, error))
                continue
            task.failure = error
        return


def _attempt(scope: TaskScope) -> None:
    task = scope.task
    node = task.node
    if task.failed is not None:
        handler = handling.begin(scope)
        assert handler.action is not None
        handler.write(handler.action.run(task.input, scope), task)
        scope.run.plan.check(scope.run.machine.channels, task)
        return
    result = task.input
    action = node.action
    if action is not None:
        try:
            plain = action.plain
            result = plain(result) if plain is not None else action.run(result, scope)
        except ParentCommand as sent:
            result = to_here(sent)
    node.write(result, task)
    if scope.run.plan.checks:
        scope.run.plan.check(scope.run.machine.channels, task)
    for branch in node.branches:
        action = branch.action
        state = scope.fresh(branch.reader)
        branch.route(action.plain(state) if action.plain is not None else action.run(state, scope), task)


def to_here(sent: ParentCommand) -> Any:
    """Take a command that a graph called from this node sent to its parent, which is the graph of this node."""
    command: Command[Any] = sent.args[0]
    return dataclasses.replace(command, graph=None)


def stop(scope: TaskScope, bubble: GraphBubbleUp) -> None:
    """Note that a signal ended the task."""
    task = scope.task
    task.writes = []
    if isinstance(bubble, GraphInterrupt):
        asked = {i.id: i for i in bubble.args[0]}
        if scope.kept is not None:
            asked.update({i.id: i for i in scope.kept.questions().args[0]})
        task.interrupts = tuple(asked.values())
        if scope.kept is not None:
            bubble = GraphInterrupt(task.interrupts)
    task.failure = bubble


def reset(scope: TaskScope) -> None:
    """Forget a failed attempt: another one begins."""
    task = scope.task
    task.writes.clear()
    task.attempt += 1
    scope.restart()


def retry_delay(task: Task, error: Exception) -> float | None:
    """Return the seconds to wait before another attempt, or None if there is none."""
    if task.failed is not None:
        return None  # the error is its handler's
    if isinstance(error, InvalidResumeError):
        return None  # the next attempt would get the same answer
    for policy in task.node.retry:
        if policy.matches(error):
            if task.attempt >= policy.max_attempts:
                return None
            return policy.interval(task.attempt) + (random.uniform(0, 1) if policy.jitter else 0)  # noqa: S311 - no secret
    return None
