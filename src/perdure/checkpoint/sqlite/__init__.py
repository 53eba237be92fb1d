"""A saver on SQLite: one file, any number of threads, tasks and processes of one machine."""

from __future__ import annotations

import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from perdure.checkpoint import records
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
    TaskWrites,
    V,
    check_strategy,
    get_serializable_checkpoint_metadata,
)
from perdure.checkpoint.layout import Record
from perdure.checkpoint.operation import Op
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.sqlite import leases as leasing
from perdure.checkpoint.sqlite import operations, schema
from perdure.checkpoint.sqlite.connection import ApswConnection, Connection, adapt, connect
from perdure.checkpoint.sqlite.driver import Driver
from perdure.errors import InvalidConfigError
from perdure.types import RunnableConfig

__all__ = ["SqliteSaver"]

Synchronous = Literal["FULL", "NORMAL"]

_AHEAD = 8  # checkpoints that a walk reads at once


class SqliteSaver(BaseCheckpointSaver[V]):
    """Stores checkpoints in an SQLite database, in WAL mode.

    One object serves sync and async callers, any number of threads and event loops. Callers that commit at the same
    time share a transaction and its fsync. Other processes of the same machine may use the same file; a network file
    system doesn't work, for WAL needs shared memory.

    Guarantees, by `synchronous`:

    - `FULL`: what was acknowledged survives the death of the process and a power failure. One fsync a commit.
    - `NORMAL`: it survives the death of the process. A power failure, or a crash of the operating system, may take the
      newest commits, never an older one without all that came after it, and never the database's integrity.

    Args:
        connection: An `apsw.Connection`, or a `sqlite3.Connection` made with `check_same_thread=False`. The saver uses
            it alone; the caller closes it. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        synchronous: When a commit counts as durable, see above.
        timeout: Seconds to wait for another process.
    """

    leases = True

    def __init__(
        self,
        connection: Any,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> None:
        super().__init__(serde=serde)
        if synchronous not in ("FULL", "NORMAL"):
            msg = f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}"
            raise InvalidConfigError(msg)
        # What `open` made needs no adapting, and is closed here.
        self._owns = isinstance(connection, ApswConnection)
        self._open(connection if self._owns else adapt(connection), synchronous, timeout)

    def _open(self, connection: Connection, synchronous: str, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._driver = Driver(connection, synchronous)
        self._ready = False
        self._setup_lock = threading.Lock()
        self._lineage = records.Lineage()
        self._closed = False

    @classmethod
    @contextmanager
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> Iterator[Self]:
        """Open a database for the length of a `with` block.

        Args:
            conn_string: A path, `:memory:`, or a `file:` URI of SQLite.
            serde: Turns values into bytes.
            synchronous: `FULL` or `NORMAL`, see the class.
            timeout: Seconds to wait for another process.

        Raises:
            StorageError: The database can't be opened.
        """
        saver = cls.open(conn_string, serde=serde, synchronous=synchronous, timeout=timeout)
        try:
            yield saver
        finally:
            saver.close()

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "FULL",
        timeout: float = 30.0,
    ) -> Self:
        """Open a database; the caller closes the saver, by `close()` or a `with` block."""
        connection = connect(str(conn_string), timeout)
        return cls(connection, serde=serde, synchronous=synchronous, timeout=timeout)

    def setup(self) -> None:
        """Create or migrate the tables. Optional: the first use does it. Safe for many processes at once.

        Raises:
            SchemaVersionError: The database was made by a newer perdure.
        """
        if self._ready:
            return
        with self._setup_lock:
            if not self._ready:
                schema.prepare_file(self._connection, self._timeout)
                schema.migrate(self._connection, self._timeout)
                self._driver.begin()
                self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        self.setup()

    def close(self) -> None:
        """Close the database, after what is under way; a connection that the caller brought stays open."""
        if self._closed:
            return
        self._closed = True
        self._driver.close(self._owns)

    async def aclose(self) -> None:
        """Async twin of `close`."""
        self.close()

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
        if getattr(self, "_owns", False) and not self._closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=1)
            self._closed = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.path}>"

    def _run(self, make: Callable[[], Op[Any]], **how: bool) -> Any:
        self._ready or self.setup()  # type: ignore[func-returns-value]
        return self._driver.run(make, **how)

    async def _arun(self, make: Callable[[], Op[Any]], **how: bool) -> Any:
        self._ready or self.setup()  # type: ignore[func-returns-value]
        return await self._driver.arun(make, **how)

    # -- reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._noted(self._run(partial(operations.get, *parse_address(config))))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._noted(await self._arun(partial(operations.get, *parse_address(config))))

    def _noted(self, found: operations.Found | None) -> CheckpointTuple | None:
        """Decode a checkpoint, and remember its values: a run may go on from it."""
        if found is None:
            return None
        thread_id, checkpoint_ns, _ = found.place
        for channel, value in found.values.items():
            self._lineage.values.note(thread_id, checkpoint_ns, channel, value)
        self._lineage.note(*found.place, found.record.versions)
        return self._decode(found)

    def _decode(self, found: operations.Found) -> CheckpointTuple:
        place, parent_id, record, read, tasks = found
        header = records.decode_header(self.serde, record.blob())
        values = {channel: (value.kind, value.data) for channel, value in read.items()}
        return records.decode_tuple(self.serde, place, parent_id, header, record.versions, values, tasks)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        walk = _Walk(self.serde, config, before, filter, limit)
        while walk.goes_on():
            for found in walk.advance(self._run(walk.next_page())):
                yield self._decode(found)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        walk = _Walk(self.serde, config, before, filter, limit)
        while walk.goes_on():
            for found in walk.advance(await self._arun(walk.next_page())):
                yield self._decode(found)

    def get_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        return self._run(partial(operations.get_head, thread_id, checkpoint_ns))  # type: ignore[no-any-return]

    async def aget_head(self, thread_id: str, checkpoint_ns: str = "") -> str | None:
        return await self._arun(partial(operations.get_head, thread_id, checkpoint_ns))  # type: ignore[no-any-return]

    def threads(self, *, limit: int | None = None, after: str | None = None) -> Iterator[str]:
        return iter(self._run(partial(operations.threads, after, -1 if limit is None else limit)))

    async def athreads(self, *, limit: int | None = None, after: str | None = None) -> AsyncIterator[str]:
        most = -1 if limit is None else limit
        for thread_id in await self._arun(partial(operations.threads, after, most)):
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
        self._run(partial(operations.commit, [one]), writes=True)
        return make_config(one.thread_id, one.checkpoint_ns, checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        one = self._prepare_put(config, checkpoint, metadata, new_versions)
        await self._arun(partial(operations.commit, [one]), writes=True)
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
        self._run(self._putting_writes(config, writes, task_id, task_path), writes=True)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await self._arun(self._putting_writes(config, writes, task_id, task_path), writes=True)

    def _putting_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Callable[[], Op[None]]:
        task = records.encode_task(records.plain_of(self.serde), TaskWrites(task_id, task_path, writes))
        return partial(operations.put_writes, *parse_checkpoint(config), task)

    def prepare(self, commit: Commit) -> Prepared:
        return records.prepare(self.serde, self._lineage, commit)

    def commit(self, prepared: Sequence[Prepared]) -> bool:
        return self._run(partial(operations.commit, prepared), writes=True)  # type: ignore[no-any-return]

    async def acommit(self, prepared: Sequence[Prepared]) -> bool:
        return await self._arun(partial(operations.commit, prepared), writes=True)  # type: ignore[no-any-return]

    def delete_thread(self, thread_id: str) -> None:
        self._run(partial(operations.delete_thread, str(thread_id)), writes=True)
        self._lineage.values.forget(str(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        await self._arun(partial(operations.delete_thread, str(thread_id)), writes=True)
        self._lineage.values.forget(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self._run(partial(operations.delete_for_runs, run_ids), writes=True)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._arun(partial(operations.delete_for_runs, run_ids), writes=True)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if source_thread_id != target_thread_id:
            copying = partial(operations.copy_thread, source_thread_id, target_thread_id)
            self._run(copying, writes=True)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if source_thread_id != target_thread_id:
            copying = partial(operations.copy_thread, source_thread_id, target_thread_id)
            await self._arun(copying, writes=True)

    def prune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: Literal["keep_latest", "delete"] = "keep_latest",
    ) -> None:
        self._run(_pruning(thread_ids, strategy), writes=True)

    async def aprune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: Literal["keep_latest", "delete"] = "keep_latest",
    ) -> None:
        await self._arun(_pruning(thread_ids, strategy), writes=True)

    # -- leases: soft, for a lease that a power failure takes had no living holder any more

    def acquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        return self._run(partial(leasing.acquire, thread_id, holder, ttl), writes=True, soft=True)  # type: ignore[no-any-return]

    async def aacquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        taking = partial(leasing.acquire, thread_id, holder, ttl)
        return await self._arun(taking, writes=True, soft=True)  # type: ignore[no-any-return]

    def renew(self, leases: Sequence[Lease], ttl: float) -> Sequence[LeaseState]:
        return self._run(partial(leasing.renew, leases, ttl), writes=True, soft=True)  # type: ignore[no-any-return]

    async def arenew(self, leases: Sequence[Lease], ttl: float) -> Sequence[LeaseState]:
        return await self._arun(partial(leasing.renew, leases, ttl), writes=True, soft=True)  # type: ignore[no-any-return]

    def release(self, lease: Lease) -> None:
        # An abandoned stream is released by a finalizer, which may run in the middle of a commit.
        self._run(partial(leasing.release, lease), writes=True, soft=True, later=True)

    async def arelease(self, lease: Lease) -> None:
        await self._arun(partial(leasing.release, lease), writes=True, soft=True)

    def request_stop(self, thread_id: str) -> None:
        self._run(partial(leasing.request_stop, thread_id), writes=True, soft=True)

    async def arequest_stop(self, thread_id: str) -> None:
        await self._arun(partial(leasing.request_stop, thread_id), writes=True, soft=True)


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
        self._cursor: operations.Cursor | None = operations.Cursor(self._scope.before, 0)
        self._left = limit
        self._accept: Callable[[Record], bool] | None = None
        if wanted:
            self._accept = lambda record: records.matches(records.decode_header(serde, record.blob()).metadata, wanted)

    def goes_on(self) -> bool:
        return self._cursor is not None and (self._left is None or self._left > 0)

    def next_page(self) -> Callable[[], Op[Any]]:
        size = _AHEAD if self._left is None else min(self._left, _AHEAD)
        assert self._cursor is not None
        return partial(operations.page, self._scope, self._cursor, self._accept, size)

    def advance(self, reply: tuple[Any, operations.Cursor | None]) -> Sequence[operations.Found]:
        found, self._cursor = reply
        if self._left is not None:
            self._left -= len(found)
        return found  # type: ignore[no-any-return]


def _pruning(thread_ids: Sequence[str], strategy: str) -> Callable[[], Op[None]]:
    check_strategy(strategy)
    make = operations.prune if strategy == "keep_latest" else operations.delete_threads
    return partial(make, thread_ids)
