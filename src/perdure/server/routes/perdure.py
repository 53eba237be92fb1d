"""What only perdure has, in a namespace of its own: looking over all threads and all runs, as its console does."""

from __future__ import annotations

from typing import Any

from perdure.server import answers, schema
from perdure.server.database import runs, threads
from perdure.server.responses import Json
from perdure.server.routes import Call, Endpoint, page
from perdure.server.shapes import shown_row, shown_run


async def _filters(call: Call, metadata: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Ask which threads may be seen; return the metadata that they must have, and the filters."""
    value = {"metadata": metadata}
    filters = await call.filters("threads", "search", value)
    return value["metadata"], filters


async def look_threads(call: Call, body: schema.ThreadLook) -> Any:
    """Return threads without their states, of all: by words, metadata, status."""
    body.metadata, filters = await _filters(call, body.metadata or {})
    rows, headers = page(call, await call.core.database.read(threads.look, body, filters), body.limit, body.offset)
    return Json([shown_row(row) for row in rows], headers=headers)


async def look_runs(call: Call, body: schema.RunLook) -> Any:
    """Return runs of all threads: by status, graph, queue. What they were made with is left out."""
    metadata, filters = await _filters(call, {})
    found = await call.core.database.read(runs.look, body, metadata, filters)
    rows, headers = page(call, found, body.limit, body.offset)
    return Json([_brief(row) for row in rows], headers=headers)


def _brief(row: dict[str, Any]) -> answers.RunRow:
    run = shown_run(row)
    return {
        "run_id": run["run_id"],
        "thread_id": run["thread_id"],
        "assistant_id": run["assistant_id"],
        "graph_id": row["graph_id"],
        "status": run["status"],
        "created_at": run["created_at"],
        "updated_at": run["updated_at"],
        "attempt": run["attempt"],
        "priority": run["priority"],
        "queue": run["queue"],
        "cancel_reason": run["cancel_reason"],
        "error": row["error"],
    }


THREADS = [
    Endpoint(
        "POST", "/perdure/threads/search", look_threads, schema.ThreadLook, "perdure",
        answers=answers.ok(list[answers.ThreadRow]),
    )
]  # fmt: skip
RUNS = [
    Endpoint(
        "POST", "/perdure/runs/search", look_runs, schema.RunLook, "perdure", answers=answers.ok(list[answers.RunRow])
    )
]
