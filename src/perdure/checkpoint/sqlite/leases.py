"""How a lease is taken. See docs/adr/0005-leases-in-sqlite.md."""

from __future__ import annotations

import time

from perdure.checkpoint.base import Lease
from perdure.checkpoint.liveness import is_dead
from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op


def acquire(dialect: Dialect, thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
    """Take a lease that is free, expired, held by a dead process, or held by this holder."""
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
