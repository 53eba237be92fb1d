"""Leases on threads, as operations. See docs/adr/0004-leases-in-sqlite.md."""

from __future__ import annotations

import time
from collections.abc import Sequence

from perdure.checkpoint.base import Lease, LeaseState
from perdure.checkpoint.liveness import is_dead
from perdure.checkpoint.operation import Op
from perdure.checkpoint.sqlite.operations import SQL


def acquire(thread_id: str, holder: str, ttl: float) -> Op[Lease | None]:
    """Take a lease that is free, expired, held by a dead process, or held by this holder."""
    [rows] = yield [(SQL["lease"], (thread_id,))]
    now = time.time()
    generation = 1
    if rows:
        owner, generation, expires_at, _ = rows[0]
        if owner == holder:
            renewed = (now + ttl, thread_id, holder, generation)
            yield [(SQL["renew_lease"], renewed)]
            return Lease(thread_id, holder, generation)
        if owner and expires_at > now and not is_dead(owner):
            return None
        generation += 1
    yield [(SQL["take_lease"], (thread_id, holder, generation, now + ttl))]
    return Lease(thread_id, holder, generation)


def renew(leases: Sequence[Lease], ttl: float) -> Op[list[LeaseState]]:
    """Extend leases that are still held."""
    until = time.time() + ttl
    replies = yield [(SQL["renew_lease"], (until, *lease)) for lease in leases]
    return ["lost" if not rows else "stop" if rows[0][0] else "held" for rows in replies]


def release(lease: Lease) -> Op[None]:
    """Give a lease back."""
    yield [(SQL["release_lease"], tuple(lease))]


def request_stop(thread_id: str) -> Op[None]:
    """Mark a lease, for its holder to see at the next commit or renewal."""
    yield [(SQL["request_stop"], (thread_id,))]
