"""A saver that keeps everything in this process's memory, as serialised bytes."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from heapq import merge
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

from perdure.checkpoint import chains, records
from perdure.checkpoint.address import Scope, make_config, parse_address, parse_checkpoint, parse_scope
from perdure.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    StoredCheckpoint,
    TaskWrites,
    V,
    get_serializable_checkpoint_metadata,
)
from perdure.checkpoint.chains import Chain, Change, Value
from perdure.checkpoint.pruning import Pruned, PruningRule, pruning_of
from perdure.checkpoint.records import Blob, Prepared, TaskRecord
from perdure.checkpoint.rules import SAME, Rules, Same, Ttl, change_of, check_free, opened_rules
from perdure.checkpoint.scrubbing import Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.tuples import build
from perdure.types import RunnableConfig

__all__ = ["InMemorySaver", "MemorySaver"]


_Ref = Blob | Chain
"""A short value, or the pieces of a long one, which checkpoints share."""


class _Record(NamedTuple):
    """A stored checkpoint; never changed."""

    parent_id: str | None
    header: Blob
    run_id: str | None
    versions: dict[str, Any]
    refs: dict[str, _Ref]


class _Space:
    """The checkpoints and writes of a namespace."""

    __slots__ = ("ids", "records", "writes")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.records: dict[str, _Record] = {}
        self.writes: dict[str, dict[str, TaskRecord]] = {}

    def head(self) -> str | None:
        return self.ids[-1] if self.ids else None

    def add(self, checkpoint_id: str, record: _Record) -> None:
        if checkpoint_id not in self.records:
            insort(self.ids, checkpoint_id)
        self.records[checkpoint_id] = record

    def add_writes(self, checkpoint_id: str, task: TaskRecord) -> None:
        tasks = self.writes.get(checkpoint_id)
        if tasks is None:
            self.writes[checkpoint_id] = {task.task_id: task}
            return
        old = tasks.get(task.task_id)
        if old is not None:
            task = old._replace(writes=records.merge_writes(old.writes, task.writes))
        tasks[task.task_id] = task

    def find(self, channel: str, version: Any) -> _Ref | None:
        """Find the value that a channel had when it was of this version."""
        for checkpoint_id in reversed(self.ids):
            record = self.records[checkpoint_id]
            if record.versions.get(channel) == version and channel in record.refs:
                return record.refs[channel]
        return None

    def remove(self, gone: set[str]) -> None:
        self.ids = [i for i in self.ids if i not in gone]
        for checkpoint_id in gone:
            self.records.pop(checkpoint_id, None)
            self.writes.pop(checkpoint_id, None)

    def gone(self, rule: PruningRule, matches: Callable[[_Record], bool]) -> set[str]:
        """Return the ids that go, those of writes without a checkpoint included."""
        tree = [(one, self.records[one].parent_id) for one in self.ids]
        gone = set(rule.gone(tree, lambda one: matches(self.records[one])))
        head = self.head() or ""
        return gone | {i for i in self.writes if i not in self.records and rule.is_orphan_gone(i, head)}

    def tasks(self, checkpoint_id: str) -> list[TaskRecord]:
        return list(self.writes.get(checkpoint_id, {}).values())


_EMPTY: Final = _Space()
"""Stands for a namespace that isn't there yet; never changed."""


def _stored(new: Change, held: _Ref | None) -> Chain:
    """Make the chain of a value that follows the parent's."""
    value = new.value
    before: Chain | None = None
    if isinstance(held, Chain) and held.kind == value.kind:
        before = held
        if new.base is None or new.base.chain is not held:
            new = chains.change(value, _value(held))
    if before is None or new.script is None or new.script.hunks:
        before = chains.extend(before, new, 0, None)
    value.chain = before
    return before


def _value(ref: _Ref, version: Any = None) -> Value:
    if isinstance(ref, Chain):
        return Value(ref.kind, chains.put_together(ref), version, ref)
    return Value(*ref, version)


