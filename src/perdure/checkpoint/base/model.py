"""What savers store, as they are handed it and hand it out: see `perdure.checkpoint.base` for the law."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, TypedDict

from perdure.checkpoint.ids import new_id
from perdure.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED, ChannelProtocol
from perdure.constants import MISSING
from perdure.types import RunnableConfig

ChannelVersions = dict[str, Any]
"""Version of each channel: int, float or str, growing with each change."""

PendingWrite = tuple[str, str, Any]
"""(task id, channel, value)"""

LATEST_VERSION: Final = 4
"""Version of the `Checkpoint` data model that perdure writes."""

WRITES_IDX_MAP: Final[Mapping[str, int]] = {ERROR: -1, SCHEDULED: -2, INTERRUPT: -3, RESUME: -4}
"""Index of the writes that a task has at most one of, whose last value wins."""

EXCLUDED_METADATA_KEYS: Final = frozenset(
    {
        "thread_id",
        "checkpoint_id",
        "checkpoint_ns",
        "checkpoint_map",
        "langgraph_step",
        "langgraph_node",
        "langgraph_triggers",
        "langgraph_path",
        "langgraph_checkpoint_ns",
    }
)
"""Keys of a config that say where a checkpoint is, not what it is about."""


class CheckpointMetadata(TypedDict, total=False):
    """What a checkpoint is about; a config's own keys may join these.

    Attributes:
        source: What made it: an `input`, a superstep (`loop`), an `update` of the state, a `fork`.
        step: Number of the superstep: -1 for the first input, 0 for the first of the loop.
        parents: Checkpoint ids of the enclosing graphs, by namespace.
        run_id: The run that made it.
    """

    source: Literal["input", "loop", "update", "fork"]
    step: int
    parents: dict[str, str]
    run_id: str


class Checkpoint(TypedDict):
    """The state of a graph between two supersteps.

    Attributes:
        v: Version of this data model.
        id: Sorts by time.
        ts: When it was made, ISO 8601 in UTC.
        channel_values: Values of the channels that have one.
        channel_versions: Versions of the channels that were ever written.
        versions_seen: For each node, the versions of its channels when it last ran.
        updated_channels: Channels that this checkpoint's superstep changed, sorted.
    """

    v: int
    id: str
    ts: str
    channel_values: dict[str, Any]
    channel_versions: ChannelVersions
    versions_seen: dict[str, ChannelVersions]
    updated_channels: list[str] | None


class CheckpointTuple(NamedTuple):
    """A checkpoint and what belongs to it; `pending_writes` are in the order of `writes_sort_key`."""

    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_config: RunnableConfig | None = None
    pending_writes: list[PendingWrite] | None = None


class StoredCheckpoint(NamedTuple):
    """A checkpoint of which only this is decoded so far; `open` decodes its values and writes.

    Everything was read from the store already: `open` does no I/O, and what is deleted meanwhile is still there.
    """

    config: RunnableConfig
    parent_config: RunnableConfig | None
    metadata: CheckpointMetadata
    ts: str
    open: Callable[[], CheckpointTuple]


class _AnyHead(enum.Enum):
    ANY_HEAD = enum.auto()


ANY_HEAD: Final = _AnyHead.ANY_HEAD
"""The value of `Commit.expected_head` that asks for no comparison."""


class TaskWrites(NamedTuple):
    """The writes of one task: pending writes of the checkpoint that the task ran on."""

    task_id: str
    task_path: str
    writes: Sequence[tuple[str, Any]]


class Lease(NamedTuple):
    """The right to write to a thread, until it expires or is released.

    `generation` grows by one each time the thread's lease changes hands (a fencing token): a commit that
    carries an older generation than the stored one is refused with `ConflictError`.
    """

    thread_id: str
    holder: str
    generation: int


LeaseState = Literal["held", "lost", "stop"]
"""How a renewal fared: still held, held by another by now, or held and asked to stop."""


class Commit(NamedTuple):
    """What the engine wants to be durable, as one atomic unit.

    `writes` belong to the checkpoint `parent_id`; `checkpoint`, if given, becomes its child and the new head.

    Attributes:
        thread_id: The thread.
        checkpoint_ns: The namespace in it.
        parent_id: The checkpoint that the tasks ran on; None before the first.
        writes: Writes of tasks; empty if `parent_id` is None.
        checkpoint: The new checkpoint, if any. Of `channel_values`, those of `new_versions` are stored;
            the others are the parent's.
        metadata: Its metadata, stored as it is.
        new_versions: Versions of the channels that differ from the parent's. A channel of these
            that `channel_values` lacks has become empty.
        expected_head: The head that the namespace must have, or `ANY_HEAD`; None: no checkpoint yet.
        lease: The right to write, where the saver has leases.
        changes_only: Whether `checkpoint` is the engine's live state with no values but those of `new_versions`, which
            name every channel that differs from the parent's: only for savers with `takes_changes`, in `prepare`.
    """

    thread_id: str
    checkpoint_ns: str
    parent_id: str | None
    writes: Sequence[TaskWrites] = ()
    checkpoint: Checkpoint | None = None
    metadata: CheckpointMetadata | None = None
    new_versions: Mapping[str, Any] = {}
    expected_head: str | None | _AnyHead = ANY_HEAD
    lease: Lease | None = None
    changes_only: bool = False


def get_checkpoint_id(config: RunnableConfig) -> str | None:
    """Return the id that the config addresses, None if it addresses the head."""
    configurable = config.get("configurable") or {}
    return configurable.get("checkpoint_id") or configurable.get("thread_ts")


def get_checkpoint_metadata(config: RunnableConfig, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Join metadata with the config's own: its `metadata`, then the scalars of its `configurable`.

    Keys that are set already win; addresses (`EXCLUDED_METADATA_KEYS`) and keys that start with `__`
    stay out. NUL characters are dropped from texts, for not every database can hold them.
    """
    joined: dict[str, Any] = {key: _without_nul(value) for key, value in metadata.items()}
    for source in (config.get("metadata"), config.get("configurable")):
        for key, value in (source or {}).items():
            if key in joined or key in EXCLUDED_METADATA_KEYS or key.startswith("__"):
                continue
            if isinstance(value, (str, int, bool, float)):
                joined[key] = _without_nul(value)
    return joined  # type: ignore[return-value]  # the TypedDict's keys, and those that the config adds


