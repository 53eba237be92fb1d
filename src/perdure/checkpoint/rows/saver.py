"""A saver over a backend of rows: what is left to a backend is to open, and to name its driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from perdure.checkpoint.base import Lease, V
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.rows.backend import Asking, RowBackend
from perdure.checkpoint.rows.dialect import RowDialect
from perdure.checkpoint.rows.transactions import Transactions
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables import writing
from perdure.checkpoint.tables.saver import Kind
from perdure.checkpoint.tables.served import ServedSaver
from perdure.database.operation import Op
from perdure.errors import StorageError

T = TypeVar("T")


class RowDriver(Protocol):
    """Runs what a backend's primitives yield, and begins anew after errors that pass.

    Attributes:
        where: What it connects to, for people.
    """

    where: str

    def run(self, make: Callable[[], Asking[T]]) -> T:
        """Run in this thread."""
        ...

    def run_aside(self, make: Callable[[], Asking[None]]) -> None:
        """Run in this thread; or, not to be waited for, elsewhere, if this thread is in the middle of a `run`."""
        ...

    def arun(self, make: Callable[[], Asking[T]]) -> Awaitable[T]:
        """Run for an async caller."""
        ...

    def close(self) -> None:
        """End, after what is under way."""
        ...

    def abandon(self) -> None:
        """End without waiting for anything."""
        ...


class RowSaver(ServedSaver[V]):
    """Stores checkpoints as rows of a backend. One object serves sync and async callers.

    A superstep is committed by one `apply`, all or nothing.

    Args:
        backend: Keeps the rows.
        driver: Runs the backend's primitives.
        serde: Turns values into bytes.
        owns: Whether it is a mistake not to close the saver.
    """

    _driver: RowDriver

    def __init__(
        self,
        backend: RowBackend,
        driver: RowDriver,
        *,
        serde: SerializerProtocol | None = None,
        owns: bool = False,
    ) -> None:
        super().__init__(RowDialect(), serde=serde)
        self._backend = backend
        self._driver = driver
        self._transactions = Transactions(backend)
        self._owns = owns
        self._ready = False

    # -- the store

    def setup(self) -> None:
        """Look whether the store can be used, and make what has to be made. Optional: the first use does it.

        Raises:
            StorageError: It can't be used.
        """
        if not self._ready:
            try:
                self._driver.run(self._backend.look)
            except StorageError as e:
                self._forgive(e)
            self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        if not self._ready:
            try:
                await self._driver.arun(self._backend.look)
            except StorageError as e:
                self._forgive(e)
            self._ready = True

    def _forgive(self, error: StorageError) -> None:
        """Raise an error of the look at the store, unless it is one that only keeps from looking."""
        raise error

    def forget_expired(self) -> int:
        """Take threads whose time is over off the lists of threads and runs; return how many there were.

        Only needed now and then, of a store that forgets threads by itself: nobody is told when it does.
        """
        return self._driver.run(self._transactions.forgetting)

    async def aforget_expired(self) -> int:
        """Async twin of `forget_expired`."""
        return await self._driver.arun(self._transactions.forgetting)

    def diagnose(self) -> Sequence[Check]:
        return self._driver.run(self._backend.diagnosing)

    async def adiagnose(self) -> Sequence[Check]:
        return await self._driver.arun(self._backend.diagnosing)

    # -- running

    def _run(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        if not self._ready:
            self.setup()
        if kind == "write":
            return self._driver.run(partial(self._transactions.writing, make))[0]
        if kind == "release":
            return self._driver.run_aside(partial(self._transactions.reading, make))
        return self._driver.run(partial(self._transactions.reading, make))

    async def _arun(self, make: Callable[[], Op[Any]], kind: Kind) -> Any:
        if not self._ready:
            await self.asetup()
        if kind == "write":
            return (await self._driver.arun(partial(self._transactions.writing, make)))[0]
        return await self._driver.arun(partial(self._transactions.reading, make))

    def commit(self, prepared: Sequence[Prepared]) -> bool:
        if not self._ready:
            self.setup()
        return any(self._driver.run(self._committing(prepared)))

    async def acommit(self, prepared: Sequence[Prepared]) -> bool:
        if not self._ready:
            await self.asetup()
        return any(await self._driver.arun(self._committing(prepared)))

    def _committing(self, prepared: Sequence[Prepared]) -> Callable[[], Asking[tuple[bool, bool]]]:
        leases = [one.lease for one in prepared if one.lease is not None]
        make = partial(writing.commit, self._dialect, prepared)
        return partial(self._transactions.writing, make, leases)

    def acquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        if not self._ready:
            self.setup()
        return self._driver.run(partial(self._transactions.acquiring, thread_id, holder, ttl))

    async def aacquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        if not self._ready:
            await self.asetup()
        return await self._driver.arun(partial(self._transactions.acquiring, thread_id, holder, ttl))
