"""Operations on leases; a backend whose server has a clock takes them in its own way."""

from __future__ import annotations

import time
from collections.abc import Sequence

from perdure.checkpoint.base import Lease, LeaseState
from perdure.checkpoint.liveness import is_dead
from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op


def acquire(dialect: Dialect, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
    """Take a lease that is free, expired, held by a dead process, or held by this holder; by this machine's clock.

    See docs/adr/0005-leases-in-sqlite.md.
    """
    sql = dialect.sql
    [rows] = yield [(sql["lease"], (thread_id,))]
    now = time.time()
    generation = 1
    if rows:
        owner, generation, expires_at, _ = rows[0]
        if owner == holder:
            renewed = (now + ttl, thread_id, holder, generation)
            yield [(sql["renew_lease"], renewed)]
            return Lease(thread_id, holder, generation)
        if owner and expires_at > now and not is_dead(owner):
            return None
        generation += 1
    yield [(sql["take_lease"], (thread_id, holder, generation, now + ttl))]
    return Lease(thread_id, holder, generation)


def renew(dialect: Dialect, leases: Sequence[Lease], ttl: float) -> Op[list[LeaseState]]:
    """Extend leases that are still held."""
    until = dialect.lease_end(ttl)
    replies = yield [(dialect.sql["renew_lease"], (until, *lease)) for lease in leases]
    return ["lost" if not rows else "stop" if rows[0][0] else "held" for rows in replies]


def release(dialect: Dialect, lease: Lease) -> Op[None]:
    """Give a lease back."""
    yield [(dialect.sql["release_lease"], tuple(lease))]


def request_stop(dialect: Dialect, thread_id: str) -> Op[None]:
    """Mark a lease, for its holder to see at the next commit or renewal."""
    yield [(dialect.sql["request_stop"], (thread_id,))]
