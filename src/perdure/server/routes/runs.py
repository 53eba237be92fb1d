"""Runs: made, waited for, streamed, joined, cancelled; of a thread, or without one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal

from perdure.server import answers, schema
from perdure.server.bodies import check_metadata
from perdure.server.database import runs, threads
from perdure.server.encoding import decode, encode_text
from perdure.server.errors import InvalidRequestError, NotFoundError, TakenError
from perdure.server.making import assistant_named, make_run
from perdure.server.protocol.wire import MARK
from perdure.server.responses import Json
from perdure.server.routes import Call, Endpoint, check_streams, chosen_headers, found_or_404, nothing
from perdure.server.routes.listening import (
    frames,
    no_parts,
    on_leave,
    output_when_ended,
    sse,
    stop,
    stop_heard,
    stored_output,
    waiting,
)
from perdure.server.shapes import selected, shown_run
from perdure.server.streams import DONE, ENDED, RESULT, number_of

Listens = Literal["stream", "result"] | None

_STATES = frozenset({"values", "updates"})
OWN = {"created_by": "system"}
"""The metadata of the graphs' own assistants, which nobody else's may have."""

_THREAD_MODES = frozenset({"run_modes", "lifecycle", "state_update"})


# -- making


async def make(call: Call, body: schema.RunCreate, thread_id: str | None, listens: Listens, place: str = "") -> Any:
    """Make a run of a request; see `making.make_run`. `place` tells it from others of the same request."""
    check_metadata(body.metadata)
    if listens:
        check_streams(call.core)
    value: dict[str, Any] = {
        "thread_id": thread_id,
        "assistant_id": body.assistant_id,
        "metadata": dict(body.metadata or {}),
        "kwargs": {"input": body.input, "command": body.command, "config": body.config},
        "multitask_strategy": body.multitask_strategy,
        "priority": body.priority,
        "queue": body.queue,
        "if_not_exists": body.if_not_exists,
        "after_seconds": body.after_seconds,
    }
    filters = await call.filters("threads", "create_run", value)
    reading = await _assistant_filters(call, body.assistant_id)
    body.metadata = value["metadata"]
    key = call.request.headers.get("idempotency-key")
    return await make_run(
        call.core,
        body,
        thread_id,
        caller=call.caller,
        filters=filters,
        assistant_filters=reading,
        listens=listens,
        modes=[] if listens == "result" else None,
        extra_configurable=_headers(call),
        key=key and f"{key}{place}",
    )


async def readable_assistant(call: Call, name: str) -> dict[str, Any]:
    """Return an assistant that the caller may run.

    Raises:
        NotFoundError: There is none.
    """
    return await assistant_named(call.core, name, await _assistant_filters(call, name))


async def _assistant_filters(call: Call, name: str) -> str | None:
    return own_or(await call.filters("assistants", "read", {"assistant_id": name}))


def own_or(filters: str | None) -> str | None:
    """Let the graphs' own assistants be run by everybody who may run."""
    if filters is None:
        return None
    return encode_text([OWN, *decode(filters)])


def _headers(call: Call) -> dict[str, Any]:
    """Return the headers that the configuration makes parameters of runs."""
    spec = call.core.config.http.configurable_headers
    return {} if spec is None else chosen_headers(spec, (), call.request.headers)


def _place(run: dict[str, Any]) -> str:
    return f"/threads/{run['thread_id']}/runs/{run['run_id']}"


def _prefix(call: Call) -> str:
    return call.core.config.http.mount_prefix or ""


async def _create(call: Call, body: schema.RunCreate, thread_id: str | None) -> Any:
    run = (await make(call, body, thread_id, None)).run
    return Json(shown_run(run), headers={"Content-Location": _prefix(call) + _place(run)})


async def _stream(call: Call, body: schema.RunCreate, thread_id: str | None) -> Any:
    run, listener = await make(call, body, thread_id, "stream")
    again = f"{_place(run)}/stream" if thread_id is not None else f"/runs/{run['run_id']}/stream"
    headers = {"Content-Location": _prefix(call) + _place(run), "Location": _prefix(call) + again}
    leave = on_leave(call, run, body.on_disconnect or "cancel")
    return sse(frames(call, run, listener, None, None), headers, leave)


async def _wait(call: Call, body: schema.RunCreate, thread_id: str | None) -> Any:
    run, listener = await make(call, body, thread_id, "result")
    place = _prefix(call) + _place(run)
    headers = {"Content-Location": place, "Location": f"{place}/join"}
    leave = on_leave(call, run, body.on_disconnect or "cancel")
    return waiting(output_when_ended(call, run, listener), headers, leave)


async def create(call: Call, body: schema.RunCreate) -> Any:
    """Make a run of a thread, and answer at once."""
    return await _create(call, body, call.id("thread_id"))


async def stream(call: Call, body: schema.RunCreate) -> Any:
    """Make a run of a thread, and stream its events."""
    return await _stream(call, body, call.id("thread_id"))


