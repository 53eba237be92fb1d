"""Threads: made, found, copied, pruned, deleted."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from perdure.server import answers, schema
from perdure.server.database import threads
from perdure.server.errors import InvalidRequestError, TakenError
from perdure.server.inputs import types_of
from perdure.server.responses import Json
from perdure.server.routes import Call, Endpoint, found_or_404, nothing, page
from perdure.server.scanning import count_with_values, states_of, with_values
from perdure.server.shapes import extracted, selected, shown_thread
from perdure.server.states import check_free, delete_thread, graph_of, state_of


def _ttl(call: Call, given: schema.Ttl | None) -> dict[str, Any] | None:
    if given is not None:
        return {"ttl": given.ttl, "strategy": given.strategy}
    spec = call.core.config.checkpointer
    if spec is None or spec.ttl is None or spec.ttl.default_ttl is None:
        return None
    return {"ttl": spec.ttl.default_ttl, "strategy": spec.ttl.strategy}


async def create(call: Call, body: schema.ThreadCreate) -> Any:
    """Make a thread; with `supersteps`, with a state."""
    thread_id = body.thread_id or str(uuid.uuid4())
    value: dict[str, Any] = {"thread_id": thread_id, "metadata": dict(body.metadata or {})}
    value["if_exists"] = body.if_exists
    filters = await call.filters("threads", "create", value)
    metadata = value["metadata"]
    if body.supersteps and not call.core.graphs.known(metadata.get("graph_id", "")):
        raise InvalidRequestError("supersteps need a graph", hint='"metadata": {"graph_id": ...}')
    made = await call.core.database.write(threads.create, thread_id, metadata, _ttl(call, body.ttl))
    if made is None:
        if body.if_exists == "raise":
            raise TakenError(f"there is a thread {thread_id} already")
        made = await call.core.database.read(threads.get, thread_id, filters)
        made = found_or_404(made, f"thread {thread_id}")
    elif body.supersteps:
        await _fill(call, made, body.supersteps)
        made = await call.core.database.read(threads.get, thread_id)
    assert made is not None
    return shown_thread(made, await state_of(call.core, made))


async def _fill(call: Call, thread: dict[str, Any], supersteps: list[schema.Superstep]) -> None:
    """Give a new thread its state, one checkpoint a superstep."""
    async with graph_of(call.core, thread) as graph:
        kinds = types_of(graph)
        steps = [[kinds.StateUpdate(_values(kinds, one), one.as_node) for one in step.updates] for step in supersteps]
        config = {"configurable": {"thread_id": thread["thread_id"], "checkpoint_ns": ""}}
        try:
            await graph.abulk_update_state(config, steps)
        except Exception:
            await call.core.database.write(threads.delete, thread["thread_id"])
            raise
        state = await graph.aget_state(config)
    status = "interrupted" if state.next else "idle"
    await call.core.database.once(threads.set_status, thread["thread_id"], status)


def _values(kinds: Any, change: schema.StateChange) -> Any:
    if change.command is None:
        return change.values
    command = change.command
    goto = msgspec.to_builtins(command.goto)
    given = {"update": command.update, "goto": goto} if goto is not None else {"update": command.update}
    return kinds.Command(**given)


async def read(call: Call, action: str = "read") -> dict[str, Any]:
    """Return the thread of the path, if the caller may see it."""
    thread_id = call.id("thread_id")
    filters = await call.filters("threads", action, {"thread_id": thread_id})
    return dict(found_or_404(await call.core.database.read(threads.get, thread_id, filters), f"thread {thread_id}"))


async def get(call: Call) -> Any:
    """Return a thread with its values; with `include=ttl`, how long it lives."""
    found = await read(call)
    include = call.words("include")
    if unknown := [word for word in include if word != "ttl"]:
        raise InvalidRequestError(f"include knows ttl, not {unknown[0]}")
    return shown_thread(found, await state_of(call.core, found), with_ttl="ttl" in include)


async def patch(call: Call, body: schema.ThreadPatch) -> Any:
    """Merge metadata into a thread's; set how long it lives."""
    thread_id = call.id("thread_id")
    value: dict[str, Any] = {"thread_id": thread_id, "metadata": body.metadata or {}}
    filters = await call.filters("threads", "update", value)
    ttl = None if body.ttl is None else {"ttl": body.ttl.ttl, "strategy": body.ttl.strategy}
    found = await call.core.database.write(threads.update, thread_id, value["metadata"], ttl, filters)
    found = found_or_404(found, f"thread {thread_id}")
    if call.request.headers.get("prefer") == "return=minimal":
        return nothing()
    return shown_thread(found, await state_of(call.core, found))


