"""Answers: JSON at once, or bytes as they come, for as long as the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from perdure.server.encoding import encode

HEARTBEAT: Final = 5.0
"""Seconds of silence after which a sign of life is sent."""


class Json(Response):
    """A value as JSON."""

    media_type = "application/json"

    def __init__(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(encode(value), status, headers)


class Live(Response):
    """Bytes as they come.

    Args:
        parts: The bytes.
        beat: What is sent in silences.
        on_leave: Called if the client goes before the end.
    """

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        *,
        beat: bytes,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        on_leave: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body = b""
        self._parts = parts
        self._beat = beat
        self._on_leave = on_leave
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        pump = asyncio.create_task(self._pump(send))
        watch = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                await pump
            elif self._on_leave is not None:
                await self._on_leave()
        finally:
            for task in (pump, watch):
                task.cancel()
            await asyncio.wait({pump, watch})

    async def _pump(self, send: Send) -> None:
        async with aclosing(beaten(self._parts, self._beat)) as parts:
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def beaten(
    parts: AsyncGenerator[bytes, None], beat: bytes, every: float = HEARTBEAT
) -> AsyncGenerator[bytes, None]:
    """Yield the parts, and the beat in silences."""
    waiting: asyncio.Task[bytes] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(parts))
            done, _ = await asyncio.wait({waiting}, timeout=every)
            if not done:
                yield beat
                continue
            finished, waiting = waiting, None
            try:
                yield finished.result()
            except StopAsyncIteration:
                return
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
        await parts.aclose()
