"""What stores on tables share: how operations are made and run, in both colours."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from perdure.checkpoint.sealing import Rekeyed
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.database.operation import Op as Operation
from perdure.store import rekeying, tables
from perdure.store.base import IndexConfig, Op, PutOp, Result, TTLConfig
from perdure.store.base.expiring import ExpiringStore, Life
from perdure.store.base.plan import Batch, Key, index_of
from perdure.store.nearest import Nearest


class TableStore(ExpiringStore):
    """A store whose items are rows.

    Args:
        sql: The backend's statements by name.
        index: How items are made searchable by meaning.
        ttl: How long items live.
        serde: Turns values into bytes.
    """

    def __init__(
        self,
        sql: Mapping[str, str],
        *,
        index: IndexConfig | None,
        ttl: TTLConfig | None,
        serde: SerializerProtocol | None,
    ) -> None:
        super().__init__(ttl)
        self.index_config = index
        self._index = index_of(index)
        self._serde = serde or JsonPlusSerializer()
        self._sql = sql
        self._near: Nearest | None = None

    @abstractmethod
    def _run(self, make: Callable[[], Operation[Any]], *, writes: bool) -> Any:
        """Run an operation, once the tables are ready."""

    @abstractmethod
    async def _arun(self, make: Callable[[], Operation[Any]], *, writes: bool) -> Any:
        """Async twin of `_run`."""

    @abstractmethod
    def close(self) -> None:
        """Stop sweeping, and close what the store has opened."""

    @abstractmethod
    async def aclose(self) -> None:
        """Async twin of `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- operations

    def _asking(self, asked: Batch) -> Callable[[], Operation[tables.Outcome]]:
        values = tables.encode(self._serde, asked)
        now = time.time()
        # Made when it is run: how the database finds vectors may be known only when its tables are ready.
        return lambda: tables.batch(self._sql, self._serde, asked, values, now, self._near)

    def _writes(self, asked: Batch) -> bool:
        """Tell whether a batch needs a transaction of its own."""
        return bool(asked.puts)

    def _refreshing(self, done: tables.Outcome) -> Callable[[], Operation[None]]:
        return partial(tables.refresh, self._sql, done.read, time.time())

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        asked = Batch(ops, self._index)
        asked.embed()
        done = self._run(self._asking(asked), writes=self._writes(asked))
        if done.read:
            self._run(self._refreshing(done), writes=True)
        return done.results  # type: ignore[no-any-return]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        asked = Batch(ops, self._index)
        await asked.aembed()
        done = await self._arun(self._asking(asked), writes=self._writes(asked))
        if done.read:
            await self._arun(self._refreshing(done), writes=True)
        return done.results  # type: ignore[no-any-return]

    def stored_below(self, namespace: Sequence[str]) -> list[bytes]:
        """Return the values of all items in a namespace and below it, as they are stored."""
        return self._run(partial(tables.stored_below, self._sql, namespace), writes=False)  # type: ignore[no-any-return]

    @property
    def has_keys(self) -> bool:
        """Whether values are encrypted by keys that can be changed."""
        return hasattr(self._serde, "renewed")

    def rekey(self) -> Rekeyed:
        """Encrypt with the current key what is encrypted with another one; the store may be in use.

        Raises:
            UsageError: The store has no keys.
            CorruptCheckpointError: An item can't be read; what was done before stays done.
        """
        done, after = Rekeyed(), 0
        while after is not None:
            some, after = self._run(partial(rekeying.rekey_some, self._sql, self._serde, after), writes=True)
            done = done.plus(some)
        return done

    async def arekey(self) -> Rekeyed:
        """Async twin of `rekey`."""
        done, after = Rekeyed(), 0
        while after is not None:
            some, after = await self._arun(partial(rekeying.rekey_some, self._sql, self._serde, after), writes=True)
            done = done.plus(some)
        return done

    def lives(self, keys: Sequence[Key]) -> list[Life | None]:
        return self._run(partial(tables.lives, self._sql, keys, time.time()), writes=False)  # type: ignore[no-any-return]

    async def alives(self, keys: Sequence[Key]) -> list[Life | None]:
        """Async twin of `lives`."""
        return await self._arun(partial(tables.lives, self._sql, keys, time.time()), writes=False)  # type: ignore[no-any-return]

    def _restoring(self, asked: Batch, items: Sequence[tuple[PutOp, Life]]) -> Callable[[], Operation[None]]:
        values = tables.encode(self._serde, asked)
        lives = {(tuple(op.namespace), op.key): life for op, life in items}
        now = time.time()
        return lambda: tables.restore(self._sql, asked, values, lives, now, self._near)

    def restore(self, items: Sequence[tuple[PutOp, Life]]) -> None:
        asked = Batch([op for op, _ in items], self._index)
        asked.embed()
        self._run(self._restoring(asked, items), writes=True)

    async def arestore(self, items: Sequence[tuple[PutOp, Life]]) -> None:
        """Async twin of `restore`."""
        asked = Batch([op for op, _ in items], self._index)
        await asked.aembed()
        await self._arun(self._restoring(asked, items), writes=True)

    def sweep_ttl(self) -> int:
        return self._run(partial(tables.sweep, self._sql, time.time()), writes=True)  # type: ignore[no-any-return]
