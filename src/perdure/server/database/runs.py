"""Operations on runs: creating, renewing, finishing, cancelling.

Rules:
1. A thread's row is its lock. A run has its thread while the thread's `run_id` is the run's; only then is it `running`.
2. A claim makes the run's `generation` grow. What a worker says of a run is said with the generation of its claim, and
   counts only as long as that is the run's: a worker that lost its lease can't finish what another has.
3. Creating a run, what its strategy does to the others, and claiming it at once are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from perdure.database.operation import Op, Statement
from perdure.server.database import Statements, now
from perdure.server.database.orders import RUN, THREAD, Record, record
from perdure.server.encoding import encode_text


class NewRun(NamedTuple):
    """A run to be made.

    Attributes:
        metadata: Its own, and what its thread's metadata is to get from it.
        create_thread: Whether to make the thread if there is none.
        holder: Who would run it at once, if its thread is free; None: it waits in the queue.
        lease: Seconds that the claim lasts.
        keyed: Whether its id is made of the client's idempotency key: if it is there already, it isn't made again.
        watched: Whether its events are to be written down, unless its maker's process runs it.
        queue: Its queue; one with limits is claimed from the queue only.
        queue_key: What its limits a key go by.
        trace: The trace context of who made it.
    """

    run_id: str
    thread_id: str
    assistant_id: str
    graph_id: str
    metadata: Record
    kwargs: Record
    strategy: str
    priority: int
    delay: float
    config: Record
    create_thread: bool
    holder: str | None
    lease: float
    watched: bool
    caller: Record | None
    thread_metadata: Record
    keyed: bool = False
    queue: str = "default"
    queue_key: str | None = None
    trace: Record | None = None


class Created(NamedTuple):
    """What became of a new run.

    Attributes:
        run: It, None if it was refused.
        refusal: `no thread`, `busy`, `not now`; or `made before`, with the run.
        stopped: Running ones that were asked to stop, for it.
        removed: Waiting ones that were deleted or interrupted, for it.
    """

    run: Record | None
    refusal: str | None = None
    stopped: Sequence[str] = ()
    removed: Sequence[str] = ()


def create(sql: Statements, new: NewRun, filters: str | None) -> Op[Created]:
    """Add a run, by the rules of its strategy."""
    moment = now()
    asking: list[Statement] = [
        (sql["lock_thread"], (new.thread_id, filters)),
        (sql["active_runs"], (new.thread_id,)),  # a statement later, so it sees what the lock has waited for
    ]
    if new.create_thread:
        values = (new.thread_id, encode_text(new.thread_metadata), moment, None, None, None)
        asking.insert(0, (sql["add_thread"], values))
    if new.keyed:
        asking.append((sql["get_run"], (new.run_id, new.thread_id, filters)))
    replies = list((yield asking))
    known = replies.pop() if new.keyed else ()
    rows, active = replies[-2:]
    if not rows:
        return Created(None, "no thread")
    if known:
        return Created(record(RUN, known[0]), "made before")
    watched_until, told_until, *columns = rows[0]
    thread = record(THREAD, columns)
    running = [run_id for run_id, status, _ in active if status == "running"]
    waiting = [run_id for run_id, status, _ in active if status == "pending"]
    if active and new.strategy == "reject":
        return Created(None, "busy")
    batch: list[Statement] = []
    if active and new.strategy == "interrupt":
        batch.append((sql["interrupt_pending"], (new.thread_id, "interrupt", moment)))
        batch.append((sql["cancel_running"], (new.thread_id, "interrupt", moment)))
    elif active and new.strategy == "rollback":
        batch.append((sql["delete_pending"], (new.thread_id,)))
        batch.append((sql["cancel_running"], (new.thread_id, "rollback", moment)))
    makes_way = new.strategy in ("interrupt", "rollback")
    claimed = new.holder is not None and new.delay <= 0 and thread["run_id"] is None and not running
    claimed = claimed and (not waiting or makes_way)
    run = _row(new, moment, claimed=claimed)
    if claimed:
        run["watched"] = max(run["watched"], watchers((watched_until, told_until), moment))
    batch.append((sql["add_run"], _values(run, new)))
    metadata = encode_text({**thread["metadata"], **new.thread_metadata})
    config = encode_text(new.config)
    if claimed:
        batch.append((sql["set_thread_busy"], (new.thread_id, metadata, config, new.run_id, moment)))
    else:
        batch.append((sql["set_thread_metadata"], (new.thread_id, metadata, config, "busy", moment)))
    yield batch
    return Created(run, None, running if makes_way else (), waiting if makes_way else ())


def create_if(
    sql: Statements, condition: Callable[[Statements], Op[bool]], new: NewRun, filters: str | None
) -> Op[Created]:
    """Do what `create` does if an operation of the same transaction says so; if not, refuse with `not now`."""
    if not (yield from condition(sql)):
        return Created(None, "not now")
    return (yield from create(sql, new, filters))


def _row(new: NewRun, moment: float, *, claimed: bool) -> Record:
    count = int(claimed)
    return {
        "run_id": new.run_id, "thread_id": new.thread_id, "assistant_id": new.assistant_id, "graph_id": new.graph_id,
        "status": "running" if claimed else "pending", "metadata": new.metadata, "kwargs": new.kwargs,
        "multitask_strategy": new.strategy, "priority": new.priority, "due_at": moment + new.delay,
        "created_at": moment, "updated_at": moment, "attempt": count, "generation": count, "cancel": None,
        "error": None, "watched": int(new.watched and not claimed), "caller": new.caller,
        "queue": new.queue, "queue_key": new.queue_key, "trace": new.trace,
    }  # fmt: skip


def _values(run: Record, new: NewRun) -> tuple[Any, ...]:
    claimed = run["status"] == "running"
    return (
        run["run_id"], run["thread_id"], run["assistant_id"], run["graph_id"], run["status"],
        encode_text(run["metadata"]), encode_text(run["kwargs"]), run["multitask_strategy"], run["priority"],
        run["due_at"], run["created_at"], run["generation"], new.holder if claimed else None,
        run["created_at"] + new.lease if claimed else 0.0, run["watched"],
        None if run["caller"] is None else encode_text(run["caller"]), new.queue, new.queue_key,
        None if new.trace is None else encode_text(new.trace),
    )  # fmt: skip


def watchers(until: Sequence[float], moment: float) -> int:
    """Return how a thread is listened to: 0 by nobody, 2 by somebody, 3 by somebody who is to be told all channels.

    Args:
        until: The thread's `watched_until` and `told_until`.
        moment: Now.
    """
    watched_until, told_until = until
    if told_until > moment:
        return 3
    return 2 if watched_until > moment else 0


class Renewed(NamedTuple):
    """How a claim stands: whether it is still held, what the run was asked, how others than its maker listen."""

    held: bool
    cancel: str | None = None
    watched: int = 0


def renew(sql: Statements, claims: Sequence[tuple[str, str, int]], lease: float) -> Op[list[Renewed]]:
    """Extend claims, given by run, thread and generation."""
    moment = now()
    batch: list[Statement] = [
        (sql["renew_run"], (run_id, generation, moment + lease)) for run_id, _, generation in claims
    ]
    batch.append((sql["watched_threads"], (encode_text([thread_id for _, thread_id, _ in claims]), moment)))
    *rows, threads = yield batch
    watched = {thread_id: watchers(until, moment) for thread_id, *until in threads}
    return [
        Renewed(True, found[0][0], max(watched.get(thread_id, 0), found[0][1])) if found else Renewed(False)
        for found, (_, thread_id, _) in zip(rows, claims, strict=True)
    ]


_FAREWELL: Final = 60.0
"""Seconds that the events of a run's own thread stay at least."""


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        status: Of the run.
        thread_status: Of its thread, if no other run waits there.
        error: What went wrong, as clients see it.
        webhook: The address and text of a message to send, if any.
        events: What is left to write down.
        forget: What goes with it: the `run`, or the `thread`.
        late: Makes what is written down if somebody listens to the thread whom the run hasn't heard of.
    """

    status: str
    thread_status: str
    error: Record | None = None
    webhook: tuple[str, str] | None = None
    events: Sequence[tuple[Any, ...]] = ()
    forget: str | None = None
    late: Callable[[], Sequence[tuple[Any, ...]]] | None = None


class Finished(NamedTuple):
    """Whether a run was ended, or its claim was lost; and whether `Ending.late` was written down."""

    held: bool
    was_late: bool = False


def finish(sql: Statements, run: Record, ending: Ending) -> Op[Finished]:
    """End a run. If the claim doesn't hold any more, nothing is changed."""
    moment = now()
    error = None if ending.error is None else encode_text(ending.error)
    run_id, thread_id = run["run_id"], run["thread_id"]
    [rows] = yield [(sql["finish_run"], (run_id, run["generation"], ending.status, error, moment))]
    if not rows:
        return Finished(held=False)
    # A thread of the run's own is forgotten after this; should the process die before, its time is soon over. Not at
    # once: a sweep takes the events too, and who listens elsewhere may not have read the last ones.
    end = moment + _FAREWELL if ending.forget == "thread" else None
    batch: list[Statement] = [
        (sql["leave_thread"], (thread_id, run_id, ending.thread_status, error, moment, end)),
        *((sql["add_event"], values) for values in ending.events),
    ]
    if ending.webhook is not None:
        batch.append((sql["add_webhook"], (run_id, *ending.webhook, moment)))
    if ending.forget == "run":
        batch += [(sql[name], (run_id,)) for name in ("delete_run", "delete_events_of_run")]
    left, *_ = yield batch
    if ending.late is None or not left or not watchers(left[0], moment):
        return Finished(held=True)
    yield [(sql["add_event"], values) for values in ending.late()]
    return Finished(held=True, was_late=True)


