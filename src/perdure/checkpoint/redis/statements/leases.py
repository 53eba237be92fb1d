"""Statements about leases: commands of their own."""

from __future__ import annotations

from typing import Any, Final

from perdure.checkpoint.redis.keys import decoded, encoded
from perdure.checkpoint.redis.statements.answering import answers, script
from perdure.checkpoint.redis.view import Reading, View
from perdure.database.redis.driver import Command

LEASE: Final = script("lease")


@answers
def lease(view: View, thread_id: str) -> Reading:
    thread = view.thread(thread_id)
    if view.beliefs is not None and thread.lease is not None:
        return [(thread.lease.holder, thread.lease.generation, 0, 0)]
    [(holder, generation, expires, stop)] = yield [
        ("HMGET", thread.lease_key, "holder", "generation", "expires", "stop")
    ]
    return [] if holder is None else [(decoded(holder), int(generation), float(expires) / 1000, int(stop))]


def lease_command(
    view: View, what: str, thread_id: str, holder: str = "", generation: Any = "", seconds: float = 0, dead: str = ""
) -> Command:
    """Return the command that does something with a lease."""
    key = view.keys.of(thread_id)[2]
    return LEASE, 1, key, what, encoded(holder), generation, int(seconds * 1000), view.life.ttl, encoded(dead)


@answers
def renew_lease(view: View, seconds: float, thread_id: str, holder: str, generation: int) -> Reading:
    [reply] = yield [lease_command(view, "renew", thread_id, holder, generation, seconds)]
    return [(int(reply[0]),)] if reply else []


@answers
def release_lease(view: View, thread_id: str, holder: str, generation: int) -> Reading:
    yield [lease_command(view, "release", thread_id, holder, generation)]
    return []


@answers
def request_stop(view: View, thread_id: str) -> Reading:
    yield [lease_command(view, "stop", thread_id)]
    return []
