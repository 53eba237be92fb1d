"""What a server keeps of threads beside their states, erased: for `perdure.ops.erase`, which finds it by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from perdure.checkpoint.registry import is_sqlite
from perdure.database.operation import Op
from perdure.server.database import Statements, open_database

__all__ = ["erase_threads"]

_SQLITE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'perdure_server_threads'"
_POSTGRES = "SELECT 1 WHERE to_regclass('perdure_server_threads') IS NOT NULL"


def erase_threads(url: str, thread_ids: Sequence[str]) -> list[str]:
    """Delete what a server keeps of threads: runs with inputs and events, crons, messages that wait, metadata.

    Args:
        url: The database; one that no server has used has nothing.
        thread_ids: The threads.

    Returns:
        The ids of the runs that were deleted.
    """
    asked = _SQLITE if is_sqlite(url) else _POSTGRES
    return asyncio.run(_erase(url, asked, thread_ids))


async def _erase(url: str, asked: str, thread_ids: Sequence[str]) -> list[str]:
    database = open_database(url)
    try:
        if not await database.read(_ask, asked):
            return []
        await database.setup()
        return await database.write(_delete, thread_ids)
    finally:
        await database.aclose()


def _ask(sql: Statements, asked: str) -> Op[bool]:
    [rows] = yield [(asked, ())]
    return bool(rows)


def _delete(sql: Statements, thread_ids: Sequence[str]) -> Op[list[str]]:
    found: list[str] = []
    for thread_id in thread_ids:
        [rows] = yield [(sql["run_ids_of_thread"], (thread_id,))]
        runs = [run_id for (run_id,) in rows]
        found += runs
        batch: list[Any] = [(sql["delete_webhook"], (run_id,)) for run_id in runs]
        names = ("delete_runs_of_thread", "delete_events_of_thread", "delete_crons_of_thread")
        batch += [(sql[name], (thread_id,)) for name in names]
        yield [*batch, (sql["delete_thread"], (thread_id, None))]
    return found
