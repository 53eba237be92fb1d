"""Tells a run's stream what happens; makes nothing that nobody listens to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.serde.types import INTERRUPT
from perdure.constants import RETURN, TAG_HIDDEN
from perdure.errors import GraphBubbleUp
from perdure.interop.chunks import as_kept
from perdure.pregel import stream

if TYPE_CHECKING:
    from perdure.pregel.run import Run
    from perdure.pregel.task import Task


class Teller:
    """Makes the events of a run.

    Attributes:
        is_heard: Whether anybody listens to any mode.
    """

    __slots__ = ("is_heard", "ns", "output", "run", "sink")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.sink = run.sink
        self.ns = run.stream_ns
        self.output = run.settings.output_keys
        self.is_heard = bool(run.sink.modes) or run.sink.wants("values")

    def _tell(self, mode: str, payload: Callable[[], Any]) -> None:
        if self.sink.wants(mode):
            self.sink.put(self.ns, mode, payload())

    def _wants_any(self, *modes: str) -> bool:
        return any(map(self.sink.wants, modes))

    def values(self) -> None:
        """Tell the whole state."""
        self._tell("values", lambda: self.run.machine.read(self.output))

    def applied(self, tasks: Sequence[Task]) -> None:
        """Tell the state after a superstep, if the superstep wrote any of the output."""
        if self.sink.wants("values") and any(stream.writes_values(self.output, task.writes) for task in tasks):
            self.values()

    def stopped(self) -> None:
        """Tell that the run stopped before or after a node, without a question."""
        self._tell("updates", lambda: {INTERRUPT: ()})

    def begins(self, tasks: Collection[Task]) -> None:
        """Tell that a superstep begins: its tasks, and the updates of those that an earlier run has finished."""
        if self._wants_any("tasks", "debug"):
            for task in tasks:
                if TAG_HIDDEN not in task.node.tags:
                    self._task_event("task", stream.task_payload(task, self.run.config))
        for task in tasks:
            if task.saved:
                self.update(task, cached=True)

    def _task_event(self, kind: str, payload: Any) -> None:
        self._tell("tasks", lambda: payload)
        self._tell("debug", lambda: stream.debug_event(kind, self.run.machine.step, payload))

    def ended(self, task: Task) -> None:
        """Tell that a task ended."""
        if task.interrupts:
            self._tell("updates", lambda: {INTERRUPT: task.interrupts})
            self._tell("values", lambda: self._with_interrupts(task))
        elif task.failure is None:
            self.update(task, cached=False)
            if self.sink.wants("messages"):
                self._messages(task)
        if isinstance(task.failure, GraphBubbleUp) and not task.interrupts:
            return
        if TAG_HIDDEN not in task.node.tags and self._wants_any("tasks", "debug"):
            self._task_event("task_result", stream.result_payload(task, self.run.plan.stream_channels))

    def failed(self, task: Task, error: BaseException) -> None:
        """Tell that a task's node has failed, and its error handler goes on."""
        if self.is_heard and self._wants_any("tasks", "debug"):
            task.failure = error
            self._task_event("task_result", stream.result_payload(task, self.run.plan.stream_channels))
            task.failure = None

    def call_begins(self, task: Task) -> None:
        """Tell that a task called another function whose result is kept."""
        if self.is_heard and self._wants_any("tasks", "debug"):
            self._task_event("task", stream.task_payload(task, self.run.config))

    def call_ended(self, task: Task, *, cached: bool) -> None:
        """Tell what a call returned; what stopped it is told by the task that waits for it."""
        if not self.is_heard or isinstance(task.failure, GraphBubbleUp):
            return
        if task.failure is None:
            about = {"__metadata__": {"cached": True}} if cached else {}
            self._tell("updates", lambda: {task.name: task.writes[0][1], **about})
        if not cached and self._wants_any("tasks", "debug"):
            self._task_event("task_result", stream.result_payload(task, (RETURN,)))

    def _with_interrupts(self, task: Task) -> dict[str, Any]:
        value = self.run.machine.read(self.output)
        return {**(value if isinstance(value, dict) else {}), INTERRUPT: task.interrupts}

    def update(self, task: Task, *, cached: bool) -> None:
        """Tell a task's update."""
        if self.sink.wants("updates"):
            payload = stream.map_updates(self.output, [task], cached=cached)
            if payload is not None:
                self.sink.put(self.ns, "updates", payload)

    def _messages(self, task: Task) -> None:
        """Tell the chat messages that a task wrote and that nobody has told yet."""
        from perdure.pregel.scope import TaskScope

        run = self.run
        if task.name == run.plan.input_channels:
            return
        seen = self.sink.seen_messages
        seen.update(filter(None, map(stream.message_id, stream.messages_in(_values_of(task.input)))))
        metadata = None
        for message in stream.messages_in(value for name, value in task.writes if name in run.plan.stream_channels):
            id_ = stream.message_id(message)
            if id_ is not None and id_ in seen:
                continue
            if id_ is not None:
                seen.add(id_)
            metadata = metadata or TaskScope(run, task).message_metadata()
            self.sink.put(self.ns, "messages", (as_kept(message), metadata))

    def checkpoint(self) -> None:
        """Tell the checkpoint just made, now that it is known what runs next."""
        journal = self.run.journal
        told, journal.last = journal.last, None
        if told is None or self.run.saver is None or not self._wants_any("checkpoints", "debug"):
            return
        from perdure.pregel.snapshot import checkpoint_payload

        payload = checkpoint_payload(self.run, *told)
        self._tell("checkpoints", lambda: payload)
        self._tell("debug", lambda: stream.debug_event("checkpoint", self.run.machine.step - 1, payload))


def _values_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(vars(value).values()) if hasattr(value, "__dict__") else [value]
