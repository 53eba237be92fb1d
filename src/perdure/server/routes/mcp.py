"""MCP: every assistant is a tool. Streamable HTTP without sessions: a request is answered by itself.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.responses import Response

from perdure import __version__
from perdure.errors import PerdureError
from perdure.server import answers, jsonrpc, schema
from perdure.server.bodies import read_body
from perdure.server.database import assistants
from perdure.server.encoding import decode, encode, encode_text
from perdure.server.jsonrpc import INVALID_PARAMS, NO_METHOD, RpcError
from perdure.server.responses import Json, Live
from perdure.server.routes import Call, Endpoint
from perdure.server.routes.assistants import schemas_of
from perdure.server.routes.listening import HEARTBEAT, on_leave, output_when_ended
from perdure.server.routes.runs import make, own_or

VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26")

_MOST_TOOLS: Final = 1000
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 55


class _Initialize(msgspec.Struct, kw_only=True):
    protocol_version: str = msgspec.field(name="protocolVersion")


class _CallTool(msgspec.Struct, kw_only=True):
    name: str
    arguments: dict[str, Any] | None = None


async def post(call: Call) -> Any:
    """Answer a request of MCP: initialize, ping, tools/list, tools/call."""
    request: jsonrpc.Request | None = None
    try:
        request = jsonrpc.request_of(await read_body(call.request, call.core.settings.largest_body))
        if request.is_notification:
            return Response(status_code=202)
        if request.method == "tools/call":
            return await _call_tool(call, request)
        method = _METHODS.get(request.method)
        if method is None:
            raise RpcError(NO_METHOD, f"there is no method {request.method!r}", hint=", ".join(_METHODS))
        return Json(jsonrpc.answer(request, await method(call, request)))
    except PerdureError as e:
        return Json(jsonrpc.failure(request, e), 400 if request is None else 200)


async def get(call: Call) -> Any:
    """Refuse to keep a stream open: there are no sessions whose events it could tell."""
    return Json({"detail": "there are no sessions here: POST requests"}, 405, {"Allow": "POST"})


async def delete(call: Call) -> Any:
    """Refuse to end a session: there are none."""
    return Json({"detail": "there are no sessions here"}, 404)


async def _initialize(call: Call, request: jsonrpc.Request) -> Any:
    asked = jsonrpc.params_of(request, _Initialize).protocol_version
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "perdure", "version": __version__},
    }


async def _ping(call: Call, request: jsonrpc.Request) -> Any:
    return {}


async def _list_tools(call: Call, request: jsonrpc.Request) -> Any:
    return {"tools": [await _tool(call, name, found) for name, found in (await _assistants(call)).items()]}


async def _tool(call: Call, name: str, assistant: dict[str, Any]) -> dict[str, Any]:
    async with call.core.graphs.open(assistant["graph_id"], assistant["config"]) as graph:
        found = schemas_of(graph)["input_schema"]
    is_object = isinstance(found, dict) and found.get("type") == "object"
    description = assistant["description"] or f"Runs the graph {assistant['graph_id']}."
    return {
        "name": name,
        "title": assistant["name"],
        "description": description,
        "inputSchema": found if is_object else {"type": "object"},
    }


async def _assistants(call: Call) -> dict[str, dict[str, Any]]:
    """Return the assistants that the caller may see, by the names of their tools: the oldest of a name has it alone."""
    value: dict[str, Any] = {"metadata": {}}
    filters = own_or(await call.filters("assistants", "search", value))
    metadata = encode_text(value["metadata"]) if value["metadata"] else None
    asked = schema.AssistantSearch(limit=_MOST_TOOLS, sort_by="created_at", sort_order="asc")
    rows = await call.core.database.read(assistants.search, asked, metadata, filters)
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not call.core.graphs.known(row["graph_id"]):
            continue
        name = _NOT_IN_NAMES.sub("_", row["name"] or row["graph_id"])[:_LONGEST_NAME] or "assistant"
        found[name if name not in found else f"{name}-{row['assistant_id'][:8]}"] = row
    return found


async def _call_tool(call: Call, request: jsonrpc.Request) -> Any:
    """Run an assistant on a thread of its own; the answer comes when it has ended."""
    given = jsonrpc.params_of(request, _CallTool)
    found = (await _assistants(call)).get(given.name)
    if found is None:
        raise RpcError(INVALID_PARAMS, f"there is no tool {given.name!r}", hint="tools/list")
    body = schema.RunCreate(assistant_id=found["assistant_id"], input=given.arguments or {})
    run, listener = await make(call, body, None, "result")
    result = output_when_ended(call, run, listener)
    if "text/event-stream" not in call.request.headers.get("accept", ""):
        return Json(jsonrpc.answer(request, _content(await result)))

    async def parts() -> AsyncGenerator[bytes, None]:
        told = encode(jsonrpc.answer(request, _content(await result)))
        yield b"event: message\r\ndata: %b\r\n\r\n" % told

    leave = on_leave(call, run, "cancel")
    return Live(parts(), beat=HEARTBEAT, media_type="text/event-stream", on_leave=leave)


def _content(output: bytes) -> dict[str, Any]:
    """Return a run's output as a tool's: as text, and as it is."""
    found = decode(output)
    if isinstance(found, dict) and "__error__" in found:
        error = found["__error__"]
        text = f"{error['error']}: {error['message']}"
        return {"content": [{"type": "text", "text": text}], "isError": True}
    structured = found if isinstance(found, dict) else {"result": found}
    content = [{"type": "text", "text": output.decode()}]
    return {"content": content, "structuredContent": structured, "isError": False}


_METHODS: Final[dict[str, Callable[[Call, jsonrpc.Request], Awaitable[Any]]]] = {
    "initialize": _initialize,
    "ping": _ping,
    "tools/list": _list_tools,
}

_TOLD: Final = (*answers.ok(answers.Rpc), *answers.EVENTS, answers.Answer(202, None))

ENDPOINTS = [
    Endpoint(method, path, handler, tag="MCP", answers=told)
    for path in ("/mcp/", "/mcp")
    for method, handler, told in (("POST", post, _TOLD), ("GET", get, ()), ("DELETE", delete, ()))
]
