"""Operations on crons."""

from __future__ import annotations

from typing import Any

from perdure.database.operation import Op
from perdure.server.database import Statements
from perdure.server.database.orders import CRON, Record, record
from perdure.server.database.visible import check_visible
from perdure.server.encoding import encode_text


def create(sql: Statements, given: Record) -> Op[None]:
    """Add a cron."""
    caller = None if given["caller"] is None else encode_text(given["caller"])
    values = (
        given["cron_id"], given["assistant_id"], given["thread_id"], given["schedule"], given["timezone"],
        given["end_time"], int(given["enabled"]), given["on_run_completed"], encode_text(given["payload"]),
        encode_text(given["metadata"]), given["user_id"], given["next_run_at"], given["created_at"], caller,
    )  # fmt: skip
    yield [(sql["add_cron"], values)]


def get(sql: Statements, cron_id: str, filters: str | None) -> Op[Record | None]:
    """Return a cron, None if there is none that the filters let be seen."""
    [rows] = yield [(sql["get_cron"], (cron_id, filters))]
    return record(CRON, rows[0]) if rows else None


def update(sql: Statements, new: Record, filters: str | None) -> Op[None]:
    """Replace a cron by its new form."""
    metadata = encode_text(new["metadata"])
    yield from check_visible(sql, metadata, filters)
    values = (
        new["cron_id"], new["schedule"], new["timezone"], new["end_time"], int(new["enabled"]),
        new["on_run_completed"], encode_text(new["payload"]), metadata, new["next_run_at"], new["updated_at"],
    )  # fmt: skip
    yield [(sql["set_cron"], values)]


def delete(sql: Statements, cron_id: str, filters: str | None) -> Op[bool]:
    """Delete a cron; tell whether there was one."""
    [rows] = yield [(sql["delete_cron"], (cron_id, filters))]
    return bool(rows)


def search(sql: Statements, asked: Any, filters: str | None) -> Op[list[Record]]:
    """Return the crons that are asked for."""
    statement = sql[f"search_crons {asked.sort_by} {asked.sort_order}"]
    [rows] = yield [(statement, (*_where(asked, filters), asked.limit, asked.offset))]
    return [record(CRON, row) for row in rows]


def count(sql: Statements, asked: Any, filters: str | None) -> Op[int]:
    """Return how many crons a search would find in all."""
    [[(found,)]] = yield [(sql["count_crons"], _where(asked, filters))]
    return int(found)


def _where(asked: Any, filters: str | None) -> tuple[Any, ...]:
    metadata = encode_text(asked.metadata) if asked.metadata else None
    enabled = None if asked.enabled is None else int(asked.enabled)
    return metadata, filters, asked.assistant_id, asked.thread_id, enabled


def due(sql: Statements, moment: float) -> Op[list[Record]]:
    """Return the crons whose time has come."""
    [rows] = yield [(sql["due_crons"], (moment,))]
    return [record(CRON, row) for row in rows]


def move(sql: Statements, cron_id: str, before: float, after: float | None) -> Op[bool]:
    """Set a cron's next time; False if another process was first."""
    [rows] = yield [(sql["move_cron"], (cron_id, before, after))]
    return bool(rows)
