"""Answers to the questions that a thread has asked: which one an answer is for, and that it is used once."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from perdure.channels.base import MISSING
from perdure.checkpoint.serde.types import INTERRUPT, RESUME, is_addressed
from perdure.constants import CONTROL_WRITES
from perdure.errors import UnknownInterruptError
from perdure.types import Interrupt

PendingWrites = Iterable[tuple[str, str, Any]]


def open_interrupts(pending: PendingWrites, due: Container[str] | None = None) -> dict[str, Interrupt]:
    """Return the questions of a checkpoint that no finished task has left behind, by id.

    Args:
        pending: The checkpoint's.
        due: The tasks whose questions count; None: all that have asked. A task that asked isn't due any more if its
            node has got another name, or has gone. A call's question is also its caller's, who has it when it stops.
    """
    pending = list(pending)
    done = {tid for tid, name, _ in pending if name not in CONTROL_WRITES}
    found: dict[str, Interrupt] = {}
    for tid, name, value in pending:
        if name == INTERRUPT and tid not in done and (due is None or tid in due):
            found.update((i.id, i) for i in (value if isinstance(value, (list, tuple)) else (value,)))
    return found


def addressed(resume: Any, pending: PendingWrites, tasks: Callable[[], Container[str]], thread_id: str | None) -> Any:
    """Address a caller's answer to the question that is open, so that no other one can get it.

    Args:
        resume: The answer.
        pending: The checkpoint's writes.
        tasks: Tells which tasks are due.
        thread_id: The thread.

    Returns:
        {interrupt id: value}; where no question is open, the answer as it is, for the first to ask.

    Raises:
        UnknownInterruptError: It is for a question that isn't open, or it isn't clear for which one it is.
    """
    is_open = open_interrupts(pending)
    if is_open and not is_addressed(resume):
        is_open = open_interrupts(pending, tasks())
    hint = f"open are: {', '.join(is_open) or 'none'}; get_state(config).interrupts lists them"
    if is_addressed(resume):
        if unknown := [key for key in resume if key not in is_open]:
            raise UnknownInterruptError(
                f"no open interrupt has the id {', '.join(unknown)}",
                hint=hint,
                reason="not_pending",
                thread_id=thread_id,
            )
        return dict(resume)
    if len(is_open) > 1:
        raise UnknownInterruptError(
            f"{len(is_open)} interrupts are open, and one answer came without an id",
            hint=f"pass Command(resume={{id: answer, ...}}); {hint}",
            reason="ambiguous",
            thread_id=thread_id,
        )
    return dict.fromkeys(is_open, resume) or resume


class Answers:
    """The answers that a run was given and hasn't used.

    Attributes:
        null_was_taken: Whether an answer without an address has been used; it must then be struck out in the storage.
    """

    __slots__ = ("_by_id", "_null", "null_was_taken")

    def __init__(self) -> None:
        self._by_id: dict[str, Any] = {}
        self._null: Any = MISSING
        self.null_was_taken = False

    def take_in(self, writes: Iterable[tuple[str, Any]]) -> None:
        """Take the answers among a caller's writes."""
        for name, value in writes:
            if name == RESUME and is_addressed(value):
                self._by_id.update(value)
            elif name == RESUME and value is not None:
                self._null = value

    def get(self, interrupt_id: str) -> Any:
        """Return the answer to a question; MISSING if there is none."""
        if interrupt_id in self._by_id:
            return self._by_id[interrupt_id]
        if self._null is MISSING:
            return MISSING
        value, self._null = self._null, MISSING
        self.null_was_taken = True
        return value

    def clear(self) -> None:
        """Forget all: the superstep that they were for is done."""
        if self._by_id:
            self._by_id = {}
        self.null_was_taken = False