def put_back(sql: Statements, run: Record, delay: float, *, counts: bool = True) -> Op[bool]:
    """Give a run back to the queue, for any worker to go on with; `counts`: as an attempt, of which it has so many."""
    moment = now()
    values = (run["run_id"], run["generation"], moment + delay, moment, int(not counts))
    [rows] = yield [(sql["put_back"], values)]
    if rows:
        yield [(sql["leave_thread_busy"], (run["thread_id"], run["run_id"]))]
    return bool(rows)


class Held(NamedTuple):
    """A run that another worker has."""

    run_id: str
    thread_id: str
    generation: int
    attempt: int
    holder: str
    lease_until: float


def of_others(sql: Statements, holder: str) -> Op[list[Held]]:
    """Return runs that others have, or whose lease has run out; those first whose leases end first."""
    [rows] = yield [(sql["claimed_runs"], (holder, now()))]
    return [Held(*row) for row in rows]


def get(sql: Statements, run_id: str, thread_id: str | None = None, filters: str | None = None) -> Op[Record | None]:
    """Return a run, None if there is none that the filters let be seen."""
    [rows] = yield [(sql["get_run"], (run_id, thread_id, filters))]
    return record(RUN, rows[0]) if rows else None


def listed(sql: Statements, thread_id: str, status: str | None, limit: int, offset: int) -> Op[list[Record]]:
    """Return a thread's runs, newest first."""
    [rows] = yield [(sql["list_runs"], (thread_id, status, limit, offset))]
    return [record(RUN, row) for row in rows]


