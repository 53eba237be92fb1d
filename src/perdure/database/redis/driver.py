"""Carries commands to a server, in either colour, and again after errors that pass; see `BlockingDriver`."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, TypeVar

import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from perdure.database.attempts import Attempts
from perdure.database.blocking import BlockingDriver, Exchange
from perdure.database.redis.errors import mapped, may_be_retried
from perdure.errors import InvalidConfigError, UsageError

T = TypeVar("T")

Command = tuple[Any, ...]
"""A command's words; or a `Script`, the number of its keys, its keys and arguments."""

_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}


class Script:
    """A Lua script, known to servers by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


def client_for(brought: Any, retry_for: float) -> Driver | LoopDriver:
    """Find out what a caller brought.

    Raises:
        UsageError: It is no client of redis-py, or one that decodes replies.
    """
    is_async = any(cls.__module__.startswith("redis.asyncio") for cls in type(brought).__mro__)
    if not hasattr(brought, "execute_command") or not hasattr(brought, "pipeline"):
        raise UsageError(
            f"a {type(brought).__module__}.{type(brought).__qualname__} is not a client that RedisSaver can use",
            hint="use `RedisSaver.from_conn_string(url)`, or pass a `redis.Redis` or `redis.asyncio.Redis`",
        )
    pool = getattr(brought, "connection_pool", None)
    if pool is not None and pool.connection_kwargs.get("decode_responses"):
        raise InvalidConfigError(
            "the client decodes its replies as text, and what a saver keeps is bytes",
            hint="make it without decode_responses=True",
        )
    return LoopDriver(brought, retry_for) if is_async else Driver(brought, retry_for)


def connect(url: str, pool_size: int, timeout: float) -> redis.Redis:
    """Make a client that connects when it is first used.

    Args:
        url: `redis://user:password@host:port/number`, `rediss://` for TLS, or `unix://path`; `valkey` for `redis`.
        pool_size: At most so many connections; who needs one more waits.
        timeout: Seconds that the server may take for an answer.

    Raises:
        InvalidConfigError: It is no such URL, or no such number.
    """
    if pool_size < 1:
        raise InvalidConfigError(f"pool_size must be at least 1, not {pool_size}")
    scheme, colon, rest = url.partition(":")
    try:
        pool = redis.BlockingConnectionPool.from_url(
            _SCHEMES.get(scheme, scheme) + colon + rest,
            max_connections=pool_size,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=min(timeout, 10.0),
            retry=Retry(NoBackoff(), 0),
        )
        pool.connection_class(**pool.connection_kwargs)  # it doesn't connect yet, but looks at the options
    except (ValueError, TypeError) as e:
        raise InvalidConfigError(
            f"no URL of a Redis: {e}", hint="redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path"
        ) from e
    return redis.Redis(connection_pool=pool)


def _words(command: Command) -> Command:
    return ("EVALSHA", command[0].sha, *command[1:]) if isinstance(command[0], Script) else command


def _missing(batch: Sequence[Command], replies: list[Any]) -> list[int]:
    """Return the places of the scripts that the server doesn't know yet; raise what else went wrong."""
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, NoScriptError):
            raise reply
    return [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


class Driver(BlockingDriver):
    """Runs exchanges on a sync client.

    Args:
        client: Of redis-py.
        retry_for: Seconds to go on trying, since the first failure.
        owns: Whether to close the client.
    """

    def __init__(self, client: Any, retry_for: float, *, owns: bool = False) -> None:
        super().__init__(_place_of(client), retry_for)
        self._client = client
        self._owns = owns

    def _send(self, batch: Sequence[Command]) -> Sequence[Any]:
        try:
            if len(batch) == 1:
                return [self._alone(batch[0])]
            replies = self._pipelined(batch)
            for at in _missing(batch, replies):
                replies[at] = self._alone(batch[at])
        except RedisError as e:
            raise mapped(e, self.where) from e
        return replies

    def _alone(self, command: Command) -> Any:
        try:
            return self._client.execute_command(*_words(command))
        except NoScriptError:
            self._client.execute_command("SCRIPT LOAD", command[0].text)
            return self._client.execute_command(*_words(command))

    def _pipelined(self, batch: Sequence[Command]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for command in batch:
                pipeline.execute_command(*_words(command))
            return pipeline.execute(raise_on_error=False)  # type: ignore[no-any-return]

    def _hang_up(self) -> None:
        if self._owns:
            self._client.close()
            self._client.connection_pool.disconnect()


class LoopDriver:
    """Runs exchanges on an async client that the caller brought, and that belongs to one event loop."""

    def __init__(self, client: Any, retry_for: float) -> None:
        self._client = client
        self._retry_for = retry_for
        self._closed = False
        self.where = _place_of(client)

    def run(self, make: Callable[[], Exchange[T]]) -> T:
        """Refuse.

        Raises:
            UsageError: Always: the client belongs to an event loop, which can't be waited for from here.
        """
        raise UsageError(
            "the saver was given an async client, which serves async callers only",
            hint="use `ainvoke` and the like, or `RedisSaver.from_conn_string(url)`: that serves both",
        )

    run_aside = run

    async def arun(self, make: Callable[[], Exchange[T]]) -> T:
        """Run an exchange."""
        if self._closed:
            raise UsageError("the saver is closed", hint="use it inside of its `with` block")
        attempts = Attempts(self._retry_for)
        while True:
            try:
                return await self._carry(make())
            except RedisError as e:
                pause = attempts.pause() if may_be_retried(e) else None
                if pause is None:
                    raise mapped(e, self.where) from e
                await sleep(pause)

    async def _carry(self, exchange: Exchange[T]) -> T:
        try:
            batch = next(exchange)
            while True:
                batch = exchange.send(await self._send(batch))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            exchange.close()

    async def _send(self, batch: Sequence[Command]) -> Sequence[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in batch:
                pipeline.execute_command(*_words(command))
            replies = await pipeline.execute(raise_on_error=False)
        for at in _missing(batch, replies):
            await self._client.execute_command("SCRIPT LOAD", batch[at][0].text)
            replies[at] = await self._client.execute_command(*_words(batch[at]))
        return replies  # type: ignore[no-any-return]

    def close(self) -> None:
        """Leave the client to the caller."""
        self._closed = True

    abandon = close


def _place_of(client: Any) -> str:
    """Say where a client connects, without its password."""
    pool = getattr(client, "connection_pool", None)
    settings = pool.connection_kwargs if pool is not None else {}
    if "path" in settings:
        return str(settings["path"])
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db') or 0}"
