"""A2A: every assistant whose state has `messages` is an agent; a run is a task, a thread is a context.

Both versions that clients speak are answered, in the form of the method that was asked: 0.3 (`message/send`) and 1.0
(`SendMessage`). Source: https://a2a-protocol.org/latest/specification/
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from perdure import __version__
from perdure.errors import PerdureError
from perdure.server import answers, jsonrpc, schema
from perdure.server.a2a import tasks
from perdure.server.a2a.forms import FORMS, Form, Send, TaskId, TaskList
from perdure.server.bodies import read_body
from perdure.server.database import runs, threads
from perdure.server.encoding import decode, encode, number_in
from perdure.server.errors import InvalidRequestError
from perdure.server.jsonrpc import INVALID_PARAMS, NO_METHOD, Request, RpcError
from perdure.server.making import assistant_named
from perdure.server.responses import Json, Live
from perdure.server.routes import Call, Endpoint, check_streams, is_uuid
from perdure.server.routes.assistants import schemas_of
from perdure.server.routes.listening import HEARTBEAT, output_when_ended, stop_heard, stored_output
from perdure.server.routes.runs import make, own_or
from perdure.server.states import graph_of, state_of
from perdure.server.streams import ENDED, Listener

_NO_TASK: Final = -32001
_NOT_CANCELABLE: Final = -32002
_NO_PUSH: Final = -32003

Method = Callable[[Call, dict[str, Any], Form, Request], Awaitable[Any]]


async def post(call: Call) -> Any:
    """Answer a request of A2A: message/send, message/stream, tasks/get, tasks/list, tasks/cancel, tasks/resubscribe."""
    request: Request | None = None
    try:
        request = jsonrpc.request_of(await read_body(call.request, call.core.settings.largest_body))
        form, method = _method(request.method)
        assistant = await _assistant(call, call.path("assistant_id"))
        result = await method(call, assistant, form, request)
        return result if isinstance(result, Live) else Json(jsonrpc.answer(request, result))
    except PerdureError as e:
        return Json(jsonrpc.failure(request, e))


async def card(call: Call) -> Any:
    """Describe an assistant as an agent."""
    name = call.request.query_params.get("assistant_id")
    if not name:
        raise InvalidRequestError("which assistant?", hint="?assistant_id=")
    assistant = await _assistant(call, name)
    prefix = call.core.config.http.mount_prefix or ""
    url = f"{str(call.request.base_url).rstrip('/')}{prefix}/a2a/{assistant['assistant_id']}"
    description = assistant["description"] or f"Runs the graph {assistant['graph_id']}."
    skill = {"id": assistant["graph_id"], "name": assistant["name"] or assistant["graph_id"]}
    return {
        "name": assistant["name"] or assistant["graph_id"],
        "description": description,
        "version": str(assistant["version"]),
        "protocolVersion": "0.3.0",
        "url": url,
        "preferredTransport": "JSONRPC",
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version} for version in ("1.0", "0.3")
        ],
        "provider": {"organization": "perdure", "url": str(call.request.base_url)},
        "capabilities": {"streaming": True, "pushNotifications": False, "extendedAgentCard": False},
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{**skill, "description": description, "tags": ["perdure", __version__]}],
    }


def _method(name: str) -> tuple[Form, Method]:
    for form in FORMS:
        if (which := form.methods.get(name)) is not None:
            return form, _METHODS[which]
    if "ushNotification" in name:
        raise RpcError(_NO_PUSH, "there are no push notifications", hint="message/stream, or a run's webhook")
    raise RpcError(NO_METHOD, f"there is no method {name!r}", hint=", ".join(FORMS[0].methods))


async def _assistant(call: Call, name: str) -> dict[str, Any]:
    filters = await call.filters("assistants", "read", {"assistant_id": name})
    if not is_uuid(name) and not call.core.graphs.known(name):
        raise InvalidRequestError(f"there is no assistant {name!r}", hint=", ".join(call.core.graphs.names))
    return await assistant_named(call.core, name, own_or(filters))


# -- sending


async def _check_talks(call: Call, assistant: dict[str, Any]) -> None:
    async with call.core.graphs.open(assistant["graph_id"], assistant["config"]) as graph:
        found = schemas_of(graph)["input_schema"] or {}
    if "messages" not in (found.get("properties") or {}):
        raise RpcError(INVALID_PARAMS, f"the state of graph {assistant['graph_id']} has no messages, so it can't talk")


async def _started(call: Call, assistant: dict[str, Any], given: Send, listens: Any) -> tuple[Any, Any]:
    """Make a run of a message: of the context's thread; if that waits for an answer, the message is it."""
    await _check_talks(call, assistant)
    message = given.message
    context = message.context_id or str(uuid.uuid4())
    if not is_uuid(context):
        raise RpcError(INVALID_PARAMS, f"contextId is a thread's id, a UUID, not {context!r}")
    asks = message.context_id is not None and await _asks(call, context.lower())
    if message.task_id and not asks:
        raise RpcError(_NOT_CANCELABLE, f"task {message.task_id} waits for nothing", hint="leave taskId out")
    fields: dict[str, Any] = {"input": {"messages": [tasks.input_message(message)]}}
    if asks:
        fields = {"command": schema.Command(resume=tasks.text_of(message))}
    body = schema.RunCreate(
        assistant_id=assistant["assistant_id"],
        if_not_exists="create",
        metadata=given.metadata,
        stream_mode=["values", "messages-tuple"],
        **fields,
    )
    made = await make(call, body, context.lower(), listens)
    return made.run, made.listener


