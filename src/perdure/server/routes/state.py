"""The state of threads: as it stands, as it was, changed from outside."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.server import answers, schema
from perdure.server.database import threads
from perdure.server.errors import InvalidRequestError, TakenError
from perdure.server.routes import Call, Endpoint
from perdure.server.routes.threads import patch as patch_thread
from perdure.server.routes.threads import read
from perdure.server.shapes import selected, shown_state
from perdure.server.states import graph_of, state_of

_EMPTY: dict[str, Any] = {
    "values": {}, "next": [], "tasks": [], "metadata": None, "created_at": None, "parent_checkpoint": None,
    "interrupts": [], "checkpoint_id": None, "parent_checkpoint_id": None,
}  # fmt: skip


def _address(thread_id: str, checkpoint: schema.Checkpoint | None = None, checkpoint_id: str | None = None) -> Any:
    """Return the config of a checkpoint of this very thread, whatever thread the checkpoint names."""
    given = {} if checkpoint is None else {k: v for k, v in msgspec.to_builtins(checkpoint).items() if v}
    if checkpoint_id:
        given["checkpoint_id"] = checkpoint_id
    return {"configurable": {"checkpoint_ns": "", **given, "thread_id": thread_id}}


async def _state(call: Call, config: Any, *, subgraphs: bool, select: list[str] | None) -> Any:
    thread = await read(call)
    state = await state_of(call.core, thread, config["configurable"], subgraphs=subgraphs)
    if state is None:
        checkpoint = {"thread_id": thread["thread_id"], "checkpoint_ns": "", "checkpoint_id": None}
        return selected({**_EMPTY, "checkpoint": checkpoint}, select)
    return selected(shown_state(state), select)


async def get(call: Call) -> Any:
    """Return a thread's state as it stands."""
    config = _address(call.id("thread_id"))
    return await _state(call, config, subgraphs=call.flag("subgraphs"), select=call.words("select"))


async def get_at(call: Call) -> Any:
    """Return the state at a checkpoint."""
    config = _address(call.id("thread_id"), None, call.path("checkpoint_id"))
    return await _state(call, config, subgraphs=call.flag("subgraphs"), select=call.words("select"))


async def post_at(call: Call, body: schema.StateAt) -> Any:
    """Return the state at a checkpoint, perhaps of a subgraph."""
    config = _address(call.id("thread_id"), body.checkpoint)
    return await _state(call, config, subgraphs=body.subgraphs, select=body.select)


async def update(call: Call, body: schema.StateUpdate) -> Any:
    """Change a thread's state as if a node had written the values."""
    thread = await read(call, "update")
    if thread["status"] == "busy":
        raise TakenError(f"thread {thread['thread_id']} has runs", hint="wait for them, or cancel them")
    config = _address(thread["thread_id"], body.checkpoint, body.checkpoint_id)
    async with graph_of(call.core, thread) as graph:
        if graph is None:
            raise InvalidRequestError(
                f"thread {thread['thread_id']} has no graph",
                hint='run it once, or make it with "metadata": {"graph_id": ...}',
            )
        made = await graph.aupdate_state(config, body.values, as_node=body.as_node)
        state = await graph.aget_state({"configurable": {"thread_id": thread["thread_id"]}})
    status = "interrupted" if state.next else "idle"
    await call.core.database.once(threads.set_status, thread["thread_id"], status)
    configurable = {k: v for k, v in made["configurable"].items() if not k.startswith("__")}
    names = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
    checkpoint = {name: configurable[name] for name in names if name in configurable}
    return {"checkpoint": checkpoint, "configurable": configurable, "checkpoint_id": checkpoint.get("checkpoint_id")}


async def patch(call: Call, body: schema.MetadataPatch) -> Any:
    """Merge metadata into the thread's: what older clients call the metadata of its state."""
    return await patch_thread(call, schema.ThreadPatch(metadata=body.metadata))


async def history(call: Call, body: schema.HistorySearch) -> Any:
    """Return a thread's states, newest first."""
    thread = await read(call)
    before = body.before
    if isinstance(before, str):
        before = schema.Checkpoint(checkpoint_id=before)
    options: dict[str, Any] = {"limit": body.limit}
    if before is not None:
        options["before"] = _address(thread["thread_id"], before)
    if body.metadata:
        options["filter"] = body.metadata
    async with graph_of(call.core, thread) as graph:
        if graph is None:
            return []
        config = _address(thread["thread_id"], body.checkpoint)
        if body.checkpoint is not None:
            config["configurable"].pop("checkpoint_map", None)
        states = graph.aget_state_history(config, **options)
        return [selected(shown_state(state), body.select) async for state in states]


async def get_history(call: Call) -> Any:
    """Return a thread's states, newest first."""
    before = call.request.query_params.get("before")
    return await history(call, schema.HistorySearch(limit=call.number("limit", 10, most=1000), before=before))


ENDPOINTS = [
    Endpoint("GET", "/threads/{thread_id}/state", get, tag="Threads", answers=answers.ok(answers.SomeState)),
    Endpoint(
        "POST",
        "/threads/{thread_id}/state",
        update,
        schema.StateUpdate,
        "Threads",
        answers=answers.ok(answers.NewState),
    ),
    Endpoint(
        "PATCH",
        "/threads/{thread_id}/state",
        patch,
        schema.MetadataPatch,
        "Threads",
        answers=(*answers.ok(answers.Thread), *answers.NOTHING),
    ),
    Endpoint(
        "POST",
        "/threads/{thread_id}/state/checkpoint",
        post_at,
        schema.StateAt,
        "Threads",
        answers=answers.ok(answers.SomeState),
    ),
    Endpoint(
        "GET",
        "/threads/{thread_id}/state/{checkpoint_id}",
        get_at,
        tag="Threads",
        answers=answers.ok(answers.SomeState),
    ),
    Endpoint(
        "POST",
        "/threads/{thread_id}/history",
        history,
        schema.HistorySearch,
        "Threads",
        answers=answers.ok(list[answers.SomeState]),
    ),
    Endpoint(
        "GET", "/threads/{thread_id}/history", get_history, tag="Threads", answers=answers.ok(list[answers.SomeState])
    ),
]
