"""A saver over tables: the contract's methods in both colours, over operations that a backend's driver runs."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from perdure.checkpoint import bridge, records
from perdure.checkpoint.activity import Activity, activity_by_heads
from perdure.checkpoint.address import make_config, parse_address, parse_checkpoint, parse_scope
from perdure.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    Lease,
    LeaseState,
    StoredCheckpoint,
    TaskWrites,
    V,
    get_serializable_checkpoint_metadata,
)
from perdure.checkpoint.chains import Value
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.findings import Finding
from perdure.checkpoint.layout import Record
from perdure.checkpoint.pruning import Pruned, PruningRule, pruning_of
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.rules import SAME, Rules, Same, Ttl, change_of
from perdure.checkpoint.sealing import Rekeyed, vault_of
from perdure.checkpoint.serde.base import SerializerProtocol, maybe_add_typed_methods
from perdure.checkpoint.sizes import ThreadSize
from perdure.checkpoint.tables import activity as looking
from perdure.checkpoint.tables import (
    checking,
    deleting,
    keeping,
    measuring,
    pruning,
    reading,
    rekeying,
    scrubbing,
    writing,
)
from perdure.checkpoint.tables import leases as leasing
from perdure.checkpoint.tables.dialect import Cursor, Dialect, Found
from perdure.database.operation import Op
from perdure.types import RunnableConfig

Kind = Literal["read", "write", "commit", "acquire", "lease", "release"]
"""What an operation does, so that the driver can choose its transaction. A `release` may come from a finalizer."""

_FIRST_AHEAD = 8  # checkpoints that a walk reads at once: few, for it may be abandoned; then more
_MOST_AHEAD = 32


class TableSaver(BaseCheckpointSaver[V]):
    """The part that all backends share. A backend opens, sets up and closes; and runs operations by `_run` and `_arun`.

    Args:
        dialect: The backend's statements.
        serde: Turns values into bytes.
    """

    leases = True
    has_rules = True
    takes_changes = True
    _closed = False
    _owns = False

    def __init__(self, dialect: Dialect, *, serde: SerializerProtocol | None) -> None:
        super().__init__(serde=serde)
        self._dialect = dialect
        self._within: SerializerProtocol | None = None
        if serde is not None:
            self._bind(serde)
        self._lineage = records.Lineage()

    # The getter stays as it is, for it is on the way of each commit.
    @BaseCheckpointSaver.serde.setter  # type: ignore[attr-defined,untyped-decorator]  # mypy takes it for a function
    def serde(self, value: SerializerProtocol) -> None:
        """What turns values into bytes. One that has keys binds each row to its place: see `EncryptedSerializer`."""
        self._serde = maybe_add_typed_methods(value)
        self._bind(value)

    def _bind(self, serde: Any) -> None:
        vault = vault_of(serde)
        self._within = None if vault is None else serde.serde
        if vault is not self._dialect.vault:
            self._dialect = self._dialect.with_vault(vault)

    @property
    def _codec(self) -> SerializerProtocol:
        """What turns values into bytes, before rows are encrypted."""
        return self._within or self.serde

    @abstractmethod
    def _run(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        """Run an operation, once the tables are ready."""

    @abstractmethod
    def _arun(self, make: Callable[[], Op[Any]], kind: Kind) -> Awaitable[Any]:
        """Async twin of `_run`."""

    def _do(self, kind: Kind, operation: Callable[..., Op[Any]], *args: Any) -> Any:
        return self._run(partial(operation, self._dialect, *args), kind)

    async def _ado(self, kind: Kind, operation: Callable[..., Op[Any]], *args: Any) -> Any:
        return await self._arun(partial(operation, self._dialect, *args), kind)

    def _acquiring(self, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
        """Take a lease, see `acquire`; by this machine's clock, if a backend knows no better one."""
        return leasing.acquire(self._dialect, thread_id, holder, ttl)

    @abstractmethod
    def close(self) -> None:
        """Close what the saver has opened."""

    @abstractmethod
    async def aclose(self) -> None:
        """Async twin of `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._owns and not self._closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=1)
            self._closed = True

    # -- reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._noted(self._do("read", reading.get, self._lineage.values, *parse_address(config)))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._noted(await self._ado("read", reading.get, self._lineage.values, *parse_address(config)))

    def _noted(self, found: Found | None) -> CheckpointTuple | None:
        """Decode a checkpoint, and remember its values: a run may go on from it."""
        if found is None:
            return None
        thread_id, checkpoint_ns, _ = found.place
        values = found.values()
        for channel, value in values.items():
            self._lineage.values.note(thread_id, checkpoint_ns, channel, value)
        self._lineage.note(*found.place, found.record.versions)
        return self._decode(found, values)

    def _decode(self, found: Found, values: dict[str, Value]) -> CheckpointTuple:
        record = found.record
        header = records.decode_header(self._codec, record.blob())
        blobs = {channel: (value.kind, value.data) for channel, value in values.items()}
        return records.decode_tuple(
            self._codec, found.place, found.parent_id, header, record.versions, blobs, found.tasks()
        )

    def _stored(self, found: Found) -> StoredCheckpoint:
        thread_id, checkpoint_ns, checkpoint_id = found.place
        header = records.decode_header(self._codec, found.record.blob())
        return StoredCheckpoint(
            make_config(thread_id, checkpoint_ns, checkpoint_id),
            make_config(thread_id, checkpoint_ns, found.parent_id) if found.parent_id is not None else None,
            header.metadata,
            header.ts,
            lambda: self._decode(found, found.values()),
        )

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        found = TableSaver.browse(self, config, filter=filter, before=before, limit=limit)
        return (one.open() for one in found)

    def browse(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredCheckpoint]:
        walk = _Walk(self._codec, config, before, filter, limit)
        while walk.goes_on():
            for found in walk.advance(self._do("read", reading.page, *walk.next_page())):
                yield self._stored(found)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        async for found in TableSaver.abrowse(self, config, filter=filter, before=before, limit=limit):
            yield found.open()

    async def abrowse(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StoredCheckpoint]:
        walk = _Walk(self._codec, config, before, filter, limit)
        while walk.goes_on():
            for found in walk.advance(await self._ado("read", reading.page, *walk.next_page())):
                yield self._stored(found)

    def get_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        return self._do("read", reading.get_head, thread_id, checkpoint_ns)  # type: ignore[no-any-return]

    async def aget_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        return await self._ado("read", reading.get_head, thread_id, checkpoint_ns)  # type: ignore[no-any-return]

    def threads(self, *, limit: int | None = None, after: str | None = None) -> Iterator[str]:
        return iter(self._do("read", reading.threads, after, limit))

    async def athreads(self, *, limit: int | None = None, after: str | None = None) -> AsyncIterator[str]:
        for thread_id in await self._ado("read", reading.threads, after, limit):
            yield thread_id

    # -- writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        one = self._prepare_put(config, checkpoint, metadata, new_versions)
        self.commit([one])
        return make_config(one.thread_id, one.checkpoint_ns, checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        one = self._prepare_put(config, checkpoint, metadata, new_versions)
        await self.acommit([one])
        return make_config(one.thread_id, one.checkpoint_ns, checkpoint["id"])

    def _prepare_put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Prepared:
        joined = get_serializable_checkpoint_metadata(config, metadata)
        address = parse_address(config)
        commit = Commit(*address, (), checkpoint, joined, new_versions)
        return self.prepare(commit)._replace(replaces=True)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        task = records.encode_task(records.plain_of(self._codec), TaskWrites(task_id, task_path, writes))
        self._do("write", writing.put_writes, *parse_checkpoint(config), task)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        task = records.encode_task(records.plain_of(self._codec), TaskWrites(task_id, task_path, writes))
        await self._ado("write", writing.put_writes, *parse_checkpoint(config), task)

    def prepare(self, commit: Commit) -> Prepared:
        return records.prepare(self._within or self.serde, self._lineage, commit)

    def commit(self, prepared: Sequence[Prepared]) -> bool:
        return self._run(partial(writing.commit, self._dialect, prepared), "commit")  # type: ignore[no-any-return]

    async def acommit(self, prepared: Sequence[Prepared]) -> bool:
        return await self._arun(partial(writing.commit, self._dialect, prepared), "commit")  # type: ignore[no-any-return]

    def delete_thread(self, thread_id: str) -> None:
        self._do("write", deleting.delete_thread, str(thread_id))
        self._lineage.values.forget(str(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        await self._ado("write", deleting.delete_thread, str(thread_id))
        self._lineage.values.forget(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self._do("write", deleting.delete_for_runs, run_ids)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._ado("write", deleting.delete_for_runs, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if source_thread_id != target_thread_id:
            self._do("write", deleting.copy_thread, source_thread_id, target_thread_id)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if source_thread_id != target_thread_id:
            await self._ado("write", deleting.copy_thread, source_thread_id, target_thread_id)

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
        if dry_run:
            return self._do("read", pruning.measure, self._codec, rule, thread_ids)  # type: ignore[no-any-return]
        done = self._do("write", pruning.prune, self._codec, rule, thread_ids)
        return self._forgotten(rule, thread_ids, done)

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
        rule = pruning_of(strategy, older_than, keep_last, filter, keep_forks=keep_forks)
        if dry_run:
            return await self._ado("read", pruning.measure, self._codec, rule, thread_ids)  # type: ignore[no-any-return]
        done = await self._ado("write", pruning.prune, self._codec, rule, thread_ids)
        return self._forgotten(rule, thread_ids, done)

    def _forgotten(self, rule: PruningRule, thread_ids: Sequence[str], done: Pruned) -> Pruned:
        """Forget the values of threads that a rule has deleted."""
        if rule.deletes:
            for thread_id in thread_ids:
                self._lineage.values.forget(str(thread_id))
        return done

    # -- rules

    def keep(self, thread_id: str, *, ttl: Ttl | Same = SAME, hold: str | None | Same = SAME) -> Rules:
        return self._do("write", keeping.keep, str(thread_id), change_of(ttl, hold))  # type: ignore[no-any-return]

    async def akeep(self, thread_id: str, *, ttl: Ttl | Same = SAME, hold: str | None | Same = SAME) -> Rules:
        return await self._ado("write", keeping.keep, str(thread_id), change_of(ttl, hold))  # type: ignore[no-any-return]

    def rules_of(self, thread_id: str) -> Rules:
        return self._do("read", keeping.rules_of, str(thread_id))  # type: ignore[no-any-return]

    async def arules_of(self, thread_id: str) -> Rules:
        return await self._ado("read", keeping.rules_of, str(thread_id))  # type: ignore[no-any-return]

    def rules(
        self, *, held: bool = False, limit: int | None = None, after: str | None = None
    ) -> Iterator[tuple[str, Rules]]:
        return iter(self._do("read", partial(keeping.list_rules, held=held), after, limit))

    async def arules(
        self, *, held: bool = False, limit: int | None = None, after: str | None = None
    ) -> AsyncIterator[tuple[str, Rules]]:
        for one in await self._ado("read", partial(keeping.list_rules, held=held), after, limit):
            yield one

    # -- checking

    def check_thread(self, thread_id: str) -> Sequence[Finding]:
        return self._do("read", checking.check_thread, self._codec, thread_id)  # type: ignore[no-any-return]

    async def acheck_thread(self, thread_id: str) -> Sequence[Finding]:
        return await self._ado("read", checking.check_thread, self._codec, thread_id)  # type: ignore[no-any-return]

    def repair_thread(self, thread_id: str) -> Sequence[Finding]:
        found = self._do("write", checking.repair_thread, self._codec, thread_id)
        self._lineage.values.forget(thread_id)
        return found  # type: ignore[no-any-return]

    async def arepair_thread(self, thread_id: str) -> Sequence[Finding]:
        found = await self._ado("write", checking.repair_thread, self._codec, thread_id)
        self._lineage.values.forget(thread_id)
        return found  # type: ignore[no-any-return]

    def rekey_thread(self, thread_id: str) -> Rekeyed:
        done, at = Rekeyed(), rekeying.first(self._dialect)
        while at is not None:
            some, at = self._do("write", rekeying.rekey_some, self._codec, thread_id, at)
            done = done.plus(some)
        return done

    async def arekey_thread(self, thread_id: str) -> Rekeyed:
        done, at = Rekeyed(), rekeying.first(self._dialect)
        while at is not None:
            some, at = await self._ado("write", rekeying.rekey_some, self._codec, thread_id, at)
            done = done.plus(some)
        return done

    def measure_thread(self, thread_id: str) -> ThreadSize:
        return self._do("read", measuring.measure_thread, self._codec, thread_id)  # type: ignore[no-any-return]

    async def ameasure_thread(self, thread_id: str) -> ThreadSize:
        return await self._ado("read", measuring.measure_thread, self._codec, thread_id)  # type: ignore[no-any-return]

    def stored_of(self, thread_id: str) -> Sequence[bytes]:
        return self._do("read", scrubbing.stored_of, str(thread_id))  # type: ignore[no-any-return]

    async def astored_of(self, thread_id: str) -> Sequence[bytes]:
        return await self._ado("read", scrubbing.stored_of, str(thread_id))  # type: ignore[no-any-return]

    def diagnose(self) -> Sequence[Check]:
        return self._run(self._dialect.diagnosing, "read")  # type: ignore[no-any-return]

    async def adiagnose(self) -> Sequence[Check]:
        return await self._arun(self._dialect.diagnosing, "read")  # type: ignore[no-any-return]

    def activity(self, since: Activity | None = None) -> Activity:
        if "heads" not in self._dialect.sql:
            return activity_by_heads(self, since)
        return self._do("read", looking.look, since)  # type: ignore[no-any-return]

    async def aactivity(self, since: Activity | None = None) -> Activity:
        if "heads" not in self._dialect.sql:
            return await bridge.to_thread(activity_by_heads, self, since)  # type: ignore[no-any-return]
        return await self._ado("read", looking.look, since)  # type: ignore[no-any-return]

    # -- leases

    def acquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        return self._run(partial(self._acquiring, thread_id, holder, ttl), "acquire")  # type: ignore[no-any-return]

    async def aacquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        return await self._arun(partial(self._acquiring, thread_id, holder, ttl), "acquire")  # type: ignore[no-any-return]

    def renew(self, leases: Sequence[Lease], ttl: float) -> Sequence[LeaseState]:
        return self._do("lease", leasing.renew, leases, ttl)  # type: ignore[no-any-return]

    async def arenew(self, leases: Sequence[Lease], ttl: float) -> Sequence[LeaseState]:
        return await self._ado("lease", leasing.renew, leases, ttl)  # type: ignore[no-any-return]

    def release(self, lease: Lease) -> None:
        # An abandoned stream is released by a finalizer, which may run in the middle of a commit.
        self._do("release", leasing.release, lease)

    async def arelease(self, lease: Lease) -> None:
        await self._ado("lease", leasing.release, lease)

    def request_stop(self, thread_id: str) -> None:
        self._do("lease", leasing.request_stop, thread_id)

    async def arequest_stop(self, thread_id: str) -> None:
        await self._ado("lease", leasing.request_stop, thread_id)


class _Walk:
    """The state of one `list`, whatever its colour."""

    def __init__(
        self,
        serde: SerializerProtocol,
        config: RunnableConfig | None,
        before: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        limit: int | None,
    ) -> None:
        self._scope = parse_scope(config, before)
        # Behind no id at all, or behind the one of `before` in the lowest of namespaces.
        self._cursor: Cursor | None = Cursor(self._scope.before, 0)
        self._left = limit
        self._ahead = _FIRST_AHEAD
        self._serde = serde
        self._wanted = wanted

    def _accepts(self, record: Record) -> bool:
        return records.matches(records.decode_header(self._serde, record.blob()).metadata, self._wanted)

    def goes_on(self) -> bool:
        return self._cursor is not None and (self._left is None or self._left > 0)

    def next_page(self) -> tuple[Any, ...]:
        """Return the arguments of `reading.page`."""
        size = self._ahead if self._left is None else min(self._left, self._ahead)
        self._ahead = min(2 * self._ahead, _MOST_AHEAD)
        return self._scope, self._cursor, size, self._wanted, self._accepts

    def advance(self, reply: tuple[Any, Cursor | None]) -> Sequence[Found]:
        found, self._cursor = reply
        if self._left is not None:
            self._left -= len(found)
        return found  # type: ignore[no-any-return]
