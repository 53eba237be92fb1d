"""What stores with a time to live share: sweeping by hand, and in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from perdure.store.base import BaseStore, PutOp, TTLConfig
from perdure.store.base.plan import sweep_seconds
from perdure.store.base.sweeping import Sweeper


class Life(NamedTuple):
    """When an item was made, and how long it lives.

    Attributes:
        created_at: ISO 8601 in UTC, with microseconds.
        updated_at: The same.
        expires_at: Seconds since 1970; None: never.
        ttl: Minutes that it lives after it was put, or read; None: for ever.
    """

    created_at: str
    updated_at: str
    expires_at: float | None
    ttl: float | None


class ExpiringStore(BaseStore):
    """A store whose items may have a time to live."""

    supports_ttl = True
    _sweeper: Sweeper | None = None

    def __init__(self, ttl: TTLConfig | None) -> None:
        self.ttl_config = ttl

    def sweep_ttl(self) -> int:
        """Delete what has expired; return how many items that were."""
        raise NotImplementedError

    def lives(self, keys: Sequence[tuple[tuple[str, ...], str]]) -> list[Life | None]:
        """Return the times of items, by namespace and key; None for those that aren't there, or have expired."""
        raise NotImplementedError

    def restore(self, items: Sequence[tuple[PutOp, Life]]) -> None:
        """Put items with the times that they had elsewhere: all or none of them, and as often as one likes."""
        raise NotImplementedError

    def start_ttl_sweeper(self, sweep_interval_minutes: int | None = None) -> Future[None]:
        """Begin to sweep from time to time, in a thread; without effect if it is done already.

        Args:
            sweep_interval_minutes: How often; as the `TTLConfig` says by default.

        Returns:
            A future that is done when the sweeping ends.
        """
        if self._sweeper is None:
            self._sweeper = Sweeper(self, sweep_seconds(self.ttl_config, sweep_interval_minutes))
        return self._sweeper.ended

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop sweeping; tell whether the thread has ended within so many seconds.

        Raises:
            StorageError: A sweep had failed.
        """
        sweeper, self._sweeper = self._sweeper, None
        return sweeper is None or sweeper.stop(timeout)
