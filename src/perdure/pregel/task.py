"""A task: one run of a node in a superstep, with its deterministic id."""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128_hexdigest

from perdure.constants import CONTROL_WRITES, NS_END, NS_SEP, PUSH

if TYPE_CHECKING:
    from perdure.pregel.handling import Failure
    from perdure.pregel.plan import Node
    from perdure.types import Interrupt, TimeoutPolicy

TaskPath = tuple[str | int, ...]


def task_id(determined_by: str) -> str:
    """Name a task by what determines it, so that a resumed run finds its writes again."""
    return _as_uuid(xxh3_128_hexdigest(determined_by.encode("utf-8", "surrogatepass")))


def planned_id(checkpoint_id: str, around: str, step: int, name: str, how: str) -> str:
    """Name a task of a superstep.

    LangGraph makes the same ids of the same things: so a thread that was moved from there, or goes there, keeps the
    questions that are open, and what tasks of its last superstep have finished.

    Args:
        checkpoint_id: Of the checkpoint that the superstep runs on.
        around: The namespace that the task is in.
        step: The superstep.
        name: The node.
        how: What started it: how, and by what.
    """
    try:
        at = unhexlify(checkpoint_id.replace("-", ""))
    except ValueError:  # an id of somebody else's, that is no UUID
        at = checkpoint_id.encode("utf-8", "surrogatepass")
    own = f"{around}{NS_SEP}{name}" if around else name
    return _as_uuid(xxh3_128_hexdigest(at + f"{own}{step}{name}{how}".encode("utf-8", "surrogatepass")))


def _as_uuid(h: str) -> str:
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def interrupt_id(ns: str, nth: int) -> str:
    """Name the nth question that the task with this namespace asks."""
    return xxh3_128_hexdigest((f"{ns}{NS_SEP}{nth}" if nth else ns).encode("utf-8", "surrogatepass"))


class Task:
    """One run of a node in a superstep.

    Args:
        id: Its id, or what else determines it: the checkpoint's id, the superstep, and how the task was started. The id
            is made when it is asked for.

    Attributes:
        path: Where it came from: a trigger (with the node's name) or a `Send` (with its position); the order of
            paths is the order in which writes are applied.
        input: The node's input.
        writes: What it wrote so far: (channel, value).
        resume: Answers to the questions that it asked, in order.
        saved: Whether its writes came from the storage.
        failure: What it raised.
        failed: How its node failed, if the node's error handler is what is left of the task.
        interrupts: Open questions.
    """

    # Defaults of the class: most tasks never set them, and there is a task a step.
    attempt = 1
    error: BaseException | None = None
    failed: Failure | None = None
    failure: BaseException | None = None
    interrupts: tuple[Interrupt, ...] = ()
    resume: Sequence[Any] = ()
    resumed = False
    saved = False
    timeout: TimeoutPolicy | None = None

    def __init__(
        self,
        id: str | tuple[str, int, str],
        name: str,
        path: TaskPath,
        node: Node,
        input: Any,
        triggers: tuple[str, ...],
        ns: str,
    ) -> None:
        self._id = id
        self.name = name
        self.path = path
        self.node = node
        self.input = input
        self.triggers = triggers
        self._around = ns
        self.writes: list[tuple[str, Any]] = []

    @property
    def id(self) -> str:
        """Its name: the same whenever the same superstep of the same thread is planned."""
        id_ = self._id
        if not isinstance(id_, str):
            checkpoint_id, step, how = id_
            id_ = self._id = planned_id(checkpoint_id, self._around, step, self.name, how)
        return id_

    @property
    def shown(self) -> str:
        """The name by which streams tell of it: that of the handler, if the handler is what is left of it."""
        handler = self.node.handler
        return self.name if self.failed is None or handler is None else handler.name

    @property
    def ns(self) -> str:
        """The namespace of graphs that it calls."""
        own = f"{self.name}{NS_END}{self.id}"
        return f"{self._around}{NS_SEP}{own}" if self._around else own

    @property
    def path_text(self) -> str:
        """The path as text whose order is the path's order."""
        path = self.path
        if path is self.node.path:
            return self.node.path_text
        if len(path) == 3 and path[0] == PUSH:
            return f"~{PUSH}, {path[1]:010d}, {path[2]}"
        return "~" + ", ".join(
            f"{p:010d}" if isinstance(p, int) and not isinstance(p, bool) else str(p) for p in self.path
        )

    @property
    def is_finished(self) -> bool:
        """Whether it wrote something that counts."""
        return any(channel not in CONTROL_WRITES for channel, _ in self.writes)
