"""The checkpoint contract: what a saver stores, in which order, and what it promises.

A *checkpoint* is the state of a thread between two supersteps. It is addressed by
`config["configurable"]`: `thread_id`, `checkpoint_ns` ("" unless given: the root graph; subgraphs have
others) and `checkpoint_id`. Ids sort by time; the greatest of a namespace is its *head*. The checkpoints
of a namespace form a tree: each one knows its parent.

*Pending writes* belong to a checkpoint: what the tasks of its next superstep have written so far.

The law, for every implementation:

1. Order. Writes are durable before the checkpoint that counts them. `put_writes` may come before the
   `put` of the checkpoint that it names.
2. Atomicity. Each method is all or nothing. `commit` is all or nothing over everything it is given.
3. Idempotence. Repeating a call that succeeded changes nothing: a caller that lost a reply tries again.
4. Isolation. A value that was handed out or handed in shares nothing with the store.
5. Errors. Only errors of `perdure.errors` come out, with the driver's as their cause. After an error nothing of
   the call is stored, except after `TransientStorageError` from a lost connection: then all of it or nothing is.
6. Data. Any text is a valid thread id, namespace, checkpoint id, channel or metadata key: no character is special.

`get_tuple`, `list`, `put`, `put_writes` and `delete_thread` are all that a saver must have, in either colour (`a` for
async): this class derives the rest and the other colour. The engine itself commits through `prepare`
and `commit`, whose defaults here are built from `put_writes` and `put` and can promise neither
atomicity nor a comparison free of races; a saver that overrides them does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from perdure.checkpoint import bridge, derived
from perdure.checkpoint.base.model import (
    ANY_HEAD,
    EXCLUDED_METADATA_KEYS,
    LATEST_VERSION,
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    Lease,
    LeaseState,
    PendingWrite,
    StoredCheckpoint,
    TaskWrites,
    copy_checkpoint,
    create_checkpoint,
    empty_checkpoint,
    get_checkpoint_id,
    get_checkpoint_metadata,
    get_serializable_checkpoint_metadata,
    writes_sort_key,
)
from perdure.checkpoint.deltahistory import DeltaChannelHistory, delta_history
from perdure.checkpoint.ids import new_id, uuid6
from perdure.checkpoint.pruning import Pruned, oldest_kept
from perdure.checkpoint.rules import SAME, Rules, Same, Ttl
from perdure.checkpoint.serde.base import SerializerProtocol, maybe_add_typed_methods
from perdure.errors import EmptyChannelError, UsageError
from perdure.types import RunnableConfig

if TYPE_CHECKING:
    from perdure.checkpoint.activity import Activity
    from perdure.checkpoint.diagnosis import Check
    from perdure.checkpoint.findings import Finding
    from perdure.checkpoint.scrubbing import Chunk, Scrub
    from perdure.checkpoint.sealing import Rekeyed
    from perdure.checkpoint.sizes import ThreadSize

__all__ = [
    "ANY_HEAD",
    "EXCLUDED_METADATA_KEYS",
    "LATEST_VERSION",
    "WRITES_IDX_MAP",
    "BaseCheckpointSaver",
    "ChannelVersions",
    "Checkpoint",
    "CheckpointMetadata",
    "CheckpointTuple",
    "Commit",
    "DeltaChannelHistory",
    "EmptyChannelError",
    "Lease",
    "LeaseState",
    "PendingWrite",
    "StoredCheckpoint",
    "TaskWrites",
    "copy_checkpoint",
    "create_checkpoint",
    "empty_checkpoint",
    "get_checkpoint_id",
    "get_checkpoint_metadata",
    "get_serializable_checkpoint_metadata",
    "new_id",
    "uuid6",
    "writes_sort_key",
]

V = TypeVar("V", int, float, str)


class BaseCheckpointSaver(Generic[V]):
    """Stores checkpoints. See this module's docstring for the law.

    Implement `get_tuple`, `list`, `put`, `put_writes` and `delete_thread`, or their async twins, or both. Sync
    methods derived from async ones run on an event loop in a thread of their own (or on
    `self.loop`, if the saver has one that runs in another thread); async ones derived
    from sync ones run in worker threads.

    Args:
        serde: Turns values into bytes; `JsonPlusSerializer()` if None. One with untyped `dumps` and
            `loads` only is accepted too.
    """

    inline: ClassVar[bool] = False
    """Whether `commit` does no I/O, so that the engine may call it from an event loop and never needs to defer it."""
    takes_changes: ClassVar[bool] = False
    """Whether `prepare` encodes at once, and takes commits that hold what changed only, see `Commit`: the engine then
    copies nothing."""
    leases: bool = False
    """Whether `acquire`, `renew` and `release` guard a thread across processes."""
    has_rules: bool = False
    """Whether `keep` says how long a thread is kept, and holds are honoured."""

    _serde: SerializerProtocol | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Who changes what is listed changes what is browsed: a history must not show what `list` hides.
        for listing, browsing in (("list", "browse"), ("alist", "abrowse")):
            if listing in vars(cls) and browsing not in vars(cls):
                setattr(cls, browsing, vars(BaseCheckpointSaver)[browsing])

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        self._serde = None if serde is None else maybe_add_typed_methods(serde)

    @property
    def serde(self) -> SerializerProtocol:
        """What turns values into bytes; made when first used."""
        if self._serde is None:
            from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer

            self._serde = JsonPlusSerializer()
        return self._serde

    @serde.setter
    def serde(self, value: SerializerProtocol) -> None:
        self._serde = maybe_add_typed_methods(value)

    @property
    def config_specs(self) -> list[Any]:
        """Config fields that the saver adds; none."""
        return []

    def register_types(self, types: Iterable[type]) -> None:
        """Let the serializer read values of these types, if it keeps a registry.

        Adds to what is registered; safe from several threads; repeated calls change nothing.
        """
        register = getattr(self.serde, "register_types", None)
        if register is not None:
            register(types)

    # -- reading

    def get(self, config: RunnableConfig) -> Checkpoint | None:
        """Return the checkpoint that `get_tuple` finds, without what belongs to it."""
        found = self.get_tuple(config)
        return found.checkpoint if found else None

    async def aget(self, config: RunnableConfig) -> Checkpoint | None:
        """Async twin of `get`."""
        found = await self.aget_tuple(config)
        return found.checkpoint if found else None

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that the config names, or the head if it names none.

        Returns:
            None if there is no such checkpoint. `pending_writes` are ordered by `writes_sort_key`; the
            config has exactly `thread_id`, `checkpoint_ns` and `checkpoint_id`; `parent_config` is None for a
            checkpoint without a parent.

        Raises:
            CorruptCheckpointError: What is stored is not what was written.
            UnknownTypeError: A value's type is not registered here.
        """
        return bridge.call_sync(self, "get_tuple", config)  # type: ignore[no-any-return]

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Async twin of `get_tuple`."""
        return await bridge.call_async(self, "get_tuple", config)  # type: ignore[no-any-return]

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Iterate over checkpoints, greatest id first.

        What is written during the iteration may or may not appear. Values that aren't returned aren't
        read. The iterator may be abandoned.

        Args:
            config: Restricts to its `thread_id`, its `checkpoint_ns` and its `checkpoint_id`, each if
                present. None: everything.
            filter: Metadata keys and the values they must equal, all of them.
            before: Only ids less than this config's `checkpoint_id`.
            limit: At most so many.
        """
        return bridge.iterate_sync(self, config, filter=filter, before=before, limit=limit)

    def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Async twin of `list`."""
        return bridge.iterate_async(self, config, filter=filter, before=before, limit=limit)

    def get_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        """Return the greatest checkpoint id of the namespace, None if it has no checkpoint."""
        return derived.run_sync(self, derived.get_head(thread_id, checkpoint_ns))

    async def aget_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        """Async twin of `get_head`."""
        return await derived.run_async(self, derived.get_head(thread_id, checkpoint_ns))

    def threads(self, *, limit: int | None = None, after: str | None = None) -> Iterator[str]:
        """Iterate over the ids of the threads that have a checkpoint, in ascending order.

        Args:
            limit: At most so many.
            after: Only ids greater than this: the last one of the page before.
        """
        return iter(derived.run_sync(self, derived.threads(limit, after)))

    async def athreads(self, *, limit: int | None = None, after: str | None = None) -> AsyncIterator[str]:
        """Async twin of `threads`."""
        for thread_id in await derived.run_async(self, derived.threads(limit, after)):
            yield thread_id

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what led to the values of channels at the checkpoint that the config names.

        Its own pending writes are not among it: they lead to the next one.
        """
        return derived.run_sync(self, delta_history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Async twin of `get_delta_channel_history`."""
        return await derived.run_async(self, delta_history(config, channels))

    # -- writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint.

        Its parent is the config's `checkpoint_id`: an old one makes a branch, none makes a root.
        Putting an id again replaces that checkpoint.

        Args:
            config: Where: `thread_id`, `checkpoint_ns`, and the parent's `checkpoint_id`.
            checkpoint: What. A channel that `new_versions` lacks keeps the value that the parent has for the
                same version.
            metadata: Joined by the config's own, see `get_checkpoint_metadata`.
            new_versions: Versions of the channels to store. One that `channel_values` lacks has become
                empty.

        Returns:
            The config of the new checkpoint.

        Raises:
            SerializationError: A value can't be stored; names its channel and path.
        """
        return bridge.call_sync(self, "put", config, checkpoint, metadata, new_versions)  # type: ignore[no-any-return]

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Async twin of `put`."""
        return await bridge.call_async(self, "put", config, checkpoint, metadata, new_versions)  # type: ignore[no-any-return]

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store writes of a task, pending on the config's checkpoint.

        A write's key is its task and its index: `WRITES_IDX_MAP` of its channel or else its place in
        `writes`. For an index of 0 or more the first value stays; for a negative one the last. The
        first `task_path` of a task stays.

        Args:
            config: `thread_id`, `checkpoint_ns` and `checkpoint_id`; the checkpoint need not exist yet.
            writes: Pairs of channel and value.
            task_id: The task.
            task_path: Where the task stands among its siblings. A saver of others may lack this parameter.

        Raises:
            SerializationError: A value can't be stored; names its channel and path.
        """
        bridge.call_sync(self, "put_writes", config, writes, task_id, task_path)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Async twin of `put_writes`."""
        await bridge.call_async(self, "put_writes", config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints and writes of the thread, in all namespaces. No such thread: nothing."""
        bridge.call_sync(self, "delete_thread", thread_id)

    async def adelete_thread(self, thread_id: str) -> None:
        """Async twin of `delete_thread`."""
        await bridge.call_async(self, "delete_thread", thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints whose metadata has one of these `run_id`s, and their writes.

        Other checkpoints keep all their values, and a parent that is gone stays named as the parent.

        Raises:
            NotImplementedError: This saver can't; it can't be derived from the classic methods.
        """
        bridge.call_sync(self, "delete_for_runs", run_ids)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Async twin of `delete_for_runs`."""
        await bridge.call_async(self, "delete_for_runs", run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another, with the same ids.

        What the target already has under other ids stays, and its writes get the source's added, as by `put_writes`. No
        such source: nothing.
        """
        if bridge.has_async(self, "copy_thread"):
            bridge.call_sync(self, "copy_thread", source_thread_id, target_thread_id)
            return
        derived.run_sync(self, derived.copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Async twin of `copy_thread`."""
        if bridge.has_sync(self, "copy_thread"):
            await bridge.call_async(self, "copy_thread", source_thread_id, target_thread_id)
            return
        await derived.run_async(self, derived.copy_thread(source_thread_id, target_thread_id))

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
    ) -> Pruned | None:
        """Make threads smaller.

        What a rule keeps stays, and of the rest goes only what `older_than` and `filter` both say. A checkpoint that is
        kept keeps its values, its pending writes and the name of its parent.

        Args:
            thread_ids: Which; ids without a thread are ignored.
            strategy: `keep_latest` keeps the head of each namespace with its writes; `delete` keeps
                nothing.
            older_than: Only what was made before this moment, or this long ago, goes: of `keep_latest`, checkpoints;
                of `delete`, threads whose newest checkpoint is that old. The age is that of the checkpoint's id, so
                it is as exact as the clock of the machine that made it.
            keep_last: So many of the newest checkpoints of each namespace are kept.
            filter: Only checkpoints go whose metadata have these keys and values.
            keep_forks: Whether the tips of all branches are kept: checkpoints that are no other's parent.
            dry_run: Tell what would go, and change nothing; threads on hold are counted too.

        Returns:
            What went, or would go; None: this saver doesn't tell.

        Raises:
            ThreadHeldError: One of the threads is on hold; see `keep`.
            InvalidConfigError: There is no such strategy, or `delete` is to keep something.
            NotImplementedError: This saver can't `keep_latest`, or not by what is asked; it can't be derived from the
                classic methods.
        """
        more = _asked(older_than, keep_last, filter, keep_forks=keep_forks, dry_run=dry_run)
        if strategy == "delete" and more.keys() <= {"older_than"} and not bridge.has_async(self, "prune"):
            derived.run_sync(self, derived.delete_threads(thread_ids, oldest_kept(older_than)))
            return None
        return bridge.call_sync(self, "prune", thread_ids, strategy=strategy, **more)  # type: ignore[no-any-return]

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
    ) -> Pruned | None:
        """Async twin of `prune`."""
        more = _asked(older_than, keep_last, filter, keep_forks=keep_forks, dry_run=dry_run)
        if strategy == "delete" and more.keys() <= {"older_than"} and not bridge.has_sync(self, "prune"):
            await derived.run_async(self, derived.delete_threads(thread_ids, oldest_kept(older_than)))
            return None
        return await bridge.call_async(self, "prune", thread_ids, strategy=strategy, **more)  # type: ignore[no-any-return]

    # -- rules: only where `has_rules` is True

    def keep(self, thread_id: str, *, ttl: Ttl | Same = SAME, hold: str | None | Same = SAME) -> Rules:
        """Say how long a thread is kept. What isn't given stays as it is.

        The thread need not have a checkpoint yet. Rules go when the thread is deleted, and aren't copied by
        `copy_thread`: a copy of a held thread isn't held.

        A hold that is set is seen by everything that deletes: `delete_thread`, `prune`, `delete_for_runs` and
        `repair_thread` look at it in the transaction that deletes, and raise `ThreadHeldError` before anything is
        changed, of any thread they were given. Where a thread is a unit by itself (object stores, a cluster of Redis)
        that is so for holds that were there when they began; of a hold that is set meanwhile, its thread stays whole.
        Runs may go on.

        Args:
            thread_id: The thread.
            ttl: How long after its last checkpoint, in any namespace, the thread expires; `NEVER`; None: as the default
                of whoever sweeps says. Something must sweep: `perdure.ops.sweep`.
            hold: Why nothing of the thread may be deleted; None: it may.

        Returns:
            The rules as they are now.

        Raises:
            InvalidConfigError: A time isn't more than nothing, or a reason is empty.
            UsageError: This saver has no rules.
        """
        raise _no_rules(self)

    async def akeep(self, thread_id: str, *, ttl: Ttl | Same = SAME, hold: str | None | Same = SAME) -> Rules:
        """Async twin of `keep`."""
        return await bridge.to_thread(self.keep, thread_id, ttl=ttl, hold=hold)  # type: ignore[no-any-return]

    def rules_of(self, thread_id: str) -> Rules:
        """Return a thread's rules; none where there are none, and of savers that have none."""
        return Rules()

    async def arules_of(self, thread_id: str) -> Rules:
        """Async twin of `rules_of`."""
        return await bridge.to_thread(self.rules_of, thread_id)  # type: ignore[no-any-return]

    def rules(
        self, *, held: bool = False, limit: int | None = None, after: str | None = None
    ) -> Iterator[tuple[str, Rules]]:
        """Iterate over the threads that have rules, with these, in ascending order of the ids.

        Args:
            held: Only those on hold.
            limit: At most so many.
            after: Only ids greater than this.
        """
        return iter(())

    async def arules(
        self, *, held: bool = False, limit: int | None = None, after: str | None = None
    ) -> AsyncIterator[tuple[str, Rules]]:
        """Async twin of `rules`."""
        found: Any = await bridge.to_thread(lambda: [*self.rules(held=held, limit=limit, after=after)])
        for one in found:
            yield one

    # -- checking: what is stored, byte by byte

    def check_thread(self, thread_id: str) -> Sequence[Finding]:
        """Look at everything that is stored of a thread; return what isn't as it should be, empty if all is well.

        Where a saver knows its pieces, each is read, compared with its checksum and decoded, and what nothing needs is
        found too. Derived by default: every checkpoint is read. The thread may be in use.
        """
        if bridge.has_async(self, "check_thread"):
            return bridge.call_sync(self, "check_thread", thread_id)  # type: ignore[no-any-return]
        from perdure.checkpoint.findings import check_by_list

        return check_by_list(self, thread_id)

    async def acheck_thread(self, thread_id: str) -> Sequence[Finding]:
        """Async twin of `check_thread`."""
        return await bridge.to_thread(self.check_thread, thread_id)  # type: ignore[no-any-return]

    def repair_thread(self, thread_id: str) -> Sequence[Finding]:
        """Do for each finding of `check_thread` what its kind's `remedy` says; return the findings.

        What can be read stays, but for the other values of a checkpoint of which one can't. The head is then the last
        readable checkpoint. All or nothing.

        Raises:
            NotImplementedError: This saver can't; it can't be derived from the classic methods.
        """
        return bridge.call_sync(self, "repair_thread", thread_id)  # type: ignore[no-any-return]

    async def arepair_thread(self, thread_id: str) -> Sequence[Finding]:
        """Async twin of `repair_thread`."""
        return await bridge.call_async(self, "repair_thread", thread_id)  # type: ignore[no-any-return]

    def rekey_thread(self, thread_id: str) -> Rekeyed:
        """Encrypt with the current key what of a thread is encrypted with another one.

        In parts, each all or nothing; stopped at any moment, the next call goes on. The thread may be in use: what is
        written meanwhile is under the key that its writer takes for the current one.

        Raises:
            NotImplementedError: This saver can't; it can't be derived from the classic methods.
            UsageError: It has no keys.
            CorruptCheckpointError: Something can't be read; what was done before stays done.
        """
        return bridge.call_sync(self, "rekey_thread", thread_id)  # type: ignore[no-any-return]

    async def arekey_thread(self, thread_id: str) -> Rekeyed:
        """Async twin of `rekey_thread`."""
        return await bridge.call_async(self, "rekey_thread", thread_id)  # type: ignore[no-any-return]

    def measure_thread(self, thread_id: str) -> ThreadSize:
        """Measure what a thread takes, and what of it; all zero if there is no such thread.

        Derived by default: then it isn't known what is stored, only how large the values are.
        """
        if bridge.has_async(self, "measure_thread"):
            return bridge.call_sync(self, "measure_thread", thread_id)  # type: ignore[no-any-return]
        from perdure.checkpoint.sizes import measure_by_list

        return measure_by_list(self, thread_id)

    async def ameasure_thread(self, thread_id: str) -> ThreadSize:
        """Async twin of `measure_thread`."""
        return await bridge.to_thread(self.measure_thread, thread_id)  # type: ignore[no-any-return]

    def activity(self, since: Activity | None = None) -> Activity:
        """Look at what happens: the newest heads, what came since an earlier look, and who holds leases.

        Nothing is written, and only what moved is counted. Derived by default: then every thread's head is asked for,
        bytes and leases aren't known, and namespaces of subgraphs aren't looked at.

        Args:
            since: The look before.
        """
        if bridge.has_async(self, "activity"):
            return bridge.call_sync(self, "activity", since)  # type: ignore[no-any-return]
        from perdure.checkpoint.activity import activity_by_heads

        return activity_by_heads(self, since)

    async def aactivity(self, since: Activity | None = None) -> Activity:
        """Async twin of `activity`."""
        return await bridge.to_thread(self.activity, since)  # type: ignore[no-any-return]

    # -- erasing: what a storage keeps of what was deleted

    def stored_of(self, thread_id: str) -> Sequence[bytes]:
        """Return what is stored of a thread, piece by piece, as it is stored; empty if a saver can't tell."""
        return bridge.call_sync(self, "stored_of", thread_id) if bridge.has_async(self, "stored_of") else ()

    async def astored_of(self, thread_id: str) -> Sequence[bytes]:
        """Async twin of `stored_of`."""
        return await bridge.to_thread(self.stored_of, thread_id)  # type: ignore[no-any-return]

    def scrub(self, timeout: float = 30.0) -> Scrub:
        """Make the storage forget what was deleted: write its files anew, its log and its free space included.

        It may be in use; others may have to wait meanwhile. Repeating it is harmless.

        Args:
            timeout: Seconds to wait for those who are in the way.

        Raises:
            NotImplementedError: This saver can't.
        """
        return bridge.call_sync(self, "scrub", timeout)  # type: ignore[no-any-return]

    async def ascrub(self, timeout: float = 30.0) -> Scrub:
        """Async twin of `scrub`."""
        return await bridge.call_async(self, "scrub", timeout)  # type: ignore[no-any-return]

    def raw(self) -> Iterator[Chunk]:
        """Iterate over all bytes that the storage keeps, file by file, deleted or not; none if a saver has no files.

        For a proof that nothing is left of something; synchronous only.
        """
        return iter(())

    def diagnose(self) -> Sequence[Check]:
        """Look at how the database is set up: versions, durability, rights, the clock; empty if a saver can't tell."""
        return bridge.call_sync(self, "diagnose") if bridge.has_async(self, "diagnose") else ()

    async def adiagnose(self) -> Sequence[Check]:
        """Async twin of `diagnose`."""
        return await bridge.to_thread(self.diagnose)  # type: ignore[no-any-return]

    def get_next_version(self, current: V | None, channel: None) -> V:
        """Return a version greater than `current`; 1 for the first.

        Ints grow by one. Floats and the zero-padded text of other savers are continued in their
        own form, so that a thread that came from elsewhere goes on.

        Args:
            current: The greatest version so far.
            channel: Always None.
        """
        if type(current) is int:
            return current + 1
        following: Any = 1
        if isinstance(current, str):
            following = f"{int(current.partition('.')[0] or 0) + 1:032}.{0:016}"
        elif current is not None:
            following = int(current) + 1 if isinstance(current, int) else float(int(current) + 1)
        found: V = following
        return found

    # -- the engine's door

    def browse(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredCheckpoint]:
        """Iterate as `list` does, and decode no value before it is asked for; derived from `list` by default."""
        return map(_stored, self.list(config, filter=filter, before=before, limit=limit))

    async def abrowse(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StoredCheckpoint]:
        """Async twin of `browse`."""
        async for found in self.alist(config, filter=filter, before=before, limit=limit):
            yield _stored(found)

    def prepare(self, commit: Commit) -> Any:
        """Turn a commit into what `commit` takes: encode its values now, without I/O.

        A value that changes later doesn't change what is stored, if the saver overrides this; the default
        returns the commit itself. Commits of one namespace are prepared in the order of their parents.

        Raises:
            SerializationError: A value can't be stored; names its channel and path. Nothing is changed.
        """
        return commit

    def commit(self, prepared: Sequence[Any]) -> bool:
        """Make prepared commits durable: all or nothing, in order.

        Idempotent: a checkpoint that is stored already with the same parent is not stored again and its
        `expected_head` is not compared, so that a retry after a lost reply succeeds.

        Returns:
            True if somebody asked the holder of a commit's lease to stop, see `request_stop`.

        Raises:
            ConflictError: A head isn't the `expected_head`, or a lease's generation is an old one.
        """
        return derived.run_sync(self, derived.commit(prepared))

    async def acommit(self, prepared: Sequence[Any]) -> bool:
        """Async twin of `commit`."""
        return await derived.run_async(self, derived.commit(prepared))

    # -- leases: only where `leases` is True

    def acquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        """Try once to get the thread's lease.

        A lease that has expired, or whose holder is known to be dead, changes hands, with the next
        generation. The holder of a lease gets it again, with the same generation.

        Args:
            thread_id: The thread.
            holder: Names the run and its process, see `perdure.checkpoint.liveness.holder`.
            ttl: Seconds until it expires, unless renewed.

        Returns:
            None while somebody else holds it.
        """
        raise _no_leases(self)

    async def aacquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        """Async twin of `acquire`."""
        return await bridge.to_thread(self.acquire, thread_id, holder, ttl)  # type: ignore[no-any-return]

    def renew(self, leases: Sequence[Lease], ttl: float) -> Sequence[LeaseState]:
        """Extend leases by `ttl` seconds from now; tell for each how it stands."""
        raise _no_leases(self)

    async def arenew(self, leases: Sequence[Lease], ttl: float) -> Sequence[LeaseState]:
        """Async twin of `renew`."""
        return await bridge.to_thread(self.renew, leases, ttl)  # type: ignore[no-any-return]

    def release(self, lease: Lease) -> None:
        """Give a lease back. One that is no longer held: nothing."""
        raise _no_leases(self)

    async def arelease(self, lease: Lease) -> None:
        """Async twin of `release`."""
        await bridge.to_thread(self.release, lease)

    def request_stop(self, thread_id: str) -> None:
        """Ask the holder of the thread's lease to stop at its next superstep. No holder: nothing."""
        raise _no_leases(self)

    async def arequest_stop(self, thread_id: str) -> None:
        """Async twin of `request_stop`."""
        await bridge.to_thread(self.request_stop, thread_id)


def _no_leases(saver: BaseCheckpointSaver[Any]) -> UsageError:
    return UsageError(
        f"{type(saver).__name__} has no leases",
        hint="ask `saver.leases` first; turns within one process need none",
    )


def _no_rules(saver: BaseCheckpointSaver[Any]) -> UsageError:
    return UsageError(
        f"{type(saver).__name__} has no rules: it can neither hold a thread nor let it expire",
        hint="ask `saver.has_rules` first; perdure's own savers have them, and `perdure migrate` moves threads to one",
    )


def _asked(
    older_than: Any, keep_last: int, filter: dict[str, Any] | None, *, keep_forks: bool, dry_run: bool
) -> dict[str, Any]:
    """Return the arguments of `prune` that differ from what they are by default: other people's savers know few."""
    given = {
        "older_than": older_than,
        "keep_last": keep_last if keep_last != 1 else None,
        "filter": filter or None,
        "keep_forks": keep_forks or None,
        "dry_run": dry_run or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _stored(found: CheckpointTuple) -> StoredCheckpoint:
    return StoredCheckpoint(found.config, found.parent_config, found.metadata, found.checkpoint["ts"], lambda: found)
