"""Versions of a graph: which one has made a checkpoint, and how its state becomes that of this one.

1. A graph with a version writes it, and a fingerprint of its shape, into the metadata of its checkpoints.
2. A checkpoint of another version is migrated when it is read, by the migrations that lead from its version to this
   one. What is stored stays; the next checkpoint stores the migrated state.
3. Checkpoints without a version are from before the graph had one. They are taken as they are, unless a migration from
   the version `""` says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_64_hexdigest

from perdure.constants import CONTROL_WRITES, NULL_TASK_ID
from perdure.errors import GraphVersionError, InvalidConfigError
from perdure.pregel.commands import branch_channel

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
    from perdure.pregel.plan import Plan
    from perdure.types import Migration

VERSION = "graph_version"
FINGERPRINT = "graph_fingerprint"

POLICIES = ("latest", "refuse")

_BRANCH = branch_channel("")
_JOIN = "join:"


class Versions:
    """What a graph does about checkpoints of its other versions.

    Args:
        version: Of the graph.
        migrations: From version to version.
        policy: `latest` migrates; `refuse` runs only what this version has made.
        fingerprint: Of the graph's shape.

    Raises:
        InvalidConfigError: They don't make sense.
    """

    def __init__(self, version: str, migrations: Sequence[Migration], policy: str, fingerprint: str) -> None:
        if not isinstance(version, str) or not version:
            raise InvalidConfigError(f"a graph's version is a text of at least one character, not {version!r}")
        if policy not in POLICIES:
            raise InvalidConfigError(f"other_versions must be one of {', '.join(POLICIES)}, not {policy!r}")
        self.version = version
        self.policy = policy
        self.marks = {VERSION: version, FINGERPRINT: fingerprint}
        self._from: dict[str, Migration] = {}
        for migration in migrations:
            if migration.before in self._from:
                raise InvalidConfigError(f"two migrations begin at version {migration.before!r}")
            self._from[migration.before] = migration

    def accepts(self, saved: CheckpointTuple) -> bool:
        """Tell whether a checkpoint can be gone on from."""
        try:
            self._path(saved)
        except GraphVersionError:
            return False
        return True

    def _path(self, saved: CheckpointTuple) -> list[Migration]:
        """Return the migrations that a checkpoint needs.

        Raises:
            GraphVersionError: It can't be brought to this version.
        """
        stored = str(saved.metadata.get(VERSION) or "")
        if stored == self.version or (not stored and "" not in self._from and self.policy == "latest"):
            return []
        thread_id = saved.config["configurable"].get("thread_id")
        made_by = f"thread {thread_id!r} was made by version {stored!r} of the graph, and this is {self.version!r}"
        if self.policy == "refuse":
            hint = "run it with that version, or compile this one with other_versions='latest' and migrations"
            raise GraphVersionError(f"{made_by}; other versions are refused", hint=hint, thread_id=thread_id)
        path: list[Migration] = []
        at = stored
        while at != self.version:
            step = self._from.get(at)
            if step is None or len(path) > len(self._from):
                raise GraphVersionError(
                    f"{made_by}; no migration leads from {at!r} on",
                    hint=f"compile(migrations=[Migration(before={at!r}, after=...)]), or run it with its own version",
                    thread_id=thread_id,
                )
            path.append(step)
            at = step.after
        return path

    def adapted(
        self, saved: CheckpointTuple, plan: Plan, saver: BaseCheckpointSaver[Any]
    ) -> tuple[CheckpointTuple, frozenset[str]]:
        """Return a checkpoint as one of this version, and the channels that differ from what is stored.

        Raises:
            GraphVersionError: It can't be brought to this version, or stands before a node that there is no more.
        """
        path = self._path(saved)
        if not path:
            return saved, frozenset()
        work = _Work(saved)
        for migration in path:
            work.apply(migration)
        work.check(plan, self.version)
        return work.result(self.marks, saver)

    def shown(self, saved: CheckpointTuple, plan: Plan, saver: BaseCheckpointSaver[Any]) -> CheckpointTuple:
        """Return a checkpoint as one of this version, for looking at it; as it is, if it can't be brought there."""
        try:
            return self.adapted(saved, plan, saver)[0]
        except GraphVersionError:
            return saved


