"""Operations on leases that only need a statement; how one is taken is a backend's own."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.checkpoint.base import Lease, LeaseState
from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op


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
