"""How operations become statements on a connection: transactions and sharing, without I/O, for both colours.

An exchange is a generator that yields batches for one connection and is sent their rows. A shell that can wait, in one
colour or the other, carries each batch to the server as one pipeline: one round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, Literal

from perdure.database.operation import Batch, Op, Replies

Mode = Literal["plain", "soft", "write"]
"""`plain`: each batch is a transaction of its own. `soft`: so too, without an fsync, and so shared with none of
the others. `write`: all batches are one transaction."""

SHARED: Final[tuple[Mode, ...]] = ("plain", "soft")
"""Modes whose jobs may run side by side."""

Exchange = Generator[Batch, Replies, None]

Merge = Callable[[Batch], tuple[Batch, Callable[[Replies], Replies] | None]]
"""Makes fewer statements of many; and of their replies, those to the many."""

_BEGIN: Final = ("BEGIN ISOLATION LEVEL READ COMMITTED", ())
_COMMIT: Final = [("COMMIT", ())]
_ROLLBACK: Final = [("ROLLBACK", ())]


class Job:
    """An operation to run, and how it went.

    Attributes:
        make: Makes the operation; anew for each attempt.
        mode: Its transaction.
        key: Jobs of one transaction run in the order of their keys, so that they can't wait for each other in a circle.
    """

    __slots__ = ("done", "error", "future", "key", "make", "mode", "result")

    def __init__(self, make: Callable[[], Op[Any]], mode: Mode, key: str = "") -> None:
        self.make = make
        self.mode = mode
        self.key = key
        self.reset()
        self.future: Any = None

    def reset(self) -> None:
        """Forget an attempt."""
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def answer(self, op: Op[Any], replies: Replies | None) -> Batch | None:
        """Let the operation go on; None if that ended it."""
        try:
            return op.send(replies)  # type: ignore[arg-type]
        except StopIteration as end:
            self.result = end.value
        except Exception as e:  # noqa: BLE001 - the caller gets it
            self.error = e
        self.done = True
        return None


def alone(job: Job) -> Exchange:
    """Run one job in its transaction."""
    op = job.make()
    begun = job.mode != "write"
    try:
        batch = job.answer(op, None)
        while batch is not None:
            if begun:
                replies = yield batch
            else:
                replies = (yield [_BEGIN, *batch])[1:]
                begun = True
            batch = job.answer(op, replies)
        if begun and job.mode == "write":
            yield _COMMIT if job.error is None else _ROLLBACK
    finally:
        op.close()


def together(jobs: Sequence[Job], merge: Merge) -> Exchange:
    """Run plain jobs side by side: the batches of all are one pipeline, and so one transaction with one fsync."""
    live = [(job, job.make()) for job in sorted(jobs, key=lambda job: job.key)]
    try:
        asking = [(job, op, batch) for job, op in live if (batch := job.answer(op, None)) is not None]
        while asking:
            sent, split = merge([statement for _, _, batch in asking for statement in batch])
            replies = yield sent
            if split is not None:
                replies = split(replies)
            following = []
            at = 0
            for job, op, asked in asking:
                batch = job.answer(op, replies[at : at + len(asked)])
                at += len(asked)
                if batch is not None:
                    following.append((job, op, batch))
            asking = following
    finally:
        for _, op in live:
            op.close()


def exchanges(jobs: Sequence[Job], merge: Merge) -> Iterator[tuple[Sequence[Job], Exchange]]:
    """Group jobs: the plain ones together, the soft ones, and the others each alone."""
    for mode in SHARED:
        group = [job for job in jobs if job.mode == mode]
        if len(group) == 1:
            yield group, alone(group[0])
        elif group:
            yield group, together(group, merge)
    for job in jobs:
        if job.mode not in SHARED:
            yield [job], alone(job)
