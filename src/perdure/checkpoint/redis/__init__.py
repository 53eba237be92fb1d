"""A saver on Valkey or Redis 7 and later: one server, any number of threads, tasks, processes and machines."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode

from redis.exceptions import NoPermissionError

from perdure.checkpoint.base import Lease, V
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.redis import scrubbing
from perdure.checkpoint.redis.diagnosing import checks
from perdure.checkpoint.redis.dialect import RedisDialect
from perdure.checkpoint.redis.keys import Keys
from perdure.checkpoint.redis.transaction import Transactions, acquire
from perdure.checkpoint.redis.view import Life
from perdure.checkpoint.scrubbing import Chunk, Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables import writing
from perdure.checkpoint.tables.saver import Kind
from perdure.checkpoint.tables.served import ServedSaver
from perdure.database.operation import Op
from perdure.database.redis.driver import Driver, Exchange, LoopDriver, client_for, connect
from perdure.errors import InvalidConfigError, StorageError

__all__ = ["RedisSaver", "open_url"]

_OLDEST: Final = 7


class RedisSaver(ServedSaver[V]):
    """Stores checkpoints in Valkey or Redis, without modules.

    One object serves sync and async callers, any number of threads and event loops. A superstep is committed by one
    script, all or nothing, in one round trip. Lost connections and restarts of the server cost a delay: every operation
    may be repeated, so it is.

    What is acknowledged is as safe as the server makes it: with `appendonly yes` and `appendfsync always` it survives a
    power failure; with `everysec` the last second may be lost; without an append-only file whatever came after the last
    snapshot. docs/redis.md says more.

    Args:
        client: A `redis.Redis`; or a `redis.asyncio.Redis`, which serves async callers of its event loop only. The
            caller closes it. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        prefix: What all keys begin with.
        ttl: Seconds after its last write until a thread is forgotten; None: never.
        refresh_on_read: Whether reading a thread's checkpoint makes it last as long again.
        retry_for: Seconds to go on trying when the server is away.
    """

    def __init__(
        self,
        client: Any,
        *,
        serde: SerializerProtocol | None = None,
        prefix: str = "perdure:",
        ttl: float | None = None,
        refresh_on_read: bool = False,
        retry_for: float = 30.0,
    ) -> None:
        super().__init__(RedisDialect(), serde=serde)
        if ttl is not None and ttl <= 0:
            raise InvalidConfigError(f"ttl must be more than 0 seconds, not {ttl}")
        if refresh_on_read and ttl is None:
            raise InvalidConfigError("refresh_on_read has no meaning without a ttl")
        if "{" in prefix:
            raise InvalidConfigError("a prefix can't have a brace: the thread's id is the keys' hash tag")
        self._owns = isinstance(client, Driver)
        self._driver: Driver | LoopDriver = client if isinstance(client, Driver) else client_for(client, retry_for)
        self._keys = Keys(prefix)
        self._life = Life(0 if ttl is None else max(1, int(ttl * 1000)), refresh_on_read)
        self._transactions = Transactions(self._keys, self._life)
        self._ready = False

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        pool_size: int = 10,
        timeout: float = 10.0,
        retry_for: float = 30.0,
        **options: Any,
    ) -> Self:
        """Connect to a server, when it is first used; the caller closes the saver, by `close()` or a `with` block.

        Args:
            conn_string: `redis://user:password@host:port/number`, `rediss://` for TLS, or `unix://path`; behind a `?`,
                `prefix=...` and `ttl=...` may say what the options of these names do.
            pool_size: At most so many connections.
            timeout: Seconds that the server may take for an answer.
            retry_for: Seconds to go on trying when the server is away.
            options: See the class.

        Raises:
            InvalidConfigError: It is no such URL.
        """
        if pool_size < 1:
            raise InvalidConfigError(f"pool_size must be at least 1, not {pool_size}")
        url, named = _split(conn_string)
        driver = Driver(connect(url, pool_size, timeout), retry_for, owns=True)
        return cls(driver, retry_for=retry_for, **named | options)

    # -- the server

    def setup(self) -> None:
        """Look whether the server is one that can be used. Optional: the first use does it.

        Raises:
            StorageError: It is too old.
        """
        if not self._ready:
            try:
                self._driver.run(self._looking)
            except StorageError as e:
                _forgive(e)
            self._ready = True

    async def asetup(self) -> None:
        """Async twin of `setup`."""
        if not self._ready:
            try:
                await self._driver.arun(self._looking)
            except StorageError as e:
                _forgive(e)
            self._ready = True

    def _looking(self) -> Exchange[None]:
        server, memory, cluster = yield [("INFO", section) for section in ("server", "memory", "cluster")]
        version = str(server.get("redis_version", ""))
        if int(version.partition(".")[0] or 0) < _OLDEST:
            raise StorageError(
                f"Redis, {self._driver.where}: version {version} is too old",
                hint=f"perdure needs Redis {_OLDEST} or later, or any Valkey",
            )
        self._transactions.is_cluster = bool(cluster.get("cluster_enabled"))
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        at_risk = policy.startswith("allkeys") or (policy.startswith("volatile") and self._life.ttl > 0)
        if at_risk and memory.get("maxmemory"):
            warnings.warn(
                f"the Redis at {self._driver.where} drops keys when its memory is full (maxmemory-policy {policy}): "
                "threads may vanish. Use a server of its own with `maxmemory-policy noeviction`",
                RuntimeWarning,
                stacklevel=2,
            )

    def forget_expired(self) -> int:
        """Take threads whose time is over off the lists of threads and runs; return how many there were.

        Only needed with a `ttl`, now and then: nobody is told when Redis forgets a thread.
        """
        return self._driver.run(self._transactions.forgetting)

    async def aforget_expired(self) -> int:
        """Async twin of `forget_expired`."""
        return await self._driver.arun(self._transactions.forgetting)

    def diagnose(self) -> Sequence[Check]:
        return self._driver.run(checks)

    async def adiagnose(self) -> Sequence[Check]:
        return await self._driver.arun(checks)

    def scrub(self, timeout: float = 30.0) -> Scrub:
        self.setup()
        if self._transactions.is_cluster:
            return Scrub(failed=("each node of a cluster has files of its own: BGREWRITEAOF and BGSAVE on each",))
        self.forget_expired()  # the lists of runs may still name threads that are gone
        return scrubbing.scrub(self._driver, timeout)

    def raw(self) -> Iterator[Chunk]:
        self.setup()
        if self._transactions.is_cluster:
            return iter((Chunk("the nodes of the cluster", 0, b"", "they aren't looked at one by one"),))
        return scrubbing.read(self._driver, self._keys.prefix)

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

    def _committing(self, prepared: Sequence[Prepared]) -> Callable[[], Exchange[tuple[bool, bool]]]:
        leases = [one.lease for one in prepared if one.lease is not None]
        make = partial(writing.commit, self._dialect, prepared)
        return partial(self._transactions.writing, make, leases)

    def acquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        if not self._ready:
            self.setup()
        return self._driver.run(partial(acquire, self._keys, self._life, thread_id, holder, ttl))

    async def aacquire(self, thread_id: str, holder: str, ttl: float) -> Lease | None:
        if not self._ready:
            await self.asetup()
        return await self._driver.arun(partial(acquire, self._keys, self._life, thread_id, holder, ttl))

    def _acquiring(self, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
        raise NotImplementedError  # `acquire` needs no statements


def _split(url: str) -> tuple[str, dict[str, Any]]:
    """Take the saver's own options out of a URL."""
    address, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    named: dict[str, Any] = {name: value for name, value in pairs if name in {"prefix", "ttl"}}
    if "ttl" in named:
        try:
            named["ttl"] = float(named["ttl"])
        except ValueError as e:
            raise InvalidConfigError(f"ttl must be a number of seconds, not {named['ttl']!r}") from e
    rest = urlencode([pair for pair in pairs if pair[0] not in named])
    return (f"{address}?{rest}" if rest else address), named


def _forgive(error: StorageError) -> None:
    """Let one pass who may not ask what the server is like."""
    if not isinstance(error.__cause__, NoPermissionError):
        raise error


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return RedisSaver.from_conn_string(url, **options)


def __getattr__(name: str) -> object:
    if name == "AsyncRedisSaver":  # a subclass, in a module of its own
        from perdure.checkpoint.redis.aio import AsyncRedisSaver

        return AsyncRedisSaver
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
