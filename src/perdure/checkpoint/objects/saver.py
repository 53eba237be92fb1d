"""A saver over objects: what all stores share that replace one object on a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from perdure.checkpoint.base import V
from perdure.checkpoint.objects import scrubbing
from perdure.checkpoint.objects.dialect import ObjectDialect
from perdure.checkpoint.objects.sweeping import sweep
from perdure.checkpoint.objects.transactions import Transactions
from perdure.checkpoint.scrubbing import Chunk, Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables.saver import Kind, TableSaver
from perdure.database.objects.client import Client
from perdure.database.objects.exchange import Patience, list_all, parts, read
from perdure.database.objects.probing import make_ready
from perdure.database.operation import Op
from perdure.errors import StorageError, UsageError


class ObjectSaver(TableSaver[V]):
    """Stores checkpoints in a store of objects; a backend says how one is opened.

    One object serves sync and async callers, any number of threads and event loops. A superstep is one conditional put,
    two if it changes more than some KB. A thread is one unit: what spans several (a `commit` of two threads) is
    refused, or done for each by itself (`prune`, `delete_for_runs`).

    Args:
        client: Sends requests to the store.
        serde: Turns values into bytes.
        retry_for: Seconds to go on trying when the store is away or slows down, or others write to the same thread.
    """

    def __init__(self, client: Client, *, serde: SerializerProtocol | None = None, retry_for: float = 30.0) -> None:
        super().__init__(ObjectDialect(), serde=serde)
        self.client = client
        self._transactions = Transactions(retry_for)
        self._ready = False

    def setup(self) -> None:
        """Check that the store is there and honours conditions. Optional: the first use does it.

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
            done.append(f"{self._delete_old()} old versions of deleted objects were deleted")
        except (StorageError, UsageError) as error:
            failed.append(f"old versions of deleted objects, if the bucket keeps such: {error.args[0]}")
        return Scrub(tuple(done), tuple(failed), ("what the store itself keeps of deleted objects, and its replicas",))

    def raw(self) -> Iterator[Chunk]:
        self.setup()
        retry_for = self._transactions.retry_for
        for room in scrubbing.ROOMS:
            for some in parts(self.client.run(list_all(room, Patience(retry_for)))):
                found = self.client.run(read([one.key for one in some], Patience(retry_for)))
                for key, data in found.items():
                    yield Chunk(key, 0, data)
                    yield Chunk(f"{key}, opened", 0, scrubbing.opened(key, data))
        try:
            for name, data in self._read_old():
                yield Chunk(name, 0, data)
        except (StorageError, UsageError) as error:
            yield Chunk("old versions of objects", 0, b"", str(error.args[0]))

    def _delete_old(self) -> int:
        """Delete all versions of objects that were deleted, if the store keeps such; tell how many.

        Raises:
            StorageError: It can't be done here.
            UsageError: Something has to be installed for it.
        """
        raise StorageError("old versions can't be asked for here")

    def _read_old(self) -> Iterator[tuple[str, bytes]]:
        """Read the versions of objects that aren't the latest: name and bytes. Raises as `_delete_old`."""
        raise StorageError("old versions can't be asked for here")

    # -- life

    def close(self) -> None:
        """Stop the threads that sync callers have needed."""
        self._closed = True
        self.client.close()

    async def aclose(self) -> None:
        """Async twin of `close`."""
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.client!r}>"

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