async def _asks(call: Call, thread_id: str) -> bool:
    filters = await call.filters("threads", "read", {"thread_id": thread_id})
    thread = await call.core.database.read(threads.get, thread_id, filters)
    if thread is None or thread["status"] == "busy":
        return False
    state = await state_of(call.core, thread)
    return state is not None and bool(state.interrupts)


async def _send(call: Call, assistant: dict[str, Any], form: Form, request: Request) -> Any:
    given = jsonrpc.params_of(request, Send)
    if given.returns_at_once:
        run, _ = await _started(call, assistant, given, None)
        return form.sent(tasks.task(form, run, tasks.WORKING))
    run, listener = await _started(call, assistant, given, "result")
    output = decode(await output_when_ended(call, run, listener))
    return form.sent(tasks.ended(form, await _again(call, run), output))


async def _again(call: Call, run: dict[str, Any]) -> dict[str, Any]:
    """Return a run as it is now; one that a rollback has deleted, as it was."""
    return (await call.core.database.read(runs.get, run["run_id"])) or {**run, "status": "interrupted"}


async def _stream(call: Call, assistant: dict[str, Any], form: Form, request: Request) -> Any:
    run, listener = await _started(call, assistant, jsonrpc.params_of(request, Send), "stream")
    return _live(call, form, request, run, listener)


def _live(call: Call, form: Form, request: Request, run: dict[str, Any], listener: Listener) -> Live:
    async def parts() -> AsyncGenerator[bytes, None]:
        async with aclosing(_events(call, form, run, listener)) as events:
            async for event in events:
                yield b"data: %b\r\n\r\n" % encode(jsonrpc.answer(request, event))

    return Live(parts(), beat=HEARTBEAT, media_type="text/event-stream")