def _values(record: _Record) -> dict[str, Value]:
    return {channel: _value(ref, record.versions.get(channel)) for channel, ref in record.refs.items()}


def _is_retry(one: Prepared, space: _Space) -> bool:
    """Tell whether a commit is stored already, as its caller couldn't know."""
    if one.checkpoint_id not in space.records or one.replaces:
        return False
    return space.records[one.checkpoint_id].parent_id == one.parent_id


def _record(one: Prepared, parent: _Record | None, space: _Space) -> _Record:
    """Make the record of a commit's checkpoint."""
    parent_versions, parent_refs = (None, {}) if parent is None else (parent.versions, parent.refs)
    refs, stored, missing = records.inherit(one, parent_versions, parent_refs)
    for channel, version in missing.items():
        if (earlier := space.find(channel, version)) is not None:
            refs[channel] = earlier
    for channel, piece in stored.items():
        if isinstance(piece, Change):
            refs[channel] = _stored(piece, parent_refs.get(channel))
            _share(one.tasks, channel, piece.value)
        elif piece is not None:
            refs[channel] = piece
        else:
            refs.pop(channel, None)
    assert one.header is not None
    return build(_Record, (one.parent_id, one.header, one.run_id, one.versions, refs))


def _add(one: Prepared, record: _Record | None, space: _Space) -> None:
    """Add what was checked."""
    parent_id, checkpoint_id = one.parent_id, one.checkpoint_id
    if parent_id is not None:
        for task in one.tasks:
            space.add_writes(parent_id, task)
    if record is None or checkpoint_id is None:
        return
    ids = space.ids
    if not ids or ids[-1] < checkpoint_id:
        ids.append(checkpoint_id)
        space.records[checkpoint_id] = record
    else:
        space.add(checkpoint_id, record)


def _share(tasks: Sequence[TaskRecord], channel: str, value: Value) -> None:
    """Let writes that are a long value of their checkpoint refer to this value's chain."""
    for task in tasks:
        writes: list[Any] = task.writes
        for at, write in enumerate(writes):
            if write[1] == channel and len(write[3]) == value.size and write[3] is value.data:
                writes[at] = (*write[:3], value.chain)


def _plain(task: TaskRecord) -> TaskRecord:
    """Undo `_share`."""
    writes: list[Any] = [
        (*write[:3], chains.put_together(write[3])) if isinstance(write[3], Chain) else write for write in task.writes
    ]
    return task._replace(writes=writes)