async def wait(call: Call, body: schema.RunCreate) -> Any:
    """Make a run of a thread, and answer with its output."""
    return await _wait(call, body, call.id("thread_id"))


async def create_stateless(call: Call, body: schema.RunCreate) -> Any:
    """Make a run with a thread of its own, and answer at once."""
    return await _create(call, body, None)


async def stream_stateless(call: Call, body: schema.RunCreate) -> Any:
    """Make a run with a thread of its own, and stream its events."""
    return await _stream(call, body, None)


async def wait_stateless(call: Call, body: schema.RunCreate) -> Any:
    """Make a run with a thread of its own, and answer with its output."""
    return await _wait(call, body, None)


async def batch(call: Call, body: list[schema.BatchedRun]) -> Any:
    """Make several runs; none is made if one of them names an assistant or thread that isn't there."""
    for one in body:
        await readable_assistant(call, one.assistant_id)
        if one.thread_id is not None and one.if_not_exists == "reject":
            filters = await call.filters("threads", "read", {"thread_id": one.thread_id})
            found = await call.core.database.read(threads.get, one.thread_id, filters)
            found_or_404(found, f"thread {one.thread_id}")
    made = [await make(call, one, one.thread_id, None, f" {place}") for place, one in enumerate(body)]
    return [shown_run(one.run) for one in made]


# -- listening


async def _read(call: Call, action: str = "read") -> dict[str, Any]:
    """Return the run of the path, if the caller may see it, or do something to its thread."""
    run_id = call.id("run_id")
    thread_id = call.id("thread_id") if "thread_id" in call.request.path_params else None
    filters = await call.filters("threads", action, {"thread_id": thread_id, "run_id": run_id})
    return dict(found_or_404(await call.core.database.read(runs.get, run_id, thread_id, filters), f"run {run_id}"))


async def _joined(call: Call) -> tuple[dict[str, Any], Any]:
    """Return the run of the path, and what is done when its client goes: who may only look can't cancel it so."""
    check_streams(call.core)
    cancels = call.flag("cancel_on_disconnect")
    run = await _read(call)
    if cancels:
        await _read(call, "update")
    return run, on_leave(call, run, "cancel") if cancels else None


async def join(call: Call) -> Any:
    """Wait for a run's end, and answer with its output."""
    run, leave = await _joined(call)
    if run["status"] in ENDED:
        return Json(await stored_output(call, run["run_id"]))
    listener = call.core.streams.listen(run["run_id"], for_result=True)
    return waiting(output_when_ended(call, run, listener), {"Location": f"{_prefix(call)}{_place(run)}/join"}, leave)


async def join_stream(call: Call) -> Any:
    """Stream a run's events from now on; with Last-Event-ID, from there, if the run is resumable."""
    run, leave = await _joined(call)
    after = number_of(call.request.headers.get("last-event-id"))
    if not run["kwargs"].get("stream_resumable", False):
        after = None
    modes = frozenset(call.words("stream_mode")) or None
    if modes is not None:
        modes |= {"metadata", "error"} | ({"messages"} if "messages-tuple" in modes else set())
    headers = {"Location": f"{_prefix(call)}{_place(run)}/stream"}
    listener = call.core.streams.listen(run["run_id"])
    if run["status"] in ENDED and after is None:
        call.core.streams.leave(run["run_id"], listener)
        return sse(no_parts(), {}, None)
    return sse(frames(call, run, listener, after, modes), headers, leave)


async def thread_stream(call: Call) -> Any:
    """Stream the events of all runs of a thread, those that come and, with Last-Event-ID, those since then."""
    thread_id = call.id("thread_id")
    filters = await call.filters("threads", "read", {"thread_id": thread_id})
    found_or_404(await call.core.database.read(threads.get, thread_id, filters), f"thread {thread_id}")
    modes = frozenset(call.words("stream_mode", "stream_modes")) or frozenset({"run_modes"})
    if unknown := modes - _THREAD_MODES:
        raise InvalidRequestError(f"there is no stream mode {min(unknown)!r} of threads")
    after = number_of(call.request.headers.get("last-event-id"))
    check_streams(call.core)

    async def parts() -> AsyncGenerator[bytes, None]:
        async for frame in call.core.streams.follow_thread(thread_id, after, filters):
            mode = frame.name.partition("|")[0]
            if frame.name == RESULT or frame.name.startswith(MARK):
                continue
            if frame.name == DONE:
                frame = frame._replace(name="metadata")  # noqa: PLW2901 - the same event under its public name
            is_lifecycle = frame.name == "metadata"
            if "run_modes" in modes or is_lifecycle or ("state_update" in modes and mode in _STATES):
                yield frame.text(frame.event)

    return sse(parts(), {"Location": f"{_prefix(call)}/threads/{thread_id}/stream"}, None)


# -- looking, cancelling, deleting


async def get(call: Call) -> Any:
    """Return a run."""
    return shown_run(await _read(call))


