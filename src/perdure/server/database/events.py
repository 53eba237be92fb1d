"""Operations on events: what runs told, written down for readers elsewhere and later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.database.operation import Op
from perdure.server.database import Statements, now
from perdure.server.database.orders import EVENT, Record, record


def add(sql: Statements, rows: Sequence[tuple[Any, ...]]) -> Op[None]:
    """Write events down: thread, run, number, name, data, time of each. Those of a known number are dropped."""
    yield [(sql["add_event"], row) for row in rows]


def of_run(sql: Statements, run_id: str, after: int, limit: int = 500) -> Op[list[Record]]:
    """Return a run's events after a number."""
    [rows] = yield [(sql["events_of_run"], (run_id, after, limit))]
    return [record(EVENT, row) for row in rows]


def of_thread(
    sql: Statements, thread_id: str, after: int, limit: int = 500, filters: str | None = None
) -> Op[list[Record]]:
    """Return the events of a thread's runs after one; none of a thread that the filters hide."""
    [rows] = yield [(sql["events_of_thread"], (thread_id, after, limit, filters))]
    return [record(EVENT, row) for row in rows]


def last_of_run(sql: Statements, run_id: str) -> Op[int]:
    """Return the number of a run's last event, 0 if it has none."""
    [[(seq,)]] = yield [(sql["last_seq"], (run_id,))]
    return int(seq)


def last_of_thread(sql: Statements, thread_id: str) -> Op[int]:
    """Return the thread's last event, 0 if it has none."""
    [[(event,)]] = yield [(sql["last_event"], (thread_id,))]
    return int(event)


def begin_of_run(sql: Statements, run_id: str, name: str) -> Op[tuple[int, bool]]:
    """Return a run's first event, 0 if it has none, and whether it has one of a name."""
    [[(first, has)]] = yield [(sql["begin_of_run"], (run_id, name))]
    return int(first), bool(has)


def of_name(sql: Statements, run_id: str, beginning: str) -> Op[list[Record]]:
    """Return a run's events whose names begin like this, without a wildcard in it."""
    [rows] = yield [(sql["events_of_name"], (run_id, f"{beginning}%"))]
    return [record(EVENT, row) for row in rows]


def missed(sql: Statements, thread_id: str, run_id: str, beginning: str, after: int) -> Op[tuple[int, int]]:
    """Return how many of a run's events after a number have a name that begins like this, and the first of them, or 0.

    What readers have noted isn't counted.
    """
    [[(count, first)]] = yield [(sql["missed_events"], (thread_id, run_id, f"{beginning}%", after))]
    return int(count), int(first)


def sweep(sql: Statements, age: float) -> Op[None]:
    """Delete events of runs that have ended, older than so many seconds."""
    yield [(sql["sweep_events"], (now() - age,))]
