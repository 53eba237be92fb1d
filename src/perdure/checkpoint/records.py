"""Commits turned into records and back: the part of storing that all backends share.

A checkpoint becomes a *header* (everything but the values) and a *piece* for each channel that changed. Channels that
did not change refer to the pieces of the parent. Content is found through these references only, never by a
channel's version alone: two branches may count the same versions with different values.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from perdure.checkpoint.address import make_config
from perdure.checkpoint.base import (
    ANY_HEAD,
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    PendingWrite,
    TaskWrites,
)
from perdure.checkpoint.chains import SMALL, Change, Tip, follow, whole
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.errors import ConflictError, CorruptCheckpointError, SerializationError, StorageError

Blob = tuple[str, bytes]
"""An encoded value: the serializer's type and its bytes."""

Write = tuple[int, str, str, bytes]
"""An encoded write: index, channel, the serializer's type, bytes."""

R = TypeVar("R")


class TaskRecord(NamedTuple):
    """The encoded writes of a task."""

    task_id: str
    task_path: str
    writes: list[Write]


class Prepared(NamedTuple):
    """A commit, encoded.

    Attributes:
        header: The checkpoint without its values, and its metadata; None: writes only.
        versions: The checkpoint's channel versions.
        pieces: Values of the changed channels; None for one that became empty.
        offered: Values of other channels, for the case that the parent doesn't have them.
        relies: Whether values were left out because the parent is known to have them.
    """

    thread_id: str
    checkpoint_ns: str
    parent_id: str | None
    checkpoint_id: str | None
    tasks: Sequence[TaskRecord]
    header: Blob | None
    run_id: str | None
    versions: dict[str, Any]
    pieces: dict[str, Change | None]
    offered: dict[str, Change]
    relies: bool
    expected_head: Any
    lease: Any
    replaces: bool


class Header(NamedTuple):
    """A decoded header."""

    v: int
    ts: str
    versions_seen: dict[str, dict[str, Any]]
    updated_channels: list[str] | None
    metadata: CheckpointMetadata
    others: dict[str, Any]


class Known(NamedTuple):
    """What is known of a checkpoint: versions, and the values that a child's are compared with."""

    versions: dict[str, Any]
    tips: dict[str, Tip]


_NOTHING_KNOWN = Known({}, {})

_LARGE = 8 * 1024 * 1024


@cache
def _teach_malloc() -> None:
    """Free one large block that was never touched.

    glibc takes blocks over a threshold from the system and gives them back at once, so that each encoding of a growing
    value would begin with page faults on fresh memory: more time than the encoding itself. The threshold follows the
    largest such block that was freed (mallopt(3), M_MMAP_THRESHOLD). Elsewhere this does nothing.
    """
    bytes(_LARGE)


