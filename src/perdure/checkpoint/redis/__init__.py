"""A saver on Valkey or Redis 7 and later: one server, any number of threads, tasks, processes and machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from redis.exceptions import NoPermissionError

from perdure.checkpoint.base import V
from perdure.checkpoint.redis.backend import RedisRows
from perdure.checkpoint.rows import RowSaver
from perdure.checkpoint.scrubbing import Chunk, Scrub
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.opening import options_of
from perdure.database.redis import scrubbing
from perdure.database.redis.driver import Driver, LoopDriver, client_for, connect
from perdure.errors import InvalidConfigError, StorageError

__all__ = ["RedisSaver", "open_url"]


class RedisSaver(RowSaver[V]):
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
        if ttl is not None and ttl <= 0:
            raise InvalidConfigError(f"ttl must be more than 0 seconds, not {ttl}")
        if refresh_on_read and ttl is None:
            raise InvalidConfigError("refresh_on_read has no meaning without a ttl")
        if "{" in prefix:
            raise InvalidConfigError("a prefix can't have a brace: the thread's id is the keys' hash tag")
        driver: Driver | LoopDriver = client if isinstance(client, Driver) else client_for(client, retry_for)
        rows = RedisRows(prefix, ttl, is_renewed=refresh_on_read, where=driver.where)
        super().__init__(rows, driver, serde=serde, owns=isinstance(client, Driver))
        self._prefix = prefix

    @classmethod
    def open(
        cls, conn_string: str, *, pool_size: int = 10, timeout: float = 10.0, retry_for: float = 30.0, **options: Any
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
        url, named = options_of(conn_string, {"prefix": str, "ttl": float})
        driver = Driver(connect(url, pool_size, timeout), retry_for, owns=True)
        return cls(driver, retry_for=retry_for, **named | options)

    # -- the server

    def _forgive(self, error: StorageError) -> None:
        """Let one pass who may not ask what the server is like."""
        if not isinstance(error.__cause__, NoPermissionError):
            raise error

    def scrub(self, timeout: float = 30.0) -> Scrub:
        self.forget_expired()  # the lists of runs may still name threads that are gone
        return Scrub(*map(tuple, scrubbing.scrub(self._driver, timeout)))

    def raw(self) -> Iterator[Chunk]:
        return (Chunk(*part) for part in scrubbing.read(self._driver, self._prefix.encode()))


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return RedisSaver.from_conn_string(url, **options)


def __getattr__(name: str) -> object:
    if name == "AsyncRedisSaver":  # a subclass, in a module of its own
        from perdure.checkpoint.redis.aio import AsyncRedisSaver

        return AsyncRedisSaver
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
