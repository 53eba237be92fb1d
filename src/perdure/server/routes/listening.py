"""Listening to runs: their events and their output, as parts of an answer; and what is done when the client goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from perdure.server.database import runs, threads
from perdure.server.encoding import encode
from perdure.server.execution import output_of
from perdure.server.protocol.wire import MARK
from perdure.server.responses import Live
from perdure.server.routes import Call, check_streams
from perdure.server.states import state_of
from perdure.server.streams import HIDDEN, RESULT, Listener, SlowListenerError

HEARTBEAT = b": heartbeat\r\n\r\n"


def on_leave(call: Call, run: dict[str, Any], policy: str) -> Callable[[], Awaitable[None]] | None:
    """Return what is done when a run's client goes: `cancel` it, or let it `continue`."""
    if policy == "continue":
        return None

    async def leave() -> None:
        await stop(call, run["run_id"], "interrupt")

    return leave


async def frames(
    call: Call, run: dict[str, Any], listener: Listener, after: int | None, modes: frozenset[str] | None
) -> AsyncGenerator[bytes, None]:
    """Yield a run's events as parts of an SSE stream."""
    resumable = run["kwargs"].get("stream_resumable", False)
    try:
        async for frame in call.core.streams.follow(run, listener, after=after):
            mode = frame.name.partition("|")[0].partition("/")[0]
            if frame.name in HIDDEN or frame.name.startswith(MARK) or (modes is not None and mode not in modes):
                continue
            yield frame.text(frame.seq if resumable else None)
    except SlowListenerError as e:
        yield b"event: error\r\ndata: %b\r\n\r\n" % encode({"error": "SlowListenerError", "message": str(e)})
    finally:
        call.core.streams.leave(run["run_id"], listener)


async def output_when_ended(call: Call, run: dict[str, Any], listener: Listener) -> bytes:
    """Wait for a run's end; return its output as JSON."""
    streams = call.core.streams
    channel = streams.channel(run["run_id"])
    found: bytes | None = None
    try:
        async for frame in streams.follow(run, listener, after=0 if not channel.is_local else None):
            if frame.name == RESULT:
                found = frame.data
        if found is None:
            found = channel.result
        return found if found is not None else encode(await stored_output(call, run["run_id"]))
    finally:
        streams.leave(run["run_id"], listener)


async def stored_output(call: Call, run_id: str) -> Any:
    """Return what a run left behind that ended before anybody asked: its error, or its thread's state."""
    run = await call.core.database.read(runs.get, run_id)
    if run is None:
        return None
    if run["error"] is not None:
        return {"__error__": run["error"]}
    thread = await call.core.database.read(threads.get, run["thread_id"])
    return None if thread is None else output_of(await state_of(call.core, thread))


def sse(parts: AsyncGenerator[bytes, None], headers: dict[str, str], leave: Any) -> Live:
    """Answer with events."""
    return Live(parts, beat=HEARTBEAT, media_type="text/event-stream", headers=headers, on_leave=leave)


def waiting(result: Awaitable[bytes], headers: dict[str, str], leave: Any) -> Live:
    """Answer with headers at once, and with JSON in the end; line breaks before it keep the connection alive."""

    async def parts() -> AsyncGenerator[bytes, None]:
        yield await result

    return Live(parts(), beat=b"\n", media_type="application/json", headers=headers, on_leave=leave)


async def no_parts() -> AsyncGenerator[bytes, None]:
    """Yield nothing: a stream of a run that has ended."""
    return
    yield b""


async def stop(call: Call, run_id: str, action: str) -> str | None:
    """Ask a run to stop, wherever it runs; return its status before."""
    before = await call.core.database.write(runs.cancel, run_id, action)
    if before == "running":
        call.core.hints.cancel(run_id, action)
    elif before == "pending":
        call.core.streams.close(run_id)
        call.core.hints.queue()
    return before


async def stop_heard(call: Call, run: dict[str, Any], action: str) -> Listener:
    """Ask a run to stop, and listen to how it ends."""
    check_streams(call.core)
    listener = call.core.streams.listen(run["run_id"], for_result=True)
    try:
        await stop(call, run["run_id"], action)
    except BaseException:
        call.core.streams.leave(run["run_id"], listener)
        raise
    return listener
