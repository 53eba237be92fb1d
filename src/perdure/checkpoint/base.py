"""The checkpoint contract: what a saver stores, in which order, and what it promises.

The classic methods (`get_tuple`, `list`, `put`, `put_writes`, `delete_thread`, `get_next_version`) are all
that a saver needs. The engine itself commits through `prepare` and `commit`, which have defaults over the classic ones.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Literal, NamedTuple, TypedDict, TypeVar

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.types import RunnableConfig

V = TypeVar("V", int, float, str)
ChannelVersions = dict[str, Any]
PendingWrite = tuple[str, str, Any]
"""(task id, channel, value)"""


class CheckpointMetadata(TypedDict, total=False):
    source: Literal["input", "loop", "update", "fork"]
    step: int
    parents: dict[str, str]
    run_id: str


class Checkpoint(TypedDict):
    v: int
    id: str
    ts: str
    channel_values: dict[str, Any]
    channel_versions: ChannelVersions
    versions_seen: dict[str, ChannelVersions]
    updated_channels: list[str] | None


class CheckpointTuple(NamedTuple):
    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_config: RunnableConfig | None = None
    pending_writes: list[PendingWrite] | None = None


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


class Commit(NamedTuple):
    """What the engine wants to be durable, as one atomic unit.

    `writes` belong to the checkpoint `parent_id`; `checkpoint`, if given, becomes its child and the new head.
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


class BaseCheckpointSaver(Generic[V]):
    """Signatures only; the storage room completes defaults and docstrings."""

    serde: SerializerProtocol
    leases: bool = False
    """Whether `acquire`, `renew` and `release` guard a thread across processes."""

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None: ...

    # -- the classic contract, each with an `a` twin
    def get(self, config: RunnableConfig) -> Checkpoint | None: ...
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None: ...
    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]: ...
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig: ...
    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None: ...
    def delete_thread(self, thread_id: str) -> None: ...
    def delete_for_runs(self, run_ids: Sequence[str]) -> None: ...
    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None: ...
    def prune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: Literal["keep_latest", "delete"] = "keep_latest",
    ) -> None: ...
    def get_next_version(self, current: V | None, channel: None) -> V: ...

    # -- the engine's door
    def prepare(self, commit: Commit) -> Any:
        """Encode a commit now, without I/O; SerializationError names channel and path."""

    def commit(self, prepared: Sequence[Any]) -> bool:
        """Make prepared commits durable, all or nothing, in order.

        Returns True if somebody asked the lease's holder to stop (`request_stop`).
        Raises ConflictError (nothing written) if the head isn't `expected_head` or the lease's generation is old.
        Idempotent: committing the same checkpoint id again with the same parent succeeds without a change.
        """

    async def acommit(self, prepared: Sequence[Any]) -> bool: ...
    def get_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        """Newest checkpoint id of the namespace."""

    async def aget_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None: ...
    def threads(self, *, limit: int | None = None, after: str | None = None) -> Iterator[str]:
        """Thread ids in ascending order (keyset-paged by `after`)."""

    def athreads(self, *, limit: int | None = None, after: str | None = None) -> AsyncIterator[str]: ...

    # -- leases (only where `leases` is True), each with an `a` twin for acquire/release
    def acquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        """One attempt; None while somebody else holds the thread's lease."""

    def renew(self, leases: Sequence[Lease], ttl: float) -> Sequence[Literal["held", "lost", "stop"]]: ...
    def release(self, lease: Lease) -> None: ...
    def request_stop(self, thread_id: str) -> None:
        """Ask the holder to stop at its next superstep."""
