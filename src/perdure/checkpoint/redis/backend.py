"""Threads of rows in Redis: a thread is three keys that share a hash tag, so that a cluster keeps them together.

- Its rows, a hash.
- Its order, a sorted set of the fields that are asked for in order: all scores are 0.
- Its lease, a hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from perdure.checkpoint.base import Lease
from perdure.checkpoint.diagnosis import Check, check_clock, judge
from perdure.checkpoint.rows import Asking, Change, Directory, Held, Listed, Member, RowBackend, Sight
from perdure.checkpoint.rows.keys import END, decoded, encoded, number_of
from perdure.database.redis import looking
from perdure.database.redis.commands import between, scripts, tagged
from perdure.database.redis.driver import Command

_APPLY, _LEASE, _ONE, _PAGE = scripts(Path(__file__).with_name("scripts"), "apply", "lease", "one", "page")


class RedisRows(RowBackend):
    """Rows in one Redis or Valkey.

    Args:
        prefix: What all keys begin with.
        ttl: Seconds since its last write until a thread is forgotten; None: never.
        is_renewed: Whether reading a thread's checkpoint makes it last as long again.
        where: The server, for people.
    """

    def __init__(self, prefix: str, ttl: float | None, *, is_renewed: bool, where: str) -> None:
        self._prefix = prefix
        self._ttl = 0 if ttl is None else max(1, int(ttl * 1000))
        self._is_renewed = is_renewed
        self._where = where

    def _of(self, thread_id: str) -> tuple[bytes, bytes, bytes]:
        """Return a thread's keys: rows, order, lease."""
        start = encoded(tagged(self._prefix, thread_id))
        return start, start + b":o", start + b":l"

    # -- rows

    def get(self, thread_id: str, keys: Sequence[bytes]) -> Asking[Sequence[bytes | None]]:
        return (yield [("HMGET", self._of(thread_id)[0], *keys)])[0]  # type: ignore[no-any-return]

    def keys(
        self, thread_id: str, start: bytes, end: bytes, *, limit: int | None = None, newest_first: bool = False
    ) -> Asking[Sequence[bytes]]:
        rows, order, _ = self._of(thread_id)
        if start[:1] == b"p":  # they have no order
            [names] = yield [("HKEYS", rows)]
            return sorted((name for name in names if start <= name < end), reverse=newest_first)
        return (yield [between(order, start, end, limit, newest_first=newest_first)])[0]  # type: ignore[no-any-return]

    def apply(self, changes: Sequence[Change], members: Sequence[Member]) -> Asking[Sequence[bool] | None]:
        names = [key for change in changes for key in self._of(change.thread_id)]
        compared, stored, gone = zip(*map(self._words, changes), strict=True)
        listing = self._naming("ZADD", members, 0)
        replies = yield [*listing, (_APPLY, len(names), *names, *chain(*compared, *stored, *gone)), *listing]
        done, *stops = replies[len(listing)]
        return [stop == b"1" for stop in stops] if done else None

    def _words(self, change: Change) -> tuple[Command, Command, Command]:
        """Return what `apply.lua` takes for a thread, for each of its passes."""
        lease = (encoded(change.lease.holder), change.lease.generation) if change.lease else ("", "")
        guards = [(key, data or b"") for key, data in change.guards.items()]
        sets = [(key, data) for key, data in change.rows.items() if data is not None]
        dels = [key for key, data in change.rows.items() if data is None]
        gone = (int(change.drops), len(dels), *dels, self._ttl if change.rows else 0)
        return (*lease, len(guards), *chain(*guards)), (len(sets), *chain(*sets)), gone

    def there(self, thread_ids: Sequence[str]) -> Asking[Sequence[bool]]:
        return (yield [("EXISTS", self._of(thread_id)[0]) for thread_id in thread_ids])

    # -- directories

    def _naming(self, command: str, members: Sequence[Member], *score: int) -> list[Command]:
        return [(command, encoded(self._prefix + name), *score, member) for name, member in members]

    def members(self, name: Directory, start: bytes, end: bytes | None, limit: int | None) -> Asking[Sequence[bytes]]:
        return (yield [between(encoded(self._prefix + name), start, end, limit)])[0]  # type: ignore[no-any-return]

    def enlist(self, members: Sequence[Member]) -> Asking[None]:
        yield self._naming("ZADD", members, 0)

    def unlist(self, members: Sequence[Member], thread_ids: Sequence[str]) -> Asking[Sequence[bool]]:
        removing = self._naming("ZREM", members)
        replies = yield [*removing, *[("EXISTS", self._of(thread_id)[0]) for thread_id in thread_ids]]
        return replies[len(removing) :]

    # -- leases

    def lease(self, thread_id: str) -> Asking[Held | None]:
        [(holder, generation, stop)] = yield [("HMGET", self._of(thread_id)[2], "holder", "generation", "stop")]
        return None if holder is None else Held(decoded(holder), number_of(generation), stop == b"1")

    def _leasing(self, what: str, lease: Lease, seconds: float = 0, dead: str = "") -> Command:
        words = (what, encoded(lease.holder), lease.generation, int(seconds * 1000), self._ttl, encoded(dead))
        return (_LEASE, 1, self._of(lease.thread_id)[2], *words)

    def acquire(self, thread_id: str, holder: str, seconds: float, dead: Lease | None = None) -> Asking[Lease]:
        wanted = Lease(thread_id, holder, dead.generation if dead else 0)
        [(owner, generation)] = yield [self._leasing("acquire", wanted, seconds, dead.holder if dead else "")]
        return Lease(thread_id, decoded(owner), number_of(generation))

    def renew(self, lease: Lease, seconds: float) -> Asking[bool | None]:
        [reply] = yield [self._leasing("renew", lease, seconds)]
        return reply[0] == b"1" if reply else None

    def release(self, lease: Lease) -> Asking[None]:
        yield [self._leasing("release", lease)]

    def request_stop(self, thread_id: str) -> Asking[None]:
        yield [self._leasing("stop", Lease(thread_id, "", 0))]

    # -- in one round trip

    def checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Asking[Sight | None]:
        keys = self._of(thread_id)[:2]
        # Only what is to be forgotten at all: a thread with rules of its own isn't.
        renewing = [("PEXPIRE", key, self._ttl, "XX") for key in keys] if self._is_renewed else []
        reply, *_ = yield [(_ONE, 2, *keys, b"n" + encoded(checkpoint_ns), encoded(checkpoint_id or "")), *renewing]
        if not reply:
            return None
        state, found_id, row, next_id, following, *writes = reply
        return Sight(state, found_id, row, (next_id, following), list(zip(writes[::2], writes[1::2], strict=True)))

    def newest(
        self, thread_id: str, checkpoint_ns: str | None, least: str, greatest: str | None, limit: int
    ) -> Asking[Sequence[Listed]]:
        name = b"*" if checkpoint_ns is None else b"n" + encoded(checkpoint_ns)
        most = END if greatest is None else encoded(greatest)
        [reply] = yield [(_PAGE, 2, *self._of(thread_id)[:2], name, encoded(least), most, limit)]
        return [Listed(space, state, [field[9:] for field in fields]) for space, state, fields in reply]

    # -- the server

    def look(self) -> Asking[None]:
        self.spans_threads = not (yield from looking.look(self._where, expires=self._ttl > 0))

    def diagnosing(self) -> Asking[list[Check]]:
        facts, clock = yield from looking.facts()
        checks = [judge(one.name, one.found, is_well=one.is_well, advice=one.advice) for one in facts]
        return [*checks, check_clock(clock, "leases go by the server's clock; times in checkpoints by each machine's")]
