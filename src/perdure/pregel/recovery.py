"""Which threads have work that nobody does any more, and taking it up.

A thread is left when its newest checkpoint says that something runs next, and neither a question nor a breakpoint nor a
person (`update_state`, a fork) is why it doesn't; or when all that it waits for are sleeps that are over. Whether
somebody is at it is not decided here: the run that takes a thread up asks for its turn without waiting, and lets the
thread be if another one has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.constants import CONF
from perdure.pregel.sleeping import are_over
from perdure.pregel.snapshot import machine_at

if TYPE_CHECKING:
    from perdure.checkpoint.base import CheckpointTuple
    from perdure.pregel.graph import Pregel
    from perdure.types import RunnableConfig, StateSnapshot

PAGE = 100
"""Threads looked at, at once."""


class Recovered(NamedTuple):
    """A thread that was taken up.

    Attributes:
        thread_id: The thread.
        output: What the run returned; open questions are in it under `__interrupt__`.
        error: What the run raised; None if it ended, or stopped to ask.
    """

    thread_id: str
    output: Any = None
    error: Exception | None = None


def config_of(thread_id: str) -> RunnableConfig:
    """Return the config of a thread's root."""
    return {CONF: {"thread_id": thread_id}}


def is_own(graph: Pregel, saved: CheckpointTuple | None) -> bool:
    """Tell whether a checkpoint can be this graph's: another one's has channels that this graph doesn't know."""
    return saved is not None and saved.checkpoint["channel_versions"].keys() <= graph.plan.channels.keys()


def is_left(graph: Pregel, saved: CheckpointTuple, state: StateSnapshot, *, failed: bool) -> bool:
    """Tell whether a thread's work is left.

    Args:
        graph: The graph.
        saved: The thread's newest checkpoint.
        state: The same, as people see it.
        failed: Whether tasks that have failed count.
    """
    if not state.next or (state.metadata or {}).get("source") not in ("input", "loop"):
        return False
    if state.interrupts:
        return are_over(state.interrupts)
    if not failed and any(task.error is not None for task in state.tasks):
        return False
    if saved.pending_writes:
        return True  # in the middle of a superstep: no breakpoint stops there
    machine = machine_at(graph.plan, "", None, saved)
    return not graph.interrupt_after_nodes and not machine.stops(graph.interrupt_before_nodes, machine.due())


def pages(ids: Iterable[str]) -> Iterator[list[str]]:
    """Split ids into pages."""
    page: list[str] = []
    for thread_id in ids:
        page.append(str(thread_id))
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
