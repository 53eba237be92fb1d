"""Operations on the queue: claiming what is due, as far as limits allow.

Rules:
1. A limited queue's row in the limits is locked before its runs are counted, and claimed, in the same transaction: what
   two processes claim at once never exceeds a limit. What runs is counted, not kept: a dead worker's runs count until
   somebody gives them back, and no counter can be wrong. Claims in queues without limits lock nothing of the kind.
2. Locks are taken in the order of the queues' names, and rows of threads and runs only if nobody has them: no deadlock.
3. What a limit holds back takes no place of what may run: each queue is asked for as many runs as it may have now, and
   then the most urgent of all are taken.
4. A rate is kept by one time (GCRA, the leaky bucket as a meter, ITU-T I.371): `free_at` is when what was lent is paid
   back. A run lends 1/rate seconds; as much may be lent as `burst` runs lend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from perdure.database.operation import Op, Statement
from perdure.server.database import Statements, now
from perdure.server.database.orders import RUN, Record, record
from perdure.server.database.runs import watchers
from perdure.server.encoding import encode_text

_ROUNDING: Final = 1e-9


class Limit(NamedTuple):
    """A queue's limits; None: there is none.

    Attributes:
        max_running: How many of its runs run at once, in all processes.
        rate: How many are begun a second.
        burst: How many may be begun at once, if none was for a while.
    """

    queue: str
    max_running: int | None
    rate: float | None
    burst: int
    max_running_per_key: int | None
    rate_per_key: float | None
    burst_per_key: int

    @property
    def is_per_key(self) -> bool:
        """Whether runs of one key have limits of their own."""
        return self.max_running_per_key is not None or self.rate_per_key is not None


class Claimed(NamedTuple):
    """What was claimed, and when a rate lets more be claimed, if something waits for that."""

    runs: list[Record]
    again_at: float | None = None


def claim(sql: Statements, holder: str, lease: float, limit: int, limits: Sequence[Limit] = ()) -> Op[Claimed]:
    """Take runs that are due, whose threads are free, and whose queues have room: the most urgent first."""
    moment = now()
    names = encode_text([one.queue for one in limits])
    asking: list[Statement] = [(sql["due_runs"], (moment, limit, names))]
    if limits:
        asking.append((sql["waiting_queues"], (moment, names)))
    replies = yield asking
    found = [record(RUN, row) for row in replies[0]]
    waiting = {name for (name,) in replies[1]} if limits else set()
    held = [one for one in limits if one.queue in waiting]
    again: list[float] = []
    if held:
        moment = now()
        offered, again = yield from _offered(sql, held, limit, moment)
        # A queue's own order is its rows'; positions are unique, so that this keeps it.
        found = sorted([*found, *offered], key=lambda run: (-run["priority"], run["position"]))
    taken = yield from _take(sql, found[:limit], holder, lease, moment)
    again += yield from _lend(sql, held, taken, moment)
    return Claimed(taken, min(again, default=None))


def _take(sql: Statements, found: Sequence[Record], holder: str, lease: float, moment: float) -> Op[list[Record]]:
    taken: list[Record] = []
    for run in found:
        [free] = yield [(sql["claim_thread"], (run["thread_id"], run["run_id"]))]
        if not free:
            continue
        yield [(sql["claim_run"], (run["run_id"], holder, moment + lease, moment))]
        watched = max(run["watched"], watchers(free[0], moment))
        changes = {"attempt": run["attempt"] + 1, "generation": run["generation"] + 1, "watched": watched}
        taken.append({**run, "status": "running", **changes})
    return taken


def _offered(sql: Statements, held: Sequence[Limit], most: int, moment: float) -> Op[tuple[list[Record], list[float]]]:
    """Lock limited queues; return what each may claim now, and when rates let more be claimed."""
    locking: list[Statement] = []
    for one in held:
        locking += [(sql["add_limit"], (one.queue,)), (sql["lock_limit"], (one.queue,))]
    free_at = [rows[0][0] for rows in (yield locking)[1::2]]
    counts = yield [(sql["running_of_queue"], (one.queue,)) for one in held]
    asking: list[Statement] = []
    again: list[float] = []
    for one, at, [(running,)] in zip(held, free_at, counts, strict=True):
        room = most if one.max_running is None else min(most, one.max_running - running)
        if one.rate is not None and (may_begin := _may_begin(one, at, moment)) < room:
            room = may_begin
            again.append(at - (one.burst - 1) / one.rate if room < 1 else moment + 1 / one.rate)
        if room > 0:
            asking += _asking(sql, one, room, moment)
    replies = (yield asking) if asking else []
    again += [at for [(at,)] in replies[1::2] if at is not None]
    return [record(RUN, row) for rows in replies[::2] for row in rows], again


def _may_begin(limit: Limit, free_at: float, moment: float) -> int:
    """Return how many runs of a queue may be begun now, by its rate."""
    assert limit.rate is not None
    return int(limit.burst - max(0.0, free_at - moment) * limit.rate + _ROUNDING)


def _asking(sql: Statements, one: Limit, room: int, moment: float) -> list[Statement]:
    """Return what asks for a queue's runs, and for when more may be begun."""
    if not one.is_per_key:
        return [(sql["due_runs_of_queue"], (moment, room, one.queue)), (sql["no_key"], ())]
    per_key = (one.max_running_per_key, one.rate_per_key, one.burst_per_key)
    early = 0.0 if one.rate_per_key is None else (one.burst_per_key - 1) / one.rate_per_key
    return [
        (sql["due_runs_by_key"], (moment, room, one.queue, *per_key)),
        (sql["next_free_key"], (moment, one.queue, early)),
    ]


def _lend(sql: Statements, held: Sequence[Limit], taken: Sequence[Record], moment: float) -> Op[list[float]]:
    """Note what the rates have lent to runs that were taken; return when they lend to more of the same keys."""
    batch: list[Statement] = []
    again: list[float] = []
    for one in held:
        own = [run for run in taken if run["queue"] == one.queue]
        if one.rate is not None and own:
            batch.append((sql["lend"], (one.queue, "", moment, len(own) / one.rate)))
        if one.rate_per_key is not None:
            keys = [run["queue_key"] for run in own if run["queue_key"] is not None]
            batch += [(sql["lend"], (one.queue, f"={key}", moment, 1 / one.rate_per_key)) for key in keys]
            again += [moment + 1 / one.rate_per_key] if keys else []
    if batch:
        yield batch
    return again


def sweep(sql: Statements) -> Op[None]:
    """Forget the keys whose rates have lent nothing any more."""
    yield [(sql["sweep_limits"], (now(),))]


def depth(sql: Statements) -> Op[Mapping[str, Mapping[str, tuple[int, float]]]]:
    """Return by queue and status how many runs wait and run, and since when the oldest of each."""
    [rows] = yield [(sql["queue_depth"], ())]
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for queue, status, count, since in rows:
        found.setdefault(queue, {})[status] = (count, since)
    return found
