"""Hints by Valkey or Redis: two connections a process, nothing is kept there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

try:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub as Subscription
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    import redis
except ImportError as missing:
    raise ImportError(
        "redis is named, but redis-py isn't installed: pip install 'perdure[redis]'", name=missing.name
    ) from missing

from perdure.errors import InvalidConfigError
from perdure.server.tasks import end

if TYPE_CHECKING:
    from perdure.server.config_file import RedisSpec
    from perdure.server.hints import Take

_CHANNEL: Final = "perdure:hints"
_TIMEOUT: Final = 5.0


class PubSub:
    """A wire of `perdure.server.hints`.

    A message is who sends it, and texts, each a line. Whoever else writes there can only make somebody look.

    Args:
        spec: Where it is.

    Raises:
        InvalidConfigError: It is no URL of a Valkey or Redis.
    """

    errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)

    def __init__(self, spec: RedisSpec) -> None:
        self._url = spec.uri
        self._channel = f"{spec.key_prefix}{_CHANNEL}"
        self._mine = uuid.uuid4().hex.encode()
        try:
            pool = self._client().connection_pool
            pool.connection_class(**pool.connection_kwargs)  # connects to nothing yet, but looks at each option
        except (ValueError, TypeError) as e:
            raise InvalidConfigError(f"redis: {e}", hint="REDIS_URI=redis://user:password@host:6379/0") from e
        place = pool.connection_kwargs
        self.name = f"Valkey or Redis at {place.get('path') or place.get('host', 'localhost')}"

    def _client(self) -> Redis:
        # A lost connection is for `Hints` to notice: everybody polls from then on.
        never: Any = Retry(NoBackoff(), 0)
        return Redis.from_url(self._url, retry=never, socket_connect_timeout=_TIMEOUT, socket_timeout=_TIMEOUT)

    async def carry(self, up: Callable[[], None], take: Take, heard: Callable[[str], None]) -> None:
        """Tell on one connection, hear on another; when one is lost, both end."""
        async with self._client() as client, client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            up()
            works = (self._tell(client, take), self._hear(subscription, heard))
            tasks = [asyncio.create_task(work) for work in works]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end(*tasks)
            for task in tasks:
                if not task.cancelled():
                    await task  # raises

    async def _tell(self, client: Redis, take: Take) -> NoReturn:
        while True:
            await client.publish(self._channel, b"\n".join([self._mine, *(text.encode() for text in await take())]))

    async def _hear(self, subscription: Subscription, heard: Callable[[str], None]) -> NoReturn:
        while True:
            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=None)
            if message is None:
                continue
            sender, *texts = message["data"].split(b"\n")
            if sender != self._mine:
                for text in texts:
                    heard(text.decode(errors="replace"))