def look(sql: Statements, asked: Any, metadata: Record, filters: str | None) -> Op[list[Record]]:
    """Return runs of all threads that may be seen, the newest first; one more than asked for, if there is."""
    seen = (encode_text(metadata) if metadata else None, filters)
    values = (asked.status, asked.graph_id, asked.queue, *seen, asked.limit + 1, asked.offset)
    [rows] = yield [(sql["look_runs"], values)]
    return [record(RUN, row) for row in rows]


def delete(sql: Statements, run_id: str) -> Op[None]:
    """Delete a run that has ended, and its events."""
    yield [(sql[name], (run_id,)) for name in ("delete_run", "delete_events_of_run")]


def cancel(sql: Statements, run_id: str, action: str) -> Op[str | None]:
    """Ask a run to stop; return its status before, None if there is no such run.

    One that waits ends here; one that runs is ended by its worker. `action` is `interrupt` or `rollback`.
    """
    moment = now()
    [rows] = yield [(sql["lock_run"], (run_id,))]
    if not rows:
        return None
    run = record(RUN, rows[0])
    if run["status"] == "running":
        yield [(sql["set_cancel"], (run_id, action, moment))]
    elif run["status"] == "pending":
        ending: Statement = (sql["delete_run"], (run_id,))
        if action == "interrupt":
            ending = (sql["end_pending"], (run_id, action, moment))
        yield [ending, (sql["free_thread"], (run["thread_id"], moment))]
    return str(run["status"])


def to_cancel(
    sql: Statements, statuses: Sequence[str], thread_id: str | None, run_ids: Sequence[str] | None, filters: str | None
) -> Op[list[tuple[str, str]]]:
    """Return the ids of runs that are to be cancelled, with their threads."""
    wanted = None if run_ids is None else encode_text(run_ids)
    [rows] = yield [(sql["runs_to_cancel"], (filters, encode_text(statuses), thread_id, wanted))]
    return [(run_id, thread) for run_id, thread in rows]


def watch(sql: Statements, run_id: str) -> Op[None]:
    """Ask whoever runs it to write its events down for others than its maker to read."""
    yield [(sql["watch_run"], (run_id,))]