class InMemorySaver(BaseCheckpointSaver[V]):
    """Keeps checkpoints until the process ends; for tests, examples and short-lived work.

    One object serves sync and async callers and any number of threads. Values are kept as bytes: changing one
    that was handed out changes nothing here.
    """

    inline = True
    takes_changes = True
    has_rules = True

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._lock = threading.RLock()
        self._threads: dict[str, dict[str, _Space]] = {}
        self._rules: dict[str, tuple[float | None, str | None]] = {}
        self._lineage = records.Lineage()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    # -- reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, checkpoint_ns, checkpoint_id = parse_address(config)
        with self._lock:
            space = self._space(thread_id, checkpoint_ns)
            if space is None:
                return None
            checkpoint_id = checkpoint_id or space.head()
            if checkpoint_id is None:
                return None
            record = space.records.get(checkpoint_id)
            tasks = space.tasks(checkpoint_id)
        if record is None:
            return None
        place = (thread_id, checkpoint_ns, checkpoint_id)
        values = _values(record)
        for channel, value in values.items():
            self._lineage.values.note(thread_id, checkpoint_ns, channel, value)
        self._lineage.note(*place, record.versions)
        return self._decode(place, record, values, tasks)

    def _open(self, place: tuple[str, str, str], record: _Record, tasks: list[TaskRecord]) -> CheckpointTuple:
        return self._decode(place, record, _values(record), tasks)

    def _decode(
        self,
        place: tuple[str, str, str],
        record: _Record,
        values: dict[str, Value],
        tasks: list[TaskRecord],
    ) -> CheckpointTuple:
        tasks = [_plain(task) for task in tasks]
        header = records.decode_header(self.serde, record.header)
        blobs = {channel: (value.kind, value.data) for channel, value in values.items()}
        return records.decode_tuple(self.serde, place, record.parent_id, header, record.versions, blobs, tasks)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        found = InMemorySaver.browse(self, config, filter=filter, before=before, limit=limit)
        return (one.open() for one in found)

    def browse(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredCheckpoint]:
        left = limit
        for place in self._places(parse_scope(config, before)):
            if left is not None and left <= 0:
                return
            with self._lock:
                space = self._space(place[0], place[1])
                record = space.records.get(place[2]) if space else None
                tasks = space.tasks(place[2]) if space else []
            if record is None:
                continue  # deleted meanwhile
            header = records.decode_header(self.serde, record.header)
            if not records.matches(header.metadata, filter):
                continue
            yield StoredCheckpoint(
                make_config(*place),
                None if record.parent_id is None else make_config(*place[:2], record.parent_id),
                header.metadata,
                header.ts,
                partial(self._open, place, record, tasks),
            )
            left = None if left is None else left - 1

    def _places(self, scope: Scope) -> Iterator[tuple[str, str, str]]:
        """Walk over the addresses in the scope, greatest id first."""
        with self._lock:
            found = [
                [(checkpoint_id, thread_id, ns) for checkpoint_id in self._ids(space, scope)]
                for thread_id, spaces in self._threads.items()
                if scope.thread_id is None or scope.thread_id == thread_id
                for ns, space in spaces.items()
                if scope.checkpoint_ns is None or scope.checkpoint_ns == ns
            ]
        for checkpoint_id, thread_id, ns in merge(*found, reverse=True):
            yield thread_id, ns, checkpoint_id

    @staticmethod
    def _ids(space: _Space, scope: Scope) -> Iterator[str]:
        ids = space.ids
        end = len(ids) if scope.before is None else bisect_left(ids, scope.before)
        wanted = scope.checkpoint_id
        if wanted is None:
            return reversed(ids[:end])
        return iter([wanted] if wanted in space.records and wanted in ids[:end] else [])

    def get_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        with self._lock:
            space = self._space(thread_id, checkpoint_ns)
            return space.head() if space else None

    def threads(self, *, limit: int | None = None, after: str | None = None) -> Iterator[str]:
        with self._lock:
            ids = sorted(
                thread_id
                for thread_id, spaces in self._threads.items()
                if (after is None or thread_id > after) and any(s.ids for s in spaces.values())
            )
        return iter(ids[:limit])

    def _space(self, thread_id: str, checkpoint_ns: str) -> _Space | None:
        spaces = self._threads.get(thread_id)
        return spaces.get(checkpoint_ns) if spaces else None

    def _space_made(self, thread_id: str, checkpoint_ns: str) -> _Space:
        spaces = self._threads.get(thread_id)
        if spaces is None:
            spaces = self._threads[thread_id] = {}
        space = spaces.get(checkpoint_ns)
        if space is None:
            space = spaces[checkpoint_ns] = _Space()
        return space

    # -- writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, checkpoint_ns, parent_id = parse_address(config)
        joined = get_serializable_checkpoint_metadata(config, metadata)
        commit = Commit(thread_id, checkpoint_ns, parent_id, (), checkpoint, joined, new_versions)
        self.commit([self.prepare(commit)._replace(replaces=True)])
        return make_config(thread_id, checkpoint_ns, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        thread_id, checkpoint_ns, checkpoint_id = parse_checkpoint(config)
        task = records.encode_task(records.plain_of(self.serde), TaskWrites(task_id, task_path, writes))
        with self._lock:
            self._space_made(thread_id, checkpoint_ns).add_writes(checkpoint_id, task)

    def prepare(self, commit: Commit) -> Prepared:
        return records.prepare(self.serde, self._lineage, commit)

    def commit(self, prepared: Sequence[Prepared]) -> bool:
        with self._lock:
            if len(prepared) == 1:
                self._commit_one(prepared[0])
                return False
            staged: dict[tuple[str, str, str], _Record] = {}
            heads: dict[tuple[str, str], str] = {}
            for one in prepared:
                self._stage(one, staged, heads)
            for one in prepared:
                record = staged.get((one.thread_id, one.checkpoint_ns, one.checkpoint_id or ""))
                _add(one, record, self._space_made(one.thread_id, one.checkpoint_ns))
        return False

    def _commit_one(self, one: Prepared) -> None:
        """Do at once what needs no stage: nothing that comes after it can fail."""
        try:
            space = self._threads[one.thread_id][one.checkpoint_ns]
        except KeyError:
            space = self._space_made(one.thread_id, one.checkpoint_ns)
        record = None
        checkpoint_id = one.checkpoint_id
        if checkpoint_id not in space.records or not _is_retry(one, space):
            head = space.ids[-1] if space.ids else None
            if one.expected_head != head:
                records.check_head(one, head)
            if checkpoint_id is not None:
                record = _record(one, space.records.get(one.parent_id or ""), space)
        _add(one, record, space)

    def _stage(
        self,
        one: Prepared,
        staged: dict[tuple[str, str, str], _Record],
        heads: dict[tuple[str, str], str],
    ) -> None:
        """Check a commit and make its record, beside the store."""
        thread_id, ns, checkpoint_id = one.thread_id, one.checkpoint_ns, one.checkpoint_id
        space = self._space(thread_id, ns) or _EMPTY
        if _is_retry(one, space):
            return
        records.check_head(one, heads.get((thread_id, ns)) or space.head())
        if checkpoint_id is None:
            return
        parent_id = one.parent_id or ""
        parent = staged.get((thread_id, ns, parent_id)) or space.records.get(parent_id)
        staged[thread_id, ns, checkpoint_id] = _record(one, parent, space)
        heads[thread_id, ns] = max(checkpoint_id, heads.get((thread_id, ns), ""))

    def delete_thread(self, thread_id: str) -> None:
        with self._lock:
            self._check_free([thread_id])
            self._threads.pop(str(thread_id), None)
            self._rules.pop(str(thread_id), None)
        self._lineage.values.forget(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        runs = {str(run_id) for run_id in run_ids}
        with self._lock:
            gone = [
                (thread_id, space, ids)
                for thread_id, spaces in self._threads.items()
                for space in spaces.values()
                if (ids := {i for i, record in space.records.items() if record.run_id in runs})
            ]
            self._check_free([thread_id for thread_id, _, _ in gone])
            for _, space, ids in gone:
                space.remove(ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        with self._lock:
            for ns, source in dict(self._threads.get(source_thread_id, {})).items():
                target = self._space_made(target_thread_id, ns)
                for checkpoint_id, record in list(source.records.items()):
                    target.add(checkpoint_id, record)
                for checkpoint_id in list(source.writes):
                    for task in source.tasks(checkpoint_id):
                        target.add_writes(checkpoint_id, task)

    def prune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: Literal["keep_latest", "delete"] = "keep_latest",
        older_than: datetime | timedelta | None = None,
        keep_last: int = 1,
        filter: dict[str, Any] | None = None,
        keep_forks: bool = False,
        dry_run: bool = False,
    ) -> Pruned:
        rule = pruning_of(strategy, older_than, keep_last, filter, keep_forks=keep_forks)
        asked = list(dict.fromkeys(map(str, thread_ids)))
        with self._lock:
            if not dry_run:
                self._check_free(asked)
            done = Pruned(bytes=0 if dry_run else None)
            for thread_id in asked:
                done = done.plus(self._prune_thread(thread_id, rule, dry_run=dry_run))
        return done

    def _prune_thread(self, thread_id: str, rule: PruningRule, *, dry_run: bool) -> Pruned:
        spaces = self._threads.get(thread_id, {}).values()
        if not rule.deletes:
            gone = [(space, space.gone(rule, partial(self._matches, rule))) for space in spaces]
        elif rule.before is None or (spaces and all((space.head() or "") < rule.before for space in spaces)):
            gone = [(space, set(space.ids)) for space in spaces]
        else:
            return Pruned(bytes=0)
        count = sum(len(ids & space.records.keys()) for space, ids in gone)
        size = sum(len(space.records[i].header[1]) for space, ids in gone for i in ids & space.records.keys())
        if not dry_run:
            for space, ids in gone:
                space.remove(ids)
            if rule.deletes:
                self.delete_thread(thread_id)
        return Pruned(int(count > 0), count, size)

    def _matches(self, rule: PruningRule, record: _Record) -> bool:
        return records.matches(records.decode_header(self.serde, record.header).metadata, dict(rule.filter))

    def scrub(self, timeout: float = 30.0) -> Scrub:
        return Scrub(("nothing is kept in a file",))

    # -- rules

    def _check_free(self, thread_ids: Iterable[str]) -> None:
        for thread_id in thread_ids:
            if row := self._rules.get(str(thread_id)):
                check_free(str(thread_id), [row])

    def keep(self, thread_id: str, *, ttl: Ttl | Same = SAME, hold: str | None | Same = SAME) -> Rules:
        change = change_of(ttl, hold)
        with self._lock:
            row = change.over(*self._rules.pop(str(thread_id), (None, None)))
            if row != (None, None):
                self._rules[str(thread_id)] = row
        return opened_rules(*row)

    def rules_of(self, thread_id: str) -> Rules:
        return opened_rules(*self._rules.get(str(thread_id), (None, None)))

    def rules(
        self, *, held: bool = False, limit: int | None = None, after: str | None = None
    ) -> Iterator[tuple[str, Rules]]:
        with self._lock:
            rows = sorted(self._rules.items())
        found = [(thread_id, opened_rules(*row)) for thread_id, row in rows if after is None or thread_id > after]
        return iter([one for one in found if one[1].hold is not None or not held][:limit])

    # -- the async twins: nothing here waits

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for item in self.list(config, filter=filter, before=before, limit=limit):
            yield item

    async def abrowse(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StoredCheckpoint]:
        for item in self.browse(config, filter=filter, before=before, limit=limit):
            yield item

    async def aget_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        return self.get_head(thread_id, checkpoint_ns)

    async def athreads(self, *, limit: int | None = None, after: str | None = None) -> AsyncIterator[str]:
        for thread_id in self.threads(limit=limit, after=after):
            yield thread_id

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)

    async def acommit(self, prepared: Sequence[Prepared]) -> bool:
        return self.commit(prepared)

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.delete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.copy_thread(source_thread_id, target_thread_id)

    async def aprune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: Literal["keep_latest", "delete"] = "keep_latest",
        older_than: datetime | timedelta | None = None,
        keep_last: int = 1,
        filter: dict[str, Any] | None = None,
        keep_forks: bool = False,
        dry_run: bool = False,
    ) -> Pruned:
        return self.prune(
            thread_ids,
            strategy=strategy,
            older_than=older_than,
            keep_last=keep_last,
            filter=filter,
            keep_forks=keep_forks,
            dry_run=dry_run,
        )

    async def akeep(self, thread_id: str, *, ttl: Ttl | Same = SAME, hold: str | None | Same = SAME) -> Rules:
        return self.keep(thread_id, ttl=ttl, hold=hold)

    async def arules_of(self, thread_id: str) -> Rules:
        return self.rules_of(thread_id)

    async def arules(
        self, *, held: bool = False, limit: int | None = None, after: str | None = None
    ) -> AsyncIterator[tuple[str, Rules]]:
        for one in self.rules(held=held, limit=limit, after=after):
            yield one


MemorySaver = InMemorySaver


def __getattr__(name: str) -> object:
    if name == "PersistentDict":  # in a module of its own: nothing here needs it
        from perdure.checkpoint.persistentdict import PersistentDict

        return PersistentDict
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