async def listed(call: Call) -> Any:
    """Return a thread's runs, newest first."""
    thread_id = call.id("thread_id")
    filters = await call.filters("threads", "read", {"thread_id": thread_id})
    found_or_404(await call.core.database.read(threads.get, thread_id, filters), f"thread {thread_id}")
    status = call.request.query_params.get("status")
    if status is not None and status not in (*ENDED, "pending", "running"):
        raise InvalidRequestError(f"there is no status {status!r}")
    place = (status, call.number("limit", 10, most=1000), call.number("offset", 0))
    rows = await call.core.database.read(runs.listed, thread_id, *place)
    return [selected(shown_run(row), call.words("select")) for row in rows]


def _action(call: Call) -> str:
    action = call.request.query_params.get("action", "interrupt")
    if action not in ("interrupt", "rollback"):
        raise InvalidRequestError(f"action is interrupt or rollback, not {action!r}")
    return action


async def cancel(call: Call) -> Any:
    """Stop a run; `rollback` deletes it and its checkpoints. With `wait=1`, answer when it has stopped."""
    run = await _read(call, "update")
    action = _action(call)
    if run["status"] in ENDED:
        raise TakenError(f"run {run['run_id']} has ended: {run['status']}")
    if not call.flag("wait"):
        await stop(call, run["run_id"], action)
        return Json({}, 202)
    listener = await stop_heard(call, run, action)
    return waiting(output_when_ended(call, run, listener), {"Location": f"{_prefix(call)}{_place(run)}/join"}, None)


async def cancel_many(call: Call, body: schema.RunsCancel) -> Any:
    """Stop runs: some of a thread, or all with a status."""
    if (body.thread_id is None) == (body.status is None) or (body.thread_id is None) != (body.run_ids is None):
        raise InvalidRequestError("either thread_id and run_ids, or status")
    value = {"thread_id": body.thread_id, "run_ids": body.run_ids, "status": body.status}
    filters = await call.filters("threads", "update", value)
    statuses = ["pending", "running"] if body.status in (None, "all") else [body.status]
    wanted = (statuses, body.thread_id, body.run_ids, filters)
    found = await call.core.database.read(runs.to_cancel, *wanted)
    if not found:
        raise NotFoundError("No runs found to cancel.")
    action = _action(call)
    for run_id, _ in found:
        await stop(call, run_id, action)
    return nothing()


async def delete(call: Call) -> Any:
    """Delete a run; one that runs is stopped first. Its checkpoints stay."""
    run = await _read(call, "update")
    if run["status"] not in ENDED:
        await output_when_ended(call, run, await stop_heard(call, run, "interrupt"))
    await call.core.database.once(runs.delete, run["run_id"])
    return nothing()


ENDPOINTS = [
    Endpoint("POST", "/threads/{thread_id}/runs", create, schema.RunCreate, "Runs", answers=answers.ok(answers.Run)),
    Endpoint("POST", "/threads/{thread_id}/runs/wait", wait, schema.RunCreate, "Runs", answers=answers.ANYTHING),
    Endpoint("POST", "/threads/{thread_id}/runs/stream", stream, schema.RunCreate, "Runs", answers=answers.EVENTS),
    Endpoint("GET", "/threads/{thread_id}/runs", listed, tag="Runs", answers=answers.ok(list[answers.SomeRun])),
    Endpoint("GET", "/threads/{thread_id}/runs/{run_id}", get, tag="Runs", answers=answers.ok(answers.Run)),
    Endpoint("DELETE", "/threads/{thread_id}/runs/{run_id}", delete, tag="Runs", answers=answers.NOTHING),
    Endpoint("GET", "/threads/{thread_id}/runs/{run_id}/join", join, tag="Runs", answers=answers.ANYTHING),
    Endpoint("GET", "/threads/{thread_id}/runs/{run_id}/stream", join_stream, tag="Runs", answers=answers.EVENTS),
    Endpoint(
        "POST",
        "/threads/{thread_id}/runs/{run_id}/cancel",
        cancel,
        tag="Runs",
        answers=(*answers.ANYTHING, answers.Answer(202, dict[str, Any])),
    ),
    Endpoint("GET", "/threads/{thread_id}/stream", thread_stream, tag="Threads", answers=answers.EVENTS),
    Endpoint("POST", "/runs", create_stateless, schema.RunCreate, "Stateless runs", answers=answers.ok(answers.Run)),
    Endpoint("POST", "/runs/wait", wait_stateless, schema.RunCreate, "Stateless runs", answers=answers.ANYTHING),
    Endpoint("POST", "/runs/stream", stream_stateless, schema.RunCreate, "Stateless runs", answers=answers.EVENTS),
    Endpoint("POST", "/runs/batch", batch, schema.Batch, "Stateless runs", answers=answers.ok(list[answers.Run])),
    Endpoint("POST", "/runs/cancel", cancel_many, schema.RunsCancel, "Runs", answers=answers.NOTHING),
    Endpoint("GET", "/runs/{run_id}/stream", join_stream, tag="Stateless runs", answers=answers.EVENTS),
]
