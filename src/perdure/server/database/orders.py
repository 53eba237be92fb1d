"""Columns as the statements read them, and the orders in which a search may come."""

from __future__ import annotations

from typing import Any, Final

from perdure.server.encoding import decode

ASSISTANT: Final = (
    "assistant_id", "graph_id", "version", "name", "description", "config", "context", "metadata", "created_at",
    "updated_at",
)  # fmt: skip
VERSION: Final = (*ASSISTANT[:-1],)
THREAD: Final = (
    "thread_id", "status", "metadata", "config", "error", "run_id", "created_at", "updated_at", "state_updated_at",
    "ttl_minutes", "ttl_strategy", "expires_at",
)  # fmt: skip
RUN: Final = (
    "run_id", "thread_id", "assistant_id", "graph_id", "status", "metadata", "kwargs", "multitask_strategy", "priority",
    "due_at", "created_at", "updated_at", "attempt", "generation", "cancel", "error", "watched", "caller",
    "queue", "queue_key", "trace", "position",
)  # fmt: skip
EVENT: Final = ("event", "run_id", "seq", "name", "data", "created_at")
CRON: Final = (
    "cron_id", "assistant_id", "thread_id", "schedule", "timezone", "end_time", "enabled", "on_run_completed",
    "payload", "metadata", "user_id", "next_run_at", "created_at", "updated_at", "caller",
)  # fmt: skip

COLUMNS: Final = {"@assistant": ASSISTANT, "@version": VERSION, "@thread": THREAD, "@run": RUN, "@event": EVENT,
                  "@cron": CRON}  # fmt: skip
"""What the macros of statements.sql stand for."""

_JSON: Final = frozenset({"config", "context", "metadata", "error", "kwargs", "payload", "caller", "trace"})

ORDERS: Final = {
    "search_assistants": ("assistant_id", "graph_id", "name", "created_at", "updated_at"),
    "search_threads": ("thread_id", "status", "created_at", "updated_at", "state_updated_at"),
    "search_crons": (
        "cron_id", "assistant_id", "thread_id", "created_at", "updated_at", "next_run_date", "end_time",
    ),
}  # fmt: skip
"""By statement, what may be sorted by; the column is the same but for `next_run_date`."""

_COLUMN = {"next_run_date": "next_run_at"}
_ID = {"search_assistants": "assistant_id", "search_threads": "thread_id", "search_crons": "cron_id"}

Record = dict[str, Any]


def order_by(statement: str, key: str, direction: str) -> str:
    """Return the text of an order, of constants only; equal ones come in the order of their ids."""
    return f"ORDER BY {_COLUMN.get(key, key)} {direction.upper()}, {_ID[statement]} {direction.upper()}"


def record(columns: tuple[str, ...], row: Any) -> Record:
    """Return a row as a dict, its JSON decoded."""
    found = dict(zip(columns, row, strict=True))
    for name in _JSON & found.keys():
        if found[name] is not None:
            found[name] = decode(found[name])
    return found
