"""A saver on an object store that speaks S3: nothing but a bucket, and any number of processes and machines.

See docs/s3.md for what it guarantees and what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Self

from obstore.store import S3Store

from perdure.checkpoint.base import Lease, V
from perdure.checkpoint.s3 import scrubbing
from perdure.checkpoint.s3.dialect import S3Dialect
from perdure.checkpoint.s3.sweeping import sweep
from perdure.checkpoint.s3.transactions import Transactions
from perdure.checkpoint.scrubbing import Chunk, Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables.leases import acquire
from perdure.checkpoint.tables.saver import Kind, TableSaver
from perdure.database.opening import Opened
from perdure.database.operation import Op
from perdure.database.s3.exchange import Client
from perdure.database.s3.opening import open_bucket
from perdure.database.s3.probing import make_ready
from perdure.database.s3.versions import Bucket
from perdure.errors import StorageError, UsageError

__all__ = ["S3Saver", "open_url"]


class S3Saver(Opened, TableSaver[V]):
    """Stores checkpoints in a bucket.

    One object serves sync and async callers, any number of threads and event loops; not the children of a fork. A
    superstep is one conditional put, two if it changes more than some KB. A thread is one unit: what spans several (a
    `commit` of two threads) is refused, or done for each by itself (`prune`, `delete_for_runs`).

    Args:
        store: The bucket. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        retry_for: Seconds to go on trying when the store is away or slows down, or others write to the same thread.
    """

    def __init__(self, store: S3Store, *, serde: SerializerProtocol | None = None, retry_for: float = 30.0) -> None:
        super().__init__(S3Dialect(), serde=serde)
        self.client = Client(store)
        self._store = store
        self._transactions = Transactions(retry_for)
        self._ready = False

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        retry_for: float = 30.0,
        request_timeout: float = 10.0,
    ) -> Self:
        """Open a bucket; the caller closes the saver, by `close()` or a `with` block.

        Args:
            conn_string: `s3://bucket/prefix?endpoint=...&region=...`, see `perdure.database.s3.opening.open_bucket`.
            serde: Turns values into bytes.
            retry_for: Seconds to go on trying when the store is away.
            request_timeout: Seconds after which a request counts as lost.

        Raises:
            InvalidConfigError: It is no URL of a bucket.
        """
        return cls(open_bucket(conn_string, request_timeout=request_timeout), serde=serde, retry_for=retry_for)

    def setup(self) -> None:
        """Check that the bucket is there and that the store honours conditions. Optional: the first use does it.

        Raises:
            StorageError: There is no such bucket, the credentials don't do, or the store ignores conditions.
            SchemaVersionError: A newer perdure has written there.
        """
        if not self._ready:
            self.client.run(make_ready(self._transactions.retry_for))
            self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        if not self._ready:
            await self.client.arun(make_ready(self._transactions.retry_for))
            self._ready = True

    def sweep(self, older_than: timedelta = timedelta(hours=1)) -> int:
        """Delete objects that no thread names: what processes left that died between two puts.

        Args:
            older_than: Younger ones may belong to a commit that is under way. By the store's time against this
                machine's, so leave room for both.

        Returns:
            How many it deleted.
        """
        self.setup()
        return self.client.run(sweep(older_than, self._transactions.retry_for))

    async def asweep(self, older_than: timedelta = timedelta(hours=1)) -> int:
        """Async twin of `sweep`."""
        await self.asetup()
        return await self.client.arun(sweep(older_than, self._transactions.retry_for))

    def scrub(self, timeout: float = 30.0) -> Scrub:
        done = [f"{self.sweep()} objects that nobody names were deleted, those of the last hour left out"]
        failed: list[str] = []
        try:
            done.append(f"{Bucket(self._store).delete_old()} old versions of deleted objects were deleted")
        except (StorageError, UsageError) as error:
            failed.append(f"old versions of deleted objects, if the bucket keeps such: {error.args[0]}")
        return Scrub(tuple(done), tuple(failed), ("what the store itself keeps of deleted objects, and its replicas",))

    def raw(self) -> Iterator[Chunk]:
        self.setup()
        retry_for = self._transactions.retry_for
        for some in scrubbing.parts(self.client.run(scrubbing.keys(retry_for))):
            for key, data, opened in self.client.run(scrubbing.read(some, retry_for)):
                yield Chunk(key, 0, data)
                yield Chunk(f"{key}, opened", 0, opened)
        try:
            for name, data in Bucket(self._store).read_old():
                yield Chunk(name, 0, data)
        except (StorageError, UsageError) as error:
            yield Chunk("old versions of objects", 0, b"", str(error.args[0]))

    # -- life

    def close(self) -> None:
        """Stop the threads that sync callers have needed."""
        self._closed = True
        self.client.close()

    async def aclose(self) -> None:
        """Async twin of `close`."""
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._store!r}>"

    # -- running

    def _run(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        self.setup()
        return self.client.run(self._transactions.run(make, kind))

    async def _arun(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        await self.asetup()
        return await self.client.arun(self._transactions.run(make, kind))

    def delete_thread(self, thread_id: str) -> None:
        super().delete_thread(thread_id)
        self.client.run(self._transactions.erase(str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        await super().adelete_thread(thread_id)
        await self.client.arun(self._transactions.erase(str(thread_id)))

    def _acquiring(self, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
        return acquire(self._dialect, thread_id, holder, ttl)


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return S3Saver.from_conn_string(url, **options)