async def _events(
    call: Call, form: Form, run: dict[str, Any], listener: Listener
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield a task, the pieces of its answer, and how it ends. Who goes can come back: the run goes on."""
    pieces = tasks.Pieces(form, run)
    try:
        yield form.event("task", tasks.task(form, run, tasks.WORKING))
        async for frame in call.core.streams.follow(run, listener):
            if frame.name == "messages":
                for update in pieces.of(*decode(frame.data)):
                    yield form.event("artifact-update", update)
    finally:
        call.core.streams.leave(run["run_id"], listener)
    now = await _again(call, run)
    whole = tasks.ended(form, now, await stored_output(call, run["run_id"]))
    for update in pieces.rest(whole):
        yield form.event("artifact-update", update)
    yield form.event("status-update", form.final(tasks.status_update(run, whole["status"])))


# -- tasks


async def _run(call: Call, assistant: dict[str, Any], task_id: str, action: str = "read") -> dict[str, Any]:
    filters = await call.filters("threads", action, {"run_id": task_id})
    found = await call.core.database.read(runs.get, task_id.lower(), None, filters) if is_uuid(task_id) else None
    if found is None or found["assistant_id"] != assistant["assistant_id"]:
        raise RpcError(_NO_TASK, f"there is no task {task_id}")
    return dict(found)


async def _get(call: Call, assistant: dict[str, Any], form: Form, request: Request) -> Any:
    run = await _run(call, assistant, jsonrpc.params_of(request, TaskId).id)
    return await _shown(call, form, run)


async def _shown(call: Call, form: Form, run: dict[str, Any]) -> dict[str, Any]:
    if run["status"] not in ENDED:
        return tasks.task(form, run, tasks.SUBMITTED if run["status"] == "pending" else tasks.WORKING)
    if run["error"] is not None:
        return tasks.ended(form, run, {"__error__": run["error"]})
    return tasks.ended(form, run, await _output(call, run))


async def _output(call: Call, run: dict[str, Any]) -> Any:
    """Return what a run left: the newest state that it made."""
    thread = await call.core.database.read(threads.get, run["thread_id"])
    if thread is None:
        return None
    async with graph_of(call.core, thread) as graph:
        if graph is None:
            return None
        config = {"configurable": {"thread_id": run["thread_id"]}}
        async for state in graph.aget_state_history(config, filter={"run_id": run["run_id"]}, limit=1):
            return decode(encode(tasks.output_of_state(state)))
    return None


async def _cancel(call: Call, assistant: dict[str, Any], form: Form, request: Request) -> Any:
    run = await _run(call, assistant, jsonrpc.params_of(request, TaskId).id, "update")
    if run["status"] in ENDED:
        raise RpcError(_NOT_CANCELABLE, f"task {run['run_id']} has ended: {run['status']}")
    await output_when_ended(call, run, await stop_heard(call, run, "interrupt"))
    return await _shown(call, form, await _again(call, run))


async def _list(call: Call, assistant: dict[str, Any], form: Form, request: Request) -> Any:
    given = jsonrpc.params_of(request, TaskList)
    if given.context_id is None or not is_uuid(given.context_id):
        raise RpcError(INVALID_PARAMS, "tasks are listed by context", hint="contextId")
    filters = await call.filters("threads", "read", {"thread_id": given.context_id})
    thread = await call.core.database.read(threads.get, given.context_id.lower(), filters)
    offset = number_in(given.page_token) or 0
    rows: list[dict[str, Any]] = []
    if thread is not None:
        rows = await call.core.database.read(runs.listed, thread["thread_id"], None, given.page_size + 1, offset)
    mine = [row for row in rows[: given.page_size] if row["assistant_id"] == assistant["assistant_id"]]
    following = str(offset + given.page_size) if len(rows) > given.page_size else ""
    shown = [await _shown(call, form, row) for row in mine]
    return {"tasks": shown, "nextPageToken": following, "pageSize": given.page_size, "totalSize": offset + len(rows)}


async def _resubscribe(call: Call, assistant: dict[str, Any], form: Form, request: Request) -> Any:
    run = await _run(call, assistant, jsonrpc.params_of(request, TaskId).id)
    check_streams(call.core)
    return _live(call, form, request, run, call.core.streams.listen(run["run_id"]))


_METHODS: Final[dict[str, Method]] = {
    "send": _send,
    "stream": _stream,
    "get": _get,
    "list": _list,
    "cancel": _cancel,
    "subscribe": _resubscribe,
}

ENDPOINTS = [
    Endpoint("POST", "/a2a/{assistant_id}", post, tag="A2A", answers=(*answers.ok(answers.Rpc), *answers.EVENTS)),
    Endpoint("GET", "/.well-known/agent-card.json", card, tag="A2A", answers=answers.ok(answers.Card)),
]
