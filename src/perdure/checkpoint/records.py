"""Commits turned into records and back: the part of storing that all backends share.

A checkpoint becomes a *header* (everything but the values) and a *piece* for each channel that changed. Channels that
did not change refer to the pieces of the parent. Content is found through these references only, never by a
channel's version alone: two branches may count the same versions with different values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from perdure.checkpoint import chains, growing
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
from perdure.checkpoint.chains import LEAST_LONG, Change, Value
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.errors import ConflictError, CorruptCheckpointError, SerializationError, StorageError
from perdure.tuples import build

Blob = tuple[str, bytes]
"""An encoded value: the serializer's type and its bytes."""

Write = tuple[int, str, str, bytes]
"""An encoded write: index, channel, the serializer's type, bytes."""

Piece = Blob | Change
"""A channel's value to store: itself if it is short, else how it changed."""

Plain = Callable[[Any], Blob]

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
        pieces: Values of the changed channels: a short one's blob, a long one's change; None for one that became empty.
        offered: Values of other channels, for the case that the parent doesn't have them.
        relies: Whether values were left out because the parent is known to have them.
        changes_only: Whether all channels that have no piece have the parent's values, if any.
        searched: What of the metadata the backend searches by, in its own form.
    """

    thread_id: str
    checkpoint_ns: str
    parent_id: str | None
    checkpoint_id: str | None
    tasks: Sequence[TaskRecord]
    header: Blob | None
    run_id: str | None
    versions: dict[str, Any]
    pieces: dict[str, Piece | None]
    offered: dict[str, Piece]
    relies: bool
    expected_head: Any
    lease: Any
    replaces: bool
    changes_only: bool = False
    searched: str | None = None


class Header(NamedTuple):
    """A decoded header."""

    v: int
    ts: str
    versions_seen: dict[str, dict[str, Any]]
    updated_channels: list[str] | None
    metadata: CheckpointMetadata
    others: dict[str, Any]


class Lineage:
    """What is known of the checkpoint last prepared or read in each namespace: versions and values; bounded.

    It tells which values a child may leave out, and what the others come of. That is a guess about the store, checked
    at the commit.
    """

    _MOST = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
        self._encoding: tuple[Any, Plain, bool] | None = None
        self.values = chains.Recent()

    def encoding(self, serde: SerializerProtocol) -> tuple[Any, Plain, bool]:
        """Return a serializer, what encodes plainly by it, and whether that may be done to a list in parts."""
        found = self._encoding
        if found is None or found[0] is not serde:
            found = self._encoding = (serde, plain_of(serde), getattr(serde, "packs_lists", False))
        return found

    def note(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str, versions: dict[str, Any]) -> None:
        """Remember a checkpoint's versions."""
        known = self._known
        known[thread_id, checkpoint_ns] = (checkpoint_id, versions)
        if len(known) > self._MOST:
            with self._lock:
                for key in list(known)[: self._MOST // 2]:
                    known.pop(key, None)

    def versions(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> dict[str, Any] | None:
        """Return a checkpoint's versions, None if it isn't the last that was noted."""
        found = self._known.get((thread_id, checkpoint_ns))
        return found[1] if found is not None and found[0] == checkpoint_id else None


_STANDARD = frozenset(Checkpoint.__annotations__)


def prepare(serde: SerializerProtocol, lineage: Lineage, commit: Commit) -> Prepared:
    """Encode a commit.

    Raises:
        SerializationError: A value can't be stored; names its channel.
    """
    thread_id, checkpoint_ns, parent_id, writes, checkpoint, metadata, new, expected_head, lease, changes_only = commit
    _, plain, packs_lists = lineage.encoding(serde)
    if checkpoint is None:
        tasks = [encode_task(plain, task) for task in writes]
        where = (thread_id, checkpoint_ns, parent_id, None)
        return Prepared(*where, tasks, None, None, {}, {}, {}, False, expected_head, lease, False)
    versions = dict(checkpoint["channel_versions"])
    values = checkpoint["channel_values"]
    # Without the commit's word that it has all changes, values are looked up by the parent's versions, below.
    recent = lineage.values if changes_only and packs_lists else None
    pieces, long = _encode_changed(plain, commit, new, recent)
    offered: dict[str, Piece] = {}
    if changes_only:
        relies = len(versions) > len(pieces)
    else:
        relies = _encode_others(plain, lineage, commit, checkpoint, pieces, offered)
        _compare(lineage, commit, versions, offered, _long_ones(offered))
        long = _long_ones(pieces)
    if long:
        _compare(lineage, commit, versions, pieces, long)
    if not changes_only:
        lineage.note(thread_id, checkpoint_ns, checkpoint["id"], versions)
    if len(writes) == 1:  # a comprehension is a call of its own
        tasks = [encode_task(plain, writes[0], values, pieces)]
    else:
        tasks = [encode_task(plain, task, values, pieces) for task in writes]
    header = _encode_header(serde, checkpoint, metadata or {})
    run_id = metadata.get("run_id") if metadata else None
    if run_id is not None:
        run_id = str(run_id)
    return build(
        Prepared,
        (
            thread_id,
            checkpoint_ns,
            parent_id,
            checkpoint["id"],
            tasks,
            header,
            run_id,
            versions,
            pieces,
            offered,
            relies,
            expected_head,
            lease,
            False,
            changes_only,
            None,
        ),
    )


def _encode_header(serde: SerializerProtocol, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> Blob:
    others = {k: v for k, v in checkpoint.items() if k not in _STANDARD} if len(checkpoint) > len(_STANDARD) else {}
    seen, updated = checkpoint["versions_seen"], checkpoint.get("updated_channels")
    try:
        return serde.dumps_typed([checkpoint["v"], checkpoint["ts"], seen, updated, metadata, others])
    except SerializationError as e:
        e.path = e.path.replace("$[4]", "$.metadata", 1)
        raise


def _encode_changed(
    plain: Plain, commit: Commit, changed: Iterable[str], recent: chains.Recent | None
) -> tuple[dict[str, Piece | None], list[str]]:
    """Encode the values that changed; tell which of them are long and are still to be compared.

    Args:
        plain: Encodes a value.
        commit: What has them.
        changed: Their channels.
        recent: The values that long lists may have grown of, if lists may be compared while they are encoded.
    """
    assert commit.checkpoint is not None
    values = commit.checkpoint["channel_values"]
    pieces: dict[str, Piece | None] = {}
    long: list[str] = []
    for channel in changed:
        if channel not in values:
            pieces[channel] = None
            continue
        value = values[channel]
        if recent is not None and type(value) is list and (found := _grown(plain, commit, channel, recent)):
            pieces[channel] = found
            continue
        try:
            pieces[channel] = blob = plain(value)
        except SerializationError as e:
            raise _of_channel(e, channel) from e
        if len(blob[1]) > LEAST_LONG:
            long.append(channel)
    return pieces, long


def _grown(plain: Plain, commit: Commit, channel: str, recent: chains.Recent) -> Change | None:
    """Tell how a list has grown of the channel's last value; None: it hasn't, or is short."""
    base = recent.last(commit.thread_id, commit.checkpoint_ns, channel)
    if base is None or base.size < growing.LEAST or commit.checkpoint is None:
        return None
    checkpoint = commit.checkpoint
    version = checkpoint["channel_versions"].get(channel)
    found = growing.grown(plain, checkpoint["channel_values"][channel], version, base)
    if found is not None:
        recent.note(commit.thread_id, commit.checkpoint_ns, channel, found.value)
    return found


def _long_ones(pieces: Mapping[str, Any]) -> list[str]:
    return [channel for channel, blob in pieces.items() if blob is not None and len(blob[1]) > LEAST_LONG]


def _encode_others(
    plain: Plain,
    lineage: Lineage,
    commit: Commit,
    checkpoint: Checkpoint,
    pieces: dict[str, Piece | None],
    offered: dict[str, Piece],
) -> bool:
    """Encode the values that a caller didn't name as changed, but for those that the parent is known to have.

    Return whether there are such.
    """
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    known = lineage.versions(commit.thread_id, commit.checkpoint_ns, commit.parent_id) or {}
    relies = False
    for channel in values:
        if channel in pieces:
            continue
        version = versions.get(channel)
        if version is not None and version == known.get(channel):
            relies = True
            continue
        into: dict[str, Any] = pieces if version is None else offered
        into[channel] = encode_value(plain, channel, values[channel])
    return relies


def _compare(
    lineage: Lineage, commit: Commit, versions: Mapping[str, Any], made: dict[str, Any], long: list[str]
) -> None:
    """Replace long values by how they changed from what the parent is thought to have."""
    thread_id, checkpoint_ns, parent_id = commit[:3]
    known = None if commit.changes_only else lineage.versions(thread_id, checkpoint_ns, parent_id) or {}
    recent = lineage.values
    for channel in long:
        kind, data = made[channel]
        value = Value(kind, data, versions.get(channel))
        if known is None:
            before = recent.last(thread_id, checkpoint_ns, channel)  # the parent's, unless the run forked
        else:
            version = known.get(channel)
            before = None if version is None else recent.get(thread_id, checkpoint_ns, channel, version)
        made[channel] = chains.change(value, before)
        recent.note(thread_id, checkpoint_ns, channel, value)


def plain_of(serde: SerializerProtocol) -> Plain:
    """Return what encodes plainly, if the serializer can: values are compared first, and compressed after that."""
    try:
        return serde.dumps_plain  # type: ignore[attr-defined,no-any-return]  # not part of the protocol
    except AttributeError:
        return serde.dumps_typed


def encode_value(plain: Plain, channel: str, value: Any) -> Blob:
    """Encode a channel's value.

    Raises:
        SerializationError: It can't be stored; names the channel.
    """
    try:
        return plain(value)
    except SerializationError as e:
        raise _of_channel(e, channel) from e


def _of_channel(error: SerializationError, channel: str) -> SerializationError:
    details = {k: v for k, v in vars(error).items() if k != "hint"}
    details["channel"] = channel
    return type(error)(f"channel {channel!r}: {error.args[0]}", hint=error.hint, **details)


_NOTHING: Mapping[str, Any] = MappingProxyType({})


def encode_task(
    plain: Plain,
    task: TaskWrites,
    values: Mapping[str, Any] = _NOTHING,
    pieces: Mapping[str, Piece | None] = _NOTHING,
) -> TaskRecord:
    """Encode a task's writes.

    Args:
        plain: Encodes a value.
        task: The writes.
        values: The values of the checkpoint that the writes led to: one that is written isn't encoded twice.
        pieces: Those of them that are encoded.

    Raises:
        SerializationError: A value can't be stored; names the channel.
    """
    task_id, task_path, writes = task
    encoded: list[Write] = []
    special = False
    for place, (channel, value) in enumerate(writes):
        if values.get(channel) is value and (piece := pieces.get(channel)) is not None:
            kind, data = (piece.value.kind, piece.value.data) if isinstance(piece, Change) else piece
        else:
            try:
                kind, data = plain(value)
            except SerializationError as e:
                raise _of_channel(e, channel) from e
        if channel in WRITES_IDX_MAP:
            special = True
            place = WRITES_IDX_MAP[channel]  # noqa: PLW2901
        encoded.append((place, channel, kind, data))
    return build(TaskRecord, (task_id, task_path, merge_writes([], encoded) if special else encoded))


def merge_writes(old: Iterable[Write], new: Iterable[Write]) -> list[Write]:
    """Add writes of a task to those it has: the first of an index stays, for negative ones the last."""
    by_index = {write[0]: write for write in old}
    for write in new:
        if write[0] < 0:
            by_index[write[0]] = write
        else:
            by_index.setdefault(write[0], write)
    return [by_index[index] for index in sorted(by_index)]


def inherit(
    prepared: Prepared, parent_versions: dict[str, Any] | None, parent_refs: Mapping[str, R]
) -> tuple[dict[str, R], Mapping[str, Piece | None], dict[str, Any]]:
    """Find where the values of a checkpoint come from.

    Args:
        prepared: The checkpoint.
        parent_versions: The parent's channel versions; None if there is no such checkpoint.
        parent_refs: The parent's references.

    Returns:
        References taken over from the parent; what the checkpoint must store itself, None for a channel that has no
        value any more; and channels, with versions, that neither has: an earlier checkpoint of the thread may.

    Raises:
        ConflictError: Values were left out for a parent that is not there (any more).
    """
    if parent_versions is None:
        if prepared.relies:
            raise _orphan(prepared)
        parent_versions = {}
    pieces = prepared.pieces
    if prepared.changes_only:
        return {**parent_refs}, pieces, {}
    missing: dict[str, Any] = {}
    stored = pieces.copy()
    refs: dict[str, R] = {}
    for channel, version in prepared.versions.items():
        if channel in pieces:
            continue
        if parent_versions.get(channel) == version:
            if channel in parent_refs:
                refs[channel] = parent_refs[channel]
        elif channel in prepared.offered:
            stored[channel] = prepared.offered[channel]
        else:
            missing[channel] = version
    return refs, stored, missing


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
