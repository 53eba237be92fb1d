"""A database as a stream of commits: what would have to be committed, in which order, to make it anew.

1. Commits of a thread come in the order of their ids, over all its namespaces: after any number of them the target is
   what the source once was. A parent comes before its children.
2. A checkpoint comes together with the writes that are pending on its parent; those that are pending on a checkpoint
   without children come last, by themselves. So a target that has a checkpoint has all that led to it, and whoever
   was stopped goes on behind what the target has.
3. Checkpoints are read a window at a time, and one is decoded at a time: memory doesn't grow with a thread's length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

from perdure.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    CheckpointTuple,
    Commit,
    PendingWrite,
    StoredCheckpoint,
    TaskWrites,
)
from perdure.ops.selecting import Selection

Saver = BaseCheckpointSaver[Any]

WINDOW: Final = 24
"""Checkpoints read at once."""


class Place(NamedTuple):
    """Where a checkpoint is in its thread; in the order of ids."""

    checkpoint_id: str
    checkpoint_ns: str


class Outline(NamedTuple):
    """A thread's checkpoints that are meant, in ascending order, with their parents' ids."""

    thread_id: str
    parents: dict[Place, str | None]

    def before(self, place: Place) -> Place | None:
        """Return where a checkpoint's parent is."""
        parent = self.parents[place]
        return None if parent is None else Place(parent, place.checkpoint_ns)

    def leaves(self) -> list[Place]:
        """Return those that none of the others has as its parent."""
        used = {self.before(place) for place in self.parents}
        return [place for place in self.parents if place not in used]


def place_of(config: Any) -> Place:
    """Return where in its thread a config says that a checkpoint is."""
    where = config["configurable"]
    return Place(where["checkpoint_id"], where.get("checkpoint_ns", ""))


def outline(saver: Saver, thread_id: str, selection: Selection) -> Outline:
    """Read which checkpoints a thread has."""
    found = [(place_of(one.config), parent_id(one)) for one in selection.browse(saver, thread_id)]
    return Outline(thread_id, dict(sorted(found, key=lambda item: item[0])))


def parent_id(one: StoredCheckpoint | CheckpointTuple) -> str | None:
    """Return the id of a checkpoint's parent."""
    return None if one.parent_config is None else place_of(one.parent_config).checkpoint_id


def read(saver: Saver, thread_id: str, places: Sequence[Place]) -> Iterator[StoredCheckpoint]:
    """Read checkpoints of a thread in ascending order, some at once; what is gone by now is left out."""
    for start in range(0, len(places), WINDOW):
        window = places[start : start + WINDOW]
        yield from reversed(_window(saver, thread_id, window))


def _window(saver: Saver, thread_id: str, window: Sequence[Place]) -> list[StoredCheckpoint]:
    wanted = set(window)
    found: list[StoredCheckpoint] = []
    # A text that follows the last id, and that no other id comes before.
    behind = {"configurable": {"checkpoint_id": f"{window[-1].checkpoint_id}\x01"}}
    for one in Selection().browse(saver, thread_id, before=behind):
        place = place_of(one.config)
        if place.checkpoint_id < window[0].checkpoint_id:
            break
        if place in wanted:
            found.append(one)
            if len(found) == len(wanted):
                break
    return sorted(found, key=lambda one: place_of(one.config), reverse=True)


def commits(saver: Saver, source: Outline, known: Collection[Place]) -> Iterator[Commit]:
    """Iterate over the commits that make a thread, but for the checkpoints that are `known`; see this module's rules.

    Args:
        saver: Where it is read.
        source: What of it.
        known: Checkpoints that the target has.
    """
    writes = _Writes(saver, source.thread_id)
    missing = [place for place in source.parents if place not in known]
    leaves = source.leaves()
    led_on = {*leaves, *(before for place in missing if (before := source.before(place)))}
    for stored in read(saver, source.thread_id, missing):
        found = stored.open()
        place, parent = place_of(found.config), parent_id(found)
        pending = writes.note(place, found)
        if pending and place not in led_on:  # the target has its children already
            yield Commit(source.thread_id, place.checkpoint_ns, place.checkpoint_id, pending)
        before = source.before(place)
        led = writes.of(before) if before is not None and (before in source.parents or before in known) else ()
        yield _commit(source.thread_id, place.checkpoint_ns, parent, led, found)
    for place in leaves:
        if pending := writes.of(place):
            yield Commit(source.thread_id, place.checkpoint_ns, place.checkpoint_id, pending)


def _commit(
    thread_id: str, checkpoint_ns: str, parent: str | None, led: Sequence[TaskWrites], found: CheckpointTuple
) -> Commit:
    versions = found.checkpoint["channel_versions"]
    return Commit(thread_id, checkpoint_ns, parent, led, found.checkpoint, found.metadata, versions)


class _Writes:
    """The pending writes of the checkpoints that were read last; those of others are read again."""

    _MOST = 4 * WINDOW

    def __init__(self, saver: Saver, thread_id: str) -> None:
        self._saver = saver
        self._thread_id = thread_id
        self._recent: dict[Place, list[TaskWrites]] = {}

    def note(self, place: Place, found: CheckpointTuple) -> Sequence[TaskWrites]:
        if len(self._recent) >= self._MOST:
            self._recent.pop(next(iter(self._recent)))
        self._recent[place] = by_task(found.pending_writes or ())
        return self._recent[place]

    def of(self, place: Place) -> Sequence[TaskWrites]:
        if place in self._recent:
            return self._recent[place]
        where = {"thread_id": self._thread_id, "checkpoint_ns": place.checkpoint_ns}
        found = self._saver.get_tuple({"configurable": {**where, "checkpoint_id": place.checkpoint_id}})
        return () if found is None else self.note(place, found)


def by_task(pending: Sequence[PendingWrite]) -> list[TaskWrites]:
    """Return pending writes task by task; the paths aren't among them, but their order is, and is kept."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for task_id, channel, value in pending:
        found.setdefault(task_id, []).append((channel, value))
    # A write's index is its place: those that have an index of their own come last.
    return [
        TaskWrites(task_id, f"{place:06}", sorted(writes, key=lambda write: write[0] in WRITES_IDX_MAP))
        for place, (task_id, writes) in enumerate(found.items())
    ]
