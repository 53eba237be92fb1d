"""Which threads have work that nobody does any more, and taking it up.

A thread is left when its newest checkpoint says that something runs next, and neither a question nor a breakpoint nor a
person (`update_state`, a fork) is why it doesn't; or when it waits for sleeps and events only, and one of them is over
or has come. Whether somebody is at it is not decided here: the run that takes a thread up asks for its turn without
waiting, and lets the thread be if another one has it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.constants import CONF
from perdure.errors import ThreadBusyError
from perdure.pregel import events, sleeping
from perdure.pregel.calls import Call
from perdure.pregel.effects import Load
from perdure.pregel.run import Run
from perdure.pregel.snapshot import machine_at, snapshot_of

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
    from perdure.pregel.effects import Loop
    from perdure.pregel.main import Pregel
    from perdure.types import Interrupt, RunnableConfig

Asking = Generator[Load, Any, bool]

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


class GoingOn:
    """Going on with one thread, if its work is left.

    Whether it is left is asked twice: before the turn is taken, so that nobody else's run is disturbed for nothing, and
    again in the turn, for another process may have finished the work in between.
    """

    def __init__(self, graph: Pregel, thread_id: str, options: dict[str, Any], *, failed: bool) -> None:
        self.graph = graph
        self.thread_id = thread_id
        self.failed = failed
        self.config: RunnableConfig = {CONF: {"thread_id": thread_id}}
        self.call = Call(graph, self.config)
        self.run = Run(self.call.settings(output_keys=graph.plan.output_channels, **options))
        self.has_begun = False

    def asking(self, saved: CheckpointTuple | None) -> Asking:
        """Tell whether the work is left, by the thread's newest checkpoint."""
        if saved is None:
            return False
        assert self.run.saver is not None  # a graph without one is refused before
        return (yield from is_left(self.graph, saved, self.run.saver, failed=self.failed))

    def is_wanted(self) -> Asking:
        """Look at the thread, and tell whether its work is left."""
        return (yield from self.asking((yield Load(self.config))))

    def loop(self) -> Loop:
        """Go on, in the thread's turn."""
        if (yield from self.is_wanted()):
            self.has_begun = True
            yield from self.run.loop(None)

    def outcome(self) -> Recovered | None:
        """Return what became of it; None if there was nothing to do."""
        return Recovered(self.thread_id, self.run.output()) if self.has_begun else None

    def failed_with(self, error: Exception) -> Recovered | None:
        """Return what became of it; None if somebody else runs the thread."""
        return None if isinstance(error, ThreadBusyError) else Recovered(self.thread_id, error=error)


def is_left(graph: Pregel, saved: CheckpointTuple, saver: BaseCheckpointSaver[Any], *, failed: bool) -> Asking:
    """Tell whether a thread's work is left.

    Args:
        graph: The graph.
        saved: The thread's newest checkpoint.
        saver: Where it is stored.
        failed: Whether tasks that have failed count.
    """
    if saved.metadata.get("source") not in ("input", "loop"):
        return False
    if graph.plan.versions is not None and not graph.plan.versions.accepts(saved):
        return False
    if not known_channels(graph, saved, saver):
        return False  # another graph's: it has channels that this one doesn't know
    state = snapshot_of(graph.plan, saved, saver, saved.config, is_live=True)
    if not state.next:
        return False
    if state.interrupts:
        return (yield from _has_come(state.interrupts, saved.config[CONF]["thread_id"]))
    if not failed and any(task.error is not None for task in state.tasks):
        return False
    if saved.pending_writes:
        return True  # in the middle of a superstep: no breakpoint stops there
    machine = machine_at(graph.plan, "", saver, saved)
    return not graph.interrupt_after_nodes and not machine.stops(graph.interrupt_before_nodes, machine.due())


def known_channels(graph: Pregel, saved: CheckpointTuple, saver: BaseCheckpointSaver[Any]) -> bool:
    """Tell whether a graph has all channels of a checkpoint."""
    if graph.plan.versions is not None:
        saved = graph.plan.versions.shown(saved, graph.plan, saver)
    return saved.checkpoint["channel_versions"].keys() <= graph.plan.channels.keys()


def _has_come(interrupts: Sequence[Interrupt], thread_id: str) -> Asking:
    """Tell whether a thread waits for sleeps and events only, and for some no longer."""
    waits = [sleeping.wait_of(interrupt) for interrupt in interrupts]
    if any(wait is None for wait in waits):
        return False  # a person is asked
    if any(wait.until is not None and wait.until <= sleeping.now() for wait in waits if wait is not None):
        return True
    names = {wait.event for wait in waits if wait is not None} - {None}
    return bool(names and names & events.box_of((yield Load(events.address(thread_id)))).names())


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
