"""The event protocol: commands, and streams of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from starlette.websockets import WebSocket

from perdure.server import answers
from perdure.server.bodies import read_body
from perdure.server.database import threads
from perdure.server.protocol import commands, schema
from perdure.server.protocol.replay import beginning, follow
from perdure.server.protocol.wire import event_sse
from perdure.server.responses import Json, Live
from perdure.server.routes import Call, Endpoint, check_streams, found_or_404
from perdure.server.routes.listening import HEARTBEAT

if TYPE_CHECKING:
    from perdure.server.core import Core


async def command(call: Call) -> Any:
    """Send a command to a thread: run.start, input.respond, state.get, ...; errors are answers too."""
    thread_id = call.id("thread_id")
    data = await read_body(call.request, call.core.settings.largest_body)
    return Json(await commands.answer(call, thread_id, data))


async def stream(call: Call, body: schema.EventStream) -> Any:
    """Stream the events of a thread, from `since` on; without it, from the beginning of the newest run."""
    wanted = commands.filter_of(body)
    thread_id = call.id("thread_id")
    filters = await call.filters("threads", "read", {"thread_id": thread_id})
    found_or_404(await call.core.database.read(threads.get, thread_id, filters), f"thread {thread_id}")
    core = call.core
    check_streams(core)
    after = await beginning(core, thread_id, wanted, body.since)

    async def parts() -> AsyncGenerator[bytes, None]:
        following = follow(core, thread_id, wanted, after, is_new=body.since is None, filters=filters)
        async with aclosing(following) as frames:
            async for frame in frames:
                yield event_sse(frame)

    return Live(parts(), beat=HEARTBEAT, media_type="text/event-stream")


def connector(core: Core) -> Callable[[WebSocket], Awaitable[None]]:
    """Make what serves the WebSocket: commands and events of a thread on one connection."""

    async def connect(websocket: WebSocket) -> None:
        from perdure.server.protocol import socket

        await socket.connect(core, websocket)

    return connect


STREAM: Final = "/threads/{thread_id}/stream/events"

ENDPOINTS = [
    Endpoint(
        "POST", "/threads/{thread_id}/commands", command, tag="Event protocol", answers=answers.ok(answers.Command)
    ),
    Endpoint("POST", STREAM, stream, schema.EventStream, "Event protocol", answers=answers.EVENTS),
]
