"""A node's error handler: what runs, in the same task, when the node has failed for good.

1. The failure is stored before the handler runs. From then on the handler is what is left of the task: a run that is
   taken up again goes on with it, and the node doesn't run again.
2. The handler's writes are the task's. The node's edges and branches aren't followed: it hasn't finished. A handler
   goes on by the `goto` of a `Command`.
3. A handler that fails fails the task; it isn't tried again by the node's policies, and never handles itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.errors import InvalidResumeError, NodeError

if TYPE_CHECKING:
    from perdure.pregel.plan import Node
    from perdure.pregel.scope import TaskScope
    from perdure.pregel.task import Task


class Failure(NamedTuple):
    """How a node failed, as it is stored.

    Attributes:
        node: Its name.
        asked: How many questions it had asked: the handler's come after them.
        error: What it raised.
    """

    node: str
    asked: int
    error: BaseException


def is_handled(task: Task, error: BaseException) -> bool:
    """Tell whether the node's failure is its handler's business; a wrong answer is its caller's."""
    return task.node.handler is not None and task.failed is None and not isinstance(error, InvalidResumeError)


def note(scope: TaskScope, error: BaseException) -> list[Any]:
    """Make the handler what is left of a task; return the commit that says so."""
    task, run = scope.task, scope.run
    run.teller.failed(task, error)
    task.writes = []
    task.failed = Failure(task.name, scope.asked, error)
    scope.restart()
    return run.journal.failed(task)


def begin(scope: TaskScope) -> Node:
    """Prepare a task for its handler; return the handler."""
    task = scope.task
    failed, handler = task.failed, task.node.handler
    assert failed is not None
    assert handler is not None
    scope.asked = failed.asked
    task.error = NodeError(failed.node, failed.error)
    return handler
