"""Operations on threads: what the server knows of them. Their state is the saver's."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from perdure.database.operation import Op, Statement
from perdure.server.database import Statements, now
from perdure.server.database.orders import THREAD, Record, record
from perdure.server.database.visible import check_visible
from perdure.server.encoding import encode_text


def create(sql: Statements, thread_id: str, metadata: Record, ttl: Record | None) -> Op[Record | None]:
    """Add a thread; None if there is one of that id."""
    moment = now()
    minutes, strategy = (ttl["ttl"], ttl["strategy"]) if ttl else (None, None)
    end = None if minutes is None else moment + minutes * 60
    values = (thread_id, encode_text(metadata), moment, minutes, strategy, end)
    [added] = yield [(sql["add_thread"], values)]
    if not added:
        return None
    return {
        "thread_id": thread_id, "status": "idle", "metadata": metadata, "config": {}, "error": None, "run_id": None,
        "created_at": moment, "updated_at": moment, "state_updated_at": moment,
        "ttl_minutes": minutes, "ttl_strategy": strategy, "expires_at": end,
    }  # fmt: skip


def get(sql: Statements, thread_id: str, filters: str | None = None) -> Op[Record | None]:
    """Return a thread, None if there is none that the filters let be seen."""
    [rows] = yield [(sql["get_thread"], (thread_id, filters))]
    return record(THREAD, rows[0]) if rows else None


def update(
    sql: Statements, thread_id: str, metadata: Record | None, ttl: Record | None, filters: str | None
) -> Op[Record | None]:
    """Merge metadata into a thread's, and set how long it lives."""
    [rows] = yield [(sql["lock_thread"], (thread_id, filters))]
    if not rows:
        return None
    found = record(THREAD, rows[0][2:])
    moment = now()
    found["metadata"] = {**found["metadata"], **(metadata or {})}
    found["updated_at"] = moment
    text = encode_text(found["metadata"])
    yield from check_visible(sql, text, filters)
    if ttl is not None:
        found["ttl_minutes"], found["ttl_strategy"] = ttl["ttl"], ttl["strategy"]
        found["expires_at"] = moment + ttl["ttl"] * 60
    life = (found["ttl_minutes"], found["ttl_strategy"], found["expires_at"])
    yield [(sql["set_thread"], (thread_id, text, *life, moment))]
    return found


def set_status(sql: Statements, thread_id: str, status: str, error: Record | None = None) -> Op[None]:
    """Say how a thread stands whose state was changed from outside."""
    yield [(sql["set_thread_status"], (thread_id, status, None if error is None else encode_text(error), now()))]


def forget(sql: Statements, thread_id: str) -> Op[None]:
    """Delete a thread that was a run's own. Its events stay a while: somebody elsewhere may still read them."""
    yield [(sql["delete_thread"], (thread_id, None)), (sql["delete_runs_of_thread"], (thread_id,))]


def delete(sql: Statements, thread_id: str, filters: str | None = None) -> Op[bool]:
    """Delete a thread with its runs, events and crons; tell whether there was one."""
    [rows] = yield [(sql["delete_thread"], (thread_id, filters))]
    if rows:
        names = ("delete_runs_of_thread", "delete_crons_of_thread", "delete_events_of_thread")
        rest: list[Statement] = [(sql[name], (thread_id,)) for name in names]
        yield rest
    return bool(rows)


def search(sql: Statements, asked: Any, filters: str | None) -> Op[list[Record]]:
    """Return the threads that are asked for."""
    statement = sql[f"search_threads {asked.sort_by} {asked.sort_order}"]
    [rows] = yield [(statement, (*_where(asked, filters), asked.limit, asked.offset))]
    return [record(THREAD, row) for row in rows]


def count(sql: Statements, asked: Any, filters: str | None) -> Op[int]:
    """Return how many threads a search would find in all."""
    [[(found,)]] = yield [(sql["count_threads"], _where(asked, filters))]
    return int(found)


_SMALL: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
"""As the databases make letters small."""


def look(sql: Statements, asked: Any, filters: str | None) -> Op[list[Record]]:
    """Return the threads that are asked for by words too, the latest first; one more than asked for, if there is."""
    words = [encode_text(word.translate(_SMALL))[1:-1] for word in asked.words or ()]  # as they are in JSON
    place = (encode_text(words) if words else None, asked.limit + 1, asked.offset)
    [rows] = yield [(sql["look_threads"], (*_where(asked, filters), *place))]
    return [record(THREAD, row) for row in rows]


def _where(asked: Any, filters: str | None) -> tuple[Any, ...]:
    metadata = encode_text(asked.metadata) if asked.metadata else None
    return metadata, filters, asked.status, encode_text(asked.ids) if asked.ids else None


def watch(sql: Statements, thread_id: str, until: float, *, closely: bool) -> Op[bool]:
    """Ask whoever runs the thread to write its events down for others to read; `closely`: all channels.

    Return whether there is a run.
    """
    [rows] = yield [(sql["watch_thread_closely" if closely else "watch_thread"], (thread_id, until))]
    return bool(rows and rows[0][0])


def expired(sql: Statements, limit: int) -> Op[list[tuple[str, str]]]:
    """Return threads whose time is over and what to do with them, those that nobody runs."""
    [rows] = yield [(sql["expired_threads"], (now(), limit))]
    return [(thread_id, strategy) for thread_id, strategy in rows]


def put_off(sql: Statements, thread_id: str, until: float | None) -> Op[None]:
    """Let a thread live until then."""
    yield [(sql["put_off_expiry"], (thread_id, until))]
