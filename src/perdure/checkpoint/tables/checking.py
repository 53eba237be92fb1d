"""Operations that look at every byte of a thread, and mend what can be mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perdure.checkpoint import layout, records
from perdure.checkpoint.findings import Finding, Kind
from perdure.checkpoint.layout import Outline, Pieces, Record
from perdure.checkpoint.records import TaskRecord
from perdure.checkpoint.sealing import Sealing
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables.deleting import sweep
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.keeping import check_all_free
from perdure.checkpoint.tables.walking import Entry, walk
from perdure.checkpoint.tables.writing import set_apart, strip
from perdure.database.operation import Op
from perdure.errors import CorruptCheckpointError, EncryptionError, SerializationError


class _Space:
    """What was found in a namespace, and what of it is good."""

    def __init__(self, serde: SerializerProtocol, sealing: Sealing, ns: int, place: tuple[str, str]) -> None:
        self.serde = serde
        self.sealing = sealing
        self.ns = ns
        self.place = place
        self.findings: list[Finding] = []
        self.good: dict[str, list[TaskRecord]] = defaultdict(list)
        self.entries: Sequence[Entry] = ()
        self._versions: dict[str, Mapping[str, Any]] = {}

    def note(self, kind: Kind, checkpoint_id: str | None, channel: str | None, error: object) -> None:
        """Add a finding."""
        if isinstance(error, EncryptionError):
            kind = Kind.UNDECODABLE
        message = str(error.args[0]) if isinstance(error, Exception) else str(error)
        finding = Finding(kind, *self.place, checkpoint_id, channel, message)
        if finding not in self.findings:
            self.findings.append(finding)

    def having(self, *kinds: Kind) -> list[str]:
        """Return the ids of the checkpoints with findings of some kinds, each once."""
        found = [one.checkpoint_id for one in self.findings if one.kind in kinds and one.checkpoint_id is not None]
        return list(dict.fromkeys(found))

    # -- one checkpoint

    def look_at(self, entry: Entry, pieces: Pieces, frames: Mapping[int, bytes]) -> None:
        """Look at a checkpoint, its values and writes."""
        if entry.outline is None:
            self.note(Kind.CHECKPOINT, entry.checkpoint_id, "(its record)", entry.error)
        else:
            self._look_at_record(entry, entry.outline, pieces)
            self._look_at_tasks(entry.parent_id, entry.outline.led, pieces)
        for task_id, task_path, frame in entry.writes:
            try:
                task = layout.open_task(self.sealing, entry.checkpoint_id, task_id, task_path, frame)
            except CorruptCheckpointError as error:
                self.note(Kind.WRITES, entry.checkpoint_id, "(pending writes)", error)
            else:
                self._look_at_tasks(entry.checkpoint_id, [task], pieces)

    def _look_at_record(self, entry: Entry, outline: Outline, pieces: Pieces) -> None:
        try:
            record = outline.complete(pieces)
        except CorruptCheckpointError as error:
            self.note(Kind.CHECKPOINT, entry.checkpoint_id, "(its record)", error)
            return
        self._decode(entry.checkpoint_id, "(its record)", record.blob())
        for channel, ref in record.refs.items():
            try:
                value = pieces.value(ref)
            except CorruptCheckpointError as error:
                self.note(Kind.VALUE, entry.checkpoint_id, channel, error)
            else:
                self._decode(entry.checkpoint_id, channel, (value.kind, value.data))
        self._look_at_order(entry, record)

    def _look_at_order(self, entry: Entry, record: Record) -> None:
        before = self._versions.get(entry.parent_id or "")
        self._versions[entry.checkpoint_id] = record.versions
        if before is None:
            if entry.parent_id is not None:
                self.note(Kind.PARENT, entry.checkpoint_id, None, f"{entry.parent_id} was pruned, or is unreadable")
            return
        for channel, version in record.versions.items():
            if channel in before and _is_lower(version, before[channel]):
                self.note(Kind.VERSIONS, entry.checkpoint_id, channel, f"{version} after {before[channel]}")

    def _look_at_tasks(self, checkpoint_id: str | None, tasks: Iterable[TaskRecord], pieces: Pieces) -> None:
        for task in tasks:
            try:
                whole = pieces.task(task)
            except CorruptCheckpointError as error:
                self.note(Kind.WRITES, checkpoint_id, "(pending writes)", error)
                continue
            self.good[checkpoint_id or ""].append(task)
            for _, channel, kind, data in whole.writes:
                self._decode(checkpoint_id, channel, (kind, data))

    def _decode(self, checkpoint_id: str | None, channel: str, blob: tuple[str, bytes]) -> None:
        try:
            self.serde.loads_typed(blob)
        except (CorruptCheckpointError, SerializationError) as error:  # bytes that fit their checksum
            self.note(Kind.UNDECODABLE, checkpoint_id, channel, error)


def _is_lower(version: Any, before: Any) -> bool:
    try:
        return bool(version < before)
    except TypeError:
        return False


# -- looking


def check_thread(dialect: Dialect, serde: SerializerProtocol, thread_id: str) -> Op[list[Finding]]:
    """Look at all that a thread has."""
    [rows] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    found: list[Finding] = []
    for ns, checkpoint_ns in rows:
        space = yield from _look(dialect.at(thread_id, checkpoint_ns), serde, ns, (thread_id, checkpoint_ns))
        found += space.findings
    return found


def _look(dialect: Dialect, serde: SerializerProtocol, ns: int, place: tuple[str, str]) -> Op[_Space]:
    space = _Space(serde, dialect.sealing, ns, place)
    walked = yield from walk(dialect, ns, space.look_at)
    space.entries = walked.entries
    head = walked.entries[-1].checkpoint_id if walked.entries else ""
    for checkpoint_id, tasks in walked.lost.items():
        if checkpoint_id < head:  # else it may be about to be stored
            space.note(Kind.LOST_WRITES, checkpoint_id, None, f"of {len(tasks)} tasks")
    for number in walked.unused:
        space.note(Kind.UNUSED_PIECE, None, None, f"piece {number}")
    return space


# -- mending


def repair_thread(dialect: Dialect, serde: SerializerProtocol, thread_id: str) -> Op[list[Finding]]:
    """Remove what can't be read, and what nothing needs; return what was found before.

    Raises:
        ThreadHeldError: There is something to remove, and the thread is on hold.
    """
    [rows] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    found: list[Finding] = []
    for ns, checkpoint_ns in rows:
        space = yield from _look(dialect.at(thread_id, checkpoint_ns), serde, ns, (thread_id, checkpoint_ns))
        found += space.findings
        if any(one.kind.remedy for one in space.findings):
            yield from check_all_free(dialect, [thread_id])
            yield from _mend(dialect.at(thread_id, checkpoint_ns), space)
    return found


def _mend(dialect: Dialect, space: _Space) -> Op[None]:
    bad = space.having(Kind.CHECKPOINT, Kind.VALUE)
    for checkpoint_id in space.having(Kind.WRITES):
        yield from _replace_writes(dialect, space, checkpoint_id)
    for entry in space.entries:
        if entry.checkpoint_id in bad:
            if entry.outline is not None:  # its parent's writes lie in it
                yield from set_apart(dialect, space.ns, entry.checkpoint_id)
            yield dialect.deleting_checkpoint(space.ns, entry.checkpoint_id)
    for checkpoint_id in (*bad, *space.having(Kind.LOST_WRITES)):
        yield [(dialect.sql["delete_writes_of_checkpoint"], (space.ns, checkpoint_id))]
        yield from _strip_led(dialect, space, checkpoint_id)
    yield from sweep(dialect, space.ns)


def _replace_writes(dialect: Dialect, space: _Space, checkpoint_id: str) -> Op[None]:
    """Keep of a checkpoint's writes those of the tasks whose writes can all be read."""
    yield from _strip_led(dialect, space, checkpoint_id)
    yield [(dialect.sql["delete_writes_of_checkpoint"], (space.ns, checkpoint_id))]
    merged: dict[str, TaskRecord] = {}
    for task in space.good[checkpoint_id]:
        old = merged.get(task.task_id)
        merged[task.task_id] = (
            task if old is None else old._replace(writes=records.merge_writes(old.writes, task.writes))
        )
    yield [dialect.adding_task(space.ns, checkpoint_id, task) for task in merged.values()]


def _strip_led(dialect: Dialect, space: _Space, checkpoint_id: str) -> Op[None]:
    """Take a checkpoint's writes out of the record that follows it."""
    for entry in space.entries:
        if entry.parent_id == checkpoint_id and entry.outline is not None and entry.outline.led:
            yield [strip(dialect, space.ns, entry.checkpoint_id, entry.outline)]