def _without_nul(value: Any) -> Any:
    return value.replace("\x00", "") if isinstance(value, str) else value


def get_serializable_checkpoint_metadata(config: RunnableConfig, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Do as `get_checkpoint_metadata` and drop the key `writes` of old versions."""
    joined = get_checkpoint_metadata(config, metadata)
    joined.pop("writes", None)  # type: ignore[typeddict-item]  # a key that old checkpoints of other savers have
    return joined


def writes_sort_key(task_path: str, task_id: str = "", idx: int = 0) -> tuple[str, str, int]:
    """Return what orders pending writes: the task's path, then its id, then the index."""
    return (task_path, task_id, idx)


def copy_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Copy a checkpoint and its dicts; the values themselves are shared."""
    copied = checkpoint.copy()
    copied["channel_values"] = checkpoint["channel_values"].copy()
    copied["channel_versions"] = checkpoint["channel_versions"].copy()
    copied["versions_seen"] = {k: v.copy() for k, v in checkpoint["versions_seen"].items()}
    return copied


def create_checkpoint(
    checkpoint: Checkpoint,
    channels: Mapping[str, ChannelProtocol[Any, Any, Any]] | None,
    step: int,
    *,
    id: str | None = None,
) -> Checkpoint:
    """Make the checkpoint that follows another one, of the same versions.

    Args:
        checkpoint: The one before.
        channels: What the values are taken from, those that have a version; None: the values stay.
        step: Without effect: an id's order doesn't come of it.
        id: By default a new one, greater than that of the one before.
    """
    made = empty_checkpoint()
    versions = checkpoint["channel_versions"]
    made["id"] = id or new_id(checkpoint["id"])
    made["channel_versions"] = versions
    made["versions_seen"] = checkpoint["versions_seen"]
    if channels is None:
        made["channel_values"] = checkpoint["channel_values"]
        return made
    values = {name: channel.checkpoint() for name, channel in channels.items() if name in versions}
    made["channel_values"] = {name: value for name, value in values.items() if value is not MISSING}
    return made


def empty_checkpoint() -> Checkpoint:
    """Make a checkpoint of nothing."""
    return Checkpoint(
        v=LATEST_VERSION,
        id=new_id(),
        ts=datetime.now(UTC).isoformat(),
        channel_values={},
        channel_versions={},
        versions_seen={},
        updated_channels=None,
    )