async def delete(call: Call) -> Any:
    """Delete a thread with its state, runs and crons; a run that has it is stopped."""
    thread_id = call.id("thread_id")
    filters = await call.filters("threads", "delete", {"thread_id": thread_id})
    found_or_404(await delete_thread(call.core, thread_id, filters), f"thread {thread_id}")
    return nothing()


async def search(call: Call, body: schema.ThreadSearch) -> Any:
    """Return threads."""
    value: dict[str, Any] = {
        "metadata": body.metadata or {},
        "status": body.status,
        "limit": body.limit,
        "offset": body.offset,
    }
    filters = await call.filters("threads", "search", value)
    body.metadata = value["metadata"]
    if body.values:
        rows = await with_values(call.core, body, filters)
    else:
        limit = body.limit
        body.limit += 1
        rows = await call.core.database.read(threads.search, body, filters)
        body.limit = limit
    shown_rows, headers = page(call, rows, body.limit, body.offset)
    needs_state = body.extract or not body.select or {"values", "interrupts"} & set(body.select)
    states = await states_of(call.core, shown_rows) if needs_state else [None] * len(shown_rows)
    shown = []
    for row, state in zip(shown_rows, states, strict=True):
        thread = shown_thread(row, state)
        more = {"extracted": extracted(thread, body.extract)} if body.extract else {}
        shown.append({**selected(thread, body.select), **more})
    return Json(shown, headers=headers)


async def count(call: Call, body: schema.ThreadCount) -> Any:
    """Return how many threads there are."""
    value: dict[str, Any] = {"metadata": body.metadata or {}, "status": body.status}
    filters = await call.filters("threads", "search", value)
    body.metadata = value["metadata"]
    if body.values:
        return await count_with_values(call.core, body, filters)
    return await call.core.database.read(threads.count, body, filters)


async def copy(call: Call) -> Any:
    """Copy a thread with its whole history."""
    found = await read(call)
    new_id = str(uuid.uuid4())
    value: dict[str, Any] = {"thread_id": new_id, "metadata": {**found["metadata"], "thread_id": new_id}}
    await call.filters("threads", "create", value)
    ttl = None
    if found["ttl_minutes"] is not None:
        ttl = {"ttl": found["ttl_minutes"], "strategy": found["ttl_strategy"]}
    made = await call.core.database.write(threads.create, new_id, value["metadata"], ttl)
    await call.core.saver.acopy_thread(found["thread_id"], new_id)
    status = found["status"] if found["status"] != "busy" else "idle"
    await call.core.database.once(threads.set_status, new_id, status)
    assert made is not None
    made = {**made, "status": status}
    return shown_thread(made, await state_of(call.core, made))


async def prune(call: Call, body: schema.ThreadPrune) -> Any:
    """Delete threads, or all of their states but the newest; nothing at all if one is on hold."""
    filters = await call.filters("threads", "delete", {"thread_ids": body.thread_ids})
    pruned = 0
    await check_free(call.core, dict.fromkeys(body.thread_ids), filters)
    for thread_id in dict.fromkeys(body.thread_ids):
        if body.strategy == "delete":
            pruned += await delete_thread(call.core, thread_id, filters)
        elif await call.core.database.read(threads.get, thread_id, filters) is not None:
            await call.core.saver.aprune([thread_id], strategy="keep_latest")
            pruned += 1
    return {"pruned_count": pruned}


ENDPOINTS = [
    Endpoint("POST", "/threads", create, schema.ThreadCreate, "Threads", answers=answers.ok(answers.Thread)),
    Endpoint(
        "POST", "/threads/search", search, schema.ThreadSearch, "Threads", answers=answers.ok(list[answers.SomeThread])
    ),
    Endpoint("POST", "/threads/count", count, schema.ThreadCount, "Threads", answers=answers.ok(int)),
    Endpoint("POST", "/threads/prune", prune, schema.ThreadPrune, "Threads", answers=answers.ok(answers.Pruned)),
    Endpoint("GET", "/threads/{thread_id}", get, tag="Threads", answers=answers.ok(answers.Thread)),
    Endpoint(
        "PATCH",
        "/threads/{thread_id}",
        patch,
        schema.ThreadPatch,
        "Threads",
        answers=(*answers.ok(answers.Thread), *answers.NOTHING),
    ),
    Endpoint("DELETE", "/threads/{thread_id}", delete, tag="Threads", answers=answers.NOTHING),
    Endpoint("POST", "/threads/{thread_id}/copy", copy, tag="Threads", answers=answers.ok(answers.Thread)),
]
