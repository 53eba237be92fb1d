"""What happens in a database now: which threads moved between two looks; see `BaseCheckpointSaver.activity`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver

__all__ = ["MOST", "Activity", "Mark", "Moved", "activity_by_heads"]

MOST: Final = 1000
"""Namespaces that a look sees: those with the newest heads."""


class Mark(NamedTuple):
    """Where a namespace of a thread stood.

    Attributes:
        head: Its latest checkpoint's id.
        position: What the saver wants to know at the next look.
    """

    head: str
    position: int = 0


class Moved(NamedTuple):
    """What a namespace of a thread got between two looks.

    Attributes:
        thread_id: The thread.
        checkpoint_ns: The namespace.
        steps: New checkpoints.
        stored: Bytes of these and of their new pieces; None: not known.
    """

    thread_id: str
    checkpoint_ns: str
    steps: int
    stored: int | None


class Activity(NamedTuple):
    """A look.

    Attributes:
        marks: By thread and namespace, the newest heads first.
        moved: What came since the look before.
        leases: Who holds the lease of which thread; None: the saver doesn't tell.
    """

    marks: Mapping[tuple[str, str], Mark]
    moved: Sequence[Moved] = ()
    leases: Mapping[str, str] | None = None


def activity_by_heads(saver: BaseCheckpointSaver[Any], since: Activity | None) -> Activity:
    """Look at every thread's head: what can be told of any saver. Namespaces of subgraphs aren't looked at."""
    heads = {(thread_id, ""): Mark(head) for thread_id in saver.threads() if (head := saver.get_head(thread_id))}
    marks = dict(sorted(heads.items(), key=lambda item: item[1].head, reverse=True)[:MOST])
    if since is None:
        return Activity(marks)
    moved = []
    for (thread_id, checkpoint_ns), mark in marks.items():
        before = since.marks.get((thread_id, checkpoint_ns))
        if mark != before:
            moved.append(Moved(thread_id, checkpoint_ns, _steps(saver, thread_id, before), None))
    return Activity(marks, moved)


def _steps(saver: BaseCheckpointSaver[Any], thread_id: str, before: Mark | None) -> int:
    many = 0
    for one in saver.browse({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}):
        if before is not None and one.config["configurable"]["checkpoint_id"] <= before.head:
            break
        many += 1
    return many