class Lineage:
    """Checkpoints that were prepared or read lately: which values a child may leave out, what its own are changes of.

    That is a guess about the store, checked at the commit. Bounded in number and in bytes.
    """

    _MOST = 4096
    _MOST_BYTES = 32 * 1024 * 1024

    def __init__(self) -> None:
        _teach_malloc()
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], Known] = {}
        self._bytes = 0

    def note(self, place: tuple[str, str, str], known: Known, instead_of: str | None = None) -> None:
        """Remember a checkpoint, as its parent's successor if that is given."""
        size = sum(map(Tip.size, known.tips.values())) if known.tips else 0
        with self._lock:
            self._drop(place)
            if instead_of is not None:
                self._drop((place[0], place[1], instead_of))
            self._known[place] = known
            self._bytes += size
            while len(self._known) > self._MOST or self._bytes > self._MOST_BYTES:
                self._drop(next(iter(self._known)))

    def _drop(self, place: tuple[str, str, str]) -> None:
        known = self._known.pop(place, None)
        if known is not None and known.tips:
            self._bytes -= sum(map(Tip.size, known.tips.values()))

    def recall(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Known:
        """Return what is known of a checkpoint."""
        if checkpoint_id is None:
            return _NOTHING_KNOWN
        return self._known.get((thread_id, checkpoint_ns, checkpoint_id), _NOTHING_KNOWN)


_STANDARD = frozenset(Checkpoint.__annotations__)


def prepare(serde: SerializerProtocol, lineage: Lineage, commit: Commit) -> Prepared:
    """Encode a commit.

    Raises:
        SerializationError: A value can't be stored; names its channel.
    """
    checkpoint = commit.checkpoint
    tasks = [encode_task(serde, task) for task in commit.writes]
    where = (commit.thread_id, commit.checkpoint_ns, commit.parent_id)
    guards = (commit.expected_head, commit.lease, False)
    if checkpoint is None:
        return Prepared(*where, None, tasks, None, None, {}, {}, {}, False, *guards)
    metadata = commit.metadata or {}
    versions = dict(checkpoint["channel_versions"])
    parent = lineage.recall(*where)
    pieces, offered, relies, tips = _encode_values(serde, checkpoint, commit.new_versions, parent)
    header = _encode_header(serde, checkpoint, metadata)
    checkpoint_id = checkpoint["id"]
    place = (commit.thread_id, commit.checkpoint_ns, checkpoint_id)
    lineage.note(place, Known(versions, tips), commit.parent_id)
    run_id = metadata.get("run_id")
    return Prepared(
        *where,
        checkpoint_id,
        tasks,
        header,
        None if run_id is None else str(run_id),
        versions,
        pieces,
        offered,
        relies,
        *guards,
    )


def _encode_header(serde: SerializerProtocol, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> Blob:
    others = {k: v for k, v in checkpoint.items() if k not in _STANDARD} if len(checkpoint) > len(_STANDARD) else {}
    updated = checkpoint.get("updated_channels")
    try:
        return serde.dumps_typed(
            [
                checkpoint["v"],
                checkpoint["ts"],
                checkpoint["versions_seen"],
                updated,
                metadata,
                others,
            ]
        )
    except SerializationError as e:
        e.path = e.path.replace("$[4]", "$.metadata", 1)
        raise


def _encode_values(
    serde: SerializerProtocol,
    checkpoint: Checkpoint,
    new_versions: Mapping[str, Any],
    parent: Known,
) -> tuple[dict[str, Change | None], dict[str, Change], bool, dict[str, Tip]]:
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    pieces: dict[str, Change | None] = {}
    offered: dict[str, Change] = {}
    relies = False
    tips = parent.tips.copy() if parent.tips else {}
    for channel in new_versions:
        if channel in values:
            pieces[channel] = _encode_change(serde, channel, values[channel], tips)
        else:
            pieces[channel] = None
            tips.pop(channel, None)
    for channel in values:
        if channel in pieces:
            continue
        version = versions.get(channel)
        if version is None:
            pieces[channel] = _encode_change(serde, channel, values[channel], tips)
        elif version == parent.versions.get(channel):
            relies = True
        else:
            tips.pop(channel, None)
            offered[channel] = _encode_change(serde, channel, values[channel], tips)
    return pieces, offered, relies, tips


def _encode_change(serde: SerializerProtocol, channel: str, value: Any, tips: dict[str, Tip]) -> Change:
    """Encode a channel's value as a change of its tip, and move the tip."""
    kind, data = encode_value(serde, channel, value)
    if len(data) <= SMALL:
        tips.pop(channel, None)
        return whole(kind, data)
    change, tip = follow(tips.get(channel), kind, data)
    if tip is None:
        tips.pop(channel, None)
    else:
        tips[channel] = tip
    return change


def encode_value(serde: SerializerProtocol, channel: str, value: Any) -> Blob:
    """Encode a channel's value.

    Raises:
        SerializationError: It can't be stored; names the channel.
    """
    plain = getattr(serde, "dumps_plain", None) or serde.dumps_typed
    try:
        return plain(value)
    except SerializationError as e:
        raise _of_channel(e, channel) from e


def _of_channel(error: SerializationError, channel: str) -> SerializationError:
    details = {k: v for k, v in vars(error).items() if k != "hint"}
    details["channel"] = channel
    return type(error)(f"channel {channel!r}: {error.args[0]}", hint=error.hint, **details)


def encode_task(serde: SerializerProtocol, task: TaskWrites) -> TaskRecord:
    """Encode a task's writes.

    Raises:
        SerializationError: A value can't be stored; names the channel.
    """
    encoded: list[Write] = []
    special = False
    for place, (channel, value) in enumerate(task.writes):
        try:
            kind, data = serde.dumps_typed(value)
        except SerializationError as e:
            raise _of_channel(e, channel) from e
        index = WRITES_IDX_MAP.get(channel, place)
        special = special or index < 0
        encoded.append((index, channel, kind, data))
    return TaskRecord(task.task_id, task.task_path, merge_writes([], encoded) if special else encoded)


def merge_writes(old: Iterable[Write], new: Iterable[Write]) -> list[Write]:
    """Add writes of a task to those it has: the first of an index stays, for negative ones the last."""
    by_index = {write[0]: write for write in old}
    for write in new:
        if write[0] < 0:
            by_index[write[0]] = write
        else:
            by_index.setdefault(write[0], write)
    return [by_index[index] for index in sorted(by_index)]


class Inheritance(NamedTuple, Generic[R]):
    """Where the values of a checkpoint come from.

    Attributes:
        refs: References taken over from the parent.
        stored: Values that the checkpoint must store itself.
        missing: Channels and versions that neither has; an earlier checkpoint of the thread may.
    """

    refs: dict[str, R]
    stored: dict[str, Change]
    missing: dict[str, Any]


def inherit(prepared: Prepared, parent_versions: dict[str, Any] | None, parent_refs: Mapping[str, R]) -> Inheritance[R]:
    """Find where the values of a checkpoint come from.

    Args:
        prepared: The checkpoint.
        parent_versions: The parent's channel versions; None if there is no such checkpoint.
        parent_refs: The parent's references.

    Raises:
        ConflictError: Values were left out for a parent that is not there (any more).
    """
    if parent_versions is None:
        if prepared.relies:
            raise _orphan(prepared)
        parent_versions = {}
    pieces = prepared.pieces
    found: Inheritance[R] = Inheritance({}, {channel: blob for channel, blob in pieces.items() if blob is not None}, {})
    for channel, version in prepared.versions.items():
        if channel in pieces:
            continue
        if parent_versions.get(channel) == version:
            if channel in parent_refs:
                found.refs[channel] = parent_refs[channel]
        elif channel in prepared.offered:
            found.stored[channel] = prepared.offered[channel]
        else:
            found.missing[channel] = version
    return found


def _orphan(prepared: Prepared) -> ConflictError:
    return ConflictError(
        f"the parent {prepared.parent_id} of checkpoint {prepared.checkpoint_id} is not stored",
        hint="was the thread deleted, or pruned, while it ran?",
        thread_id=prepared.thread_id,
        checkpoint_id=prepared.parent_id,
    )


def check_head(prepared: Prepared, head: str | None) -> None:
    """Compare a namespace's head with the one that the commit expects.

    Raises:
        ConflictError: It is another.
    """
    if prepared.expected_head is not ANY_HEAD and prepared.expected_head != head:
        from perdure.checkpoint.derived import conflict

        raise conflict(prepared.thread_id, prepared.checkpoint_ns, prepared.expected_head, head)


def decode_header(serde: SerializerProtocol, blob: Blob) -> Header:
    """Decode a header.

    Raises:
        CorruptCheckpointError: It isn't one.
    """
    try:
        return Header(*serde.loads_typed(blob))
    except TypeError as e:
        raise CorruptCheckpointError("a stored header has not the right parts") from e


def decode_tuple(
    serde: SerializerProtocol,
    place: tuple[str, str, str],
    parent_id: str | None,
    header: Header,
    versions: Mapping[str, Any],
    values: Mapping[str, Blob],
    tasks: Iterable[TaskRecord],
) -> CheckpointTuple:
    """Put a checkpoint together again.

    Raises:
        StorageError: As `CorruptCheckpointError`; names thread, checkpoint and channel.
        SerializationError: A value can't be read, see `SerializerProtocol`; names the channel.
    """
    thread_id, checkpoint_ns, checkpoint_id = place
    checkpoint: Any = {
        "v": header.v,
        "id": checkpoint_id,
        "ts": header.ts,
        "channel_values": {channel: decode_value(serde, place, channel, blob) for channel, blob in values.items()},
        "channel_versions": dict(versions),
        "versions_seen": header.versions_seen,
        "updated_channels": header.updated_channels,
        **header.others,
    }
    return CheckpointTuple(
        make_config(thread_id, checkpoint_ns, checkpoint_id),
        checkpoint,
        header.metadata,
        None if parent_id is None else make_config(thread_id, checkpoint_ns, parent_id),
        decode_writes(serde, place, tasks),
    )


def decode_value(serde: SerializerProtocol, place: tuple[str, str, str], channel: str, blob: Blob) -> Any:
    """Decode a channel's value; an error names where it is."""
    try:
        return serde.loads_typed(blob)
    except (SerializationError, StorageError) as e:
        raise located(e, place, channel) from e


def located(error: Any, place: tuple[str, str, str], channel: str) -> Exception:
    """Make an error of the same class that says where the value is."""
    thread_id, checkpoint_ns, checkpoint_id = place
    where = f"thread {thread_id!r}, checkpoint {checkpoint_id}, channel {channel!r}"
    details = {k: v for k, v in vars(error).items() if k != "hint"}
    details |= {
        "thread_id": thread_id,
        "checkpoint_ns": checkpoint_ns,
        "checkpoint_id": checkpoint_id,
        "channel": channel,
    }
    located: Exception = type(error)(f"{where}: {error.args[0]}", hint=error.hint, **details)
    return located


def decode_writes(
    serde: SerializerProtocol, place: tuple[str, str, str], tasks: Iterable[TaskRecord]
) -> list[PendingWrite]:
    """Decode pending writes, in the order of `writes_sort_key`."""
    return [
        (task.task_id, channel, decode_value(serde, place, channel, (kind, data)))
        for task in sorted(tasks, key=lambda t: (t.task_path, t.task_id))
        for _, channel, kind, data in sorted(task.writes, key=lambda w: w[0])
    ]


def matches(metadata: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether metadata has all the wanted values."""
    if not wanted:
        return True
    return all(key in metadata and metadata[key] == value for key, value in wanted.items())