class _Work:
    """A checkpoint on its way from version to version."""

    def __init__(self, saved: CheckpointTuple) -> None:
        checkpoint = saved.checkpoint
        self.saved = saved
        self.values: dict[str, Any] = dict(checkpoint["channel_values"])
        self.versions: dict[str, Any] = dict(checkpoint["channel_versions"])
        self.seen = {node: dict(seen) for node, seen in checkpoint["versions_seen"].items()}
        updated = checkpoint.get("updated_channels")
        self.updated = None if updated is None else list(updated)
        self.pending = list(saved.pending_writes or ())
        self.changed: set[str] = set()

    def apply(self, migration: Migration) -> None:
        for old, new in migration.nodes.items():
            self._rename_node(old, new)
        for old, new in migration.keys.items():
            self._rename_channel(old, new)
        if migration.state is not None:
            self._change_state(migration)
        if migration.nodes:  # their tasks have other ids: what they asked, they ask again
            self.pending = [w for w in self.pending if w[0] == NULL_TASK_ID or w[1] not in CONTROL_WRITES]

    def _change_state(self, migration: Migration) -> None:
        before = {name: value for name, value in self.values.items() if _is_state(name)}
        assert migration.state is not None
        try:
            after = migration.state(dict(before))
        except Exception as error:
            raise GraphVersionError(
                f"the migration from {migration.before!r} to {migration.after!r} failed: {error!r}",
                hint="it is given the keys that have a value; any may be missing in an early checkpoint",
            ) from error
        if not isinstance(after, dict):
            raise GraphVersionError(
                f"the migration from {migration.before!r} to {migration.after!r} returned {type(after).__name__}, and "
                "returns the state as a dict"
            )
        for name in before.keys() - after.keys():
            del self.values[name]
            self.versions.pop(name, None)
            self.changed.discard(name)
        for name, value in after.items():
            if name not in before or before[name] is not value:
                self.values[name] = value
                self.changed.add(name)

    def _rename_node(self, old: str, new: str | None) -> None:
        if old in self.seen:
            seen = self.seen.pop(old)
            if new is not None:
                self.seen[new] = seen
        for name in list(self.versions):
            renamed = _renamed(name, old, new)
            if renamed != name:
                self._rename_channel(name, renamed)
                if renamed is not None and renamed in self.values and renamed.startswith(_JOIN):
                    self.values[renamed] = _arrived(self.values[renamed], old, new)

    def _rename_channel(self, old: str, new: str | None) -> None:
        for held in (self.values, self.versions, *self.seen.values()):
            if old in held:
                value = held.pop(old)
                if new is not None:
                    held[new] = value
        if new is not None and new in self.values:
            self.changed.add(new)
        self.changed.discard(old)
        if self.updated is not None:
            self.updated = [new if name == old else name for name in self.updated if name != old or new is not None]  # type: ignore[misc]
        self.pending = [
            (task, new if name == old and new is not None else name, value)
            for task, name, value in self.pending
            if name != old or new is not None
        ]

    def check(self, plan: Plan, version: str) -> None:
        """Look whether what runs next, and what was migrated, is there."""
        if unknown := sorted(self.changed - plan.channels.keys()):
            raise GraphVersionError(
                f"the migrations lead to the key {unknown[0]!r}, which version {version!r} of the graph doesn't have",
                hint=f"its keys are: {', '.join(sorted(filter(_is_state, plan.channels)))}",
            )
        for name in self.versions:
            node = name.removeprefix(_BRANCH)
            is_due = name in self.values and self.versions[name] != self.seen.get(node, {}).get(name)
            if name.startswith(_BRANCH) and node not in plan.nodes and is_due:
                raise GraphVersionError(
                    f"the thread stands before node {node!r}, which version {version!r} of the graph doesn't have",
                    hint=f"say what runs in its place: Migration(..., nodes={{{node!r}: 'another'}}); None drops it",
                    node=node,
                )

    def result(
        self, marks: Mapping[str, str], saver: BaseCheckpointSaver[Any]
    ) -> tuple[CheckpointTuple, frozenset[str]]:
        bumped = saver.get_next_version(max(self.versions.values(), default=None), None)
        for name in self.changed:
            if _is_state(name) or name not in self.versions:
                self.versions[name] = bumped
        checkpoint = {
            **self.saved.checkpoint,
            "channel_values": self.values,
            "channel_versions": self.versions,
            "versions_seen": self.seen,
            "updated_channels": self.updated,
        }
        made = self.saved._replace(
            checkpoint=checkpoint,  # type: ignore[arg-type]  # the same keys
            metadata={**self.saved.metadata, **marks},  # type: ignore[typeddict-item]
            pending_writes=self.pending,
        )
        return made, frozenset(self.changed)


def _is_state(name: str) -> bool:
    return not name.startswith(("__", _BRANCH, _JOIN)) or name == "__root__"


def _renamed(channel: str, old: str, new: str | None) -> str | None:
    """Return what a channel between nodes is called once a node has another name; None if it goes."""
    if channel == branch_channel(old):
        return None if new is None else branch_channel(new)
    if channel.startswith(_JOIN):
        starts, _, end = channel.removeprefix(_JOIN).rpartition(":")
        names = [*starts.split("+"), end]
        if old in names:
            if new is None:
                return None
            *renamed, last = [new if name == old else name for name in names]
            return f"{_JOIN}{'+'.join(renamed)}:{last}"
    return channel


def _arrived(value: Any, old: str, new: str | None) -> Any:
    """Return what a barrier holds, the names of the nodes that have arrived, with a node's new name."""
    if isinstance(value, tuple):  # of one that waits for the end of everything else
        return (_arrived(value[0], old, new), *value[1:])
    return type(value)(new if name == old else name for name in value)


def fingerprint(plan: Plan) -> str:
    """Return a short text that is the same for graphs with the same nodes, edges and channels."""
    nodes = {name: [*node.triggers, *(branch.name for branch in node.branches)] for name, node in plan.nodes.items()}
    channels = {name: [type(channel).__name__, str(channel.typ)] for name, channel in plan.channels.items()}
    return xxh3_64_hexdigest(json.dumps([nodes, channels], sort_keys=True).encode())
