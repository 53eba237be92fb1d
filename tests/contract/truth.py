"""What a store must hold after any calls: a model that remembers everything whole, and guesses nothing.

It is an `InMemorySaver` that is made to forget what it knows before each call, beside a plain record of all values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from perdure.checkpoint import records
from perdure.checkpoint.base import Commit, Lease, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import ConflictError

Space = tuple[str, str]
"""A thread, and a namespace in it."""


@dataclass(frozen=True)
class Entry:
    """A checkpoint's values; not changed once it is made."""

    id: str
    parent: str | None
    values: dict[str, Any]
    versions: dict[str, int]
    run: str


class Child(NamedTuple):
    """A checkpoint to store: as its caller gives it, and what must be read."""

    entry: Entry
    made: Any
    changed: dict[str, int]

    @property
    def metadata(self) -> dict[str, Any]:
        return {"run_id": self.entry.run, "step": len(self.entry.versions)}


def child(base: Entry | None, changes: dict[str, Any], run: str, made_id: str | None = None) -> Child:
    """Make a checkpoint that goes on from another one; a change to None empties a channel."""
    values = {**(base.values if base else {}), **changes}
    values = {channel: value for channel, value in values.items() if value is not None}
    before = base.versions if base else {}
    changed = dict.fromkeys(changes, max(before.values(), default=0) + 1)
    versions = {**before, **changed}
    made = checkpoint(values, versions, after=base.id if base else None)
    made["id"] = made_id or made["id"]
    return Child(Entry(made["id"], base.id if base else None, values, versions, run), made, changed)


def commit_of(space: Space, one: Child, writes: list[TaskWrites], expected: Any, *, changes_only: bool) -> Commit:
    """Make the commit of a child, as the engine does it."""
    made = one.made
    if changes_only:
        made = {**made, "channel_values": {c: v for c, v in made["channel_values"].items() if c in one.changed}}
    writes = writes if one.entry.parent else []
    return Commit(
        *space, one.entry.parent, writes, made, one.metadata, one.changed, expected, changes_only=changes_only
    )


@dataclass
class Right:
    """A lease as it must be."""

    lease: Lease
    stop: bool = False


@dataclass
class Truth:
    """The model."""

    saver: InMemorySaver[Any] = field(default_factory=InMemorySaver)
    entries: dict[Space, dict[str, Entry]] = field(default_factory=dict)
    ever: dict[Space, list[Entry]] = field(default_factory=dict)
    rights: dict[str, Right] = field(default_factory=dict)

    def of(self, space: Space) -> dict[str, Entry]:
        return self.entries.setdefault(space, {})

    def head(self, space: Space) -> str | None:
        return max(self.of(space), default=None)

    def has(self, space: Space, checkpoint_id: str | None) -> bool:
        """Tell whether a child of it stands on firm ground."""
        return checkpoint_id is None or checkpoint_id in self.of(space)

    def _add(self, space: Space, entry: Entry) -> None:
        self.of(space)[entry.id] = entry
        self.ever.setdefault(space, []).append(entry)

    # -- calls

    def put(self, space: Space, one: Child) -> None:
        self.saver._lineage = records.Lineage()
        self.saver.put(place(*space, one.entry.parent), one.made, one.metadata, one.changed)
        self._add(space, one.entry)

    def commit(self, space: Space, commits: list[Commit], entries: list[Entry]) -> bool:
        """Commit; tell whether the holder of its lease must stop."""
        [lease] = {commit.lease for commit in commits}
        right = self.rights.get(space[0])
        if lease is not None and (right is None or right.lease != lease):
            raise ConflictError("the lease was lost")
        self.saver._lineage = records.Lineage()
        self.saver.commit([self.saver.prepare(commit._replace(lease=None)) for commit in commits])
        for entry in entries:
            self._add(space, entry)
        return lease is not None and right is not None and right.stop

    def put_writes(self, space: Space, checkpoint_id: str, writes: Any, task_id: str, path: str) -> None:
        self.saver.put_writes(place(*space, checkpoint_id), writes, task_id, path)

    def delete_thread(self, thread: str) -> None:
        self.saver.delete_thread(thread)
        self.rights.pop(thread, None)
        for space in self.entries:
            if space[0] == thread:
                self.entries[space] = {}

    def delete_for_runs(self, runs: list[str]) -> None:
        self.saver.delete_for_runs(runs)
        for space, found in self.entries.items():
            self.entries[space] = {i: entry for i, entry in found.items() if entry.run not in runs}

    def copy_thread(self, source: str, target: str) -> None:
        self.saver.copy_thread(source, target)
        for (thread, ns), found in list(self.entries.items()):
            if thread == source and source != target:
                for entry in found.values():
                    self._add((target, ns), replace(entry))

    def prune(self, thread: str, strategy: str) -> None:
        self.saver.prune([thread], strategy=strategy)  # type: ignore[arg-type]
        if strategy == "delete":
            self.delete_thread(thread)
        for space, found in self.entries.items():
            if space[0] == thread and found:
                self.entries[space] = {max(found): found[max(found)]}

    # -- what must be read

    def tuples(self, thread: str) -> list[Any]:
        """Return what `list` must give of a thread."""
        found = list(self.saver.list({"configurable": {"thread_id": thread}}))
        for one in found:
            where = one.config["configurable"]
            entry = self.of((thread, where["checkpoint_ns"]))[where["checkpoint_id"]]
            assert one.checkpoint["channel_values"] == entry.values, "the models differ"
        assert len(found) == sum(len(held) for (name, _), held in self.entries.items() if name == thread)
        return found
