"""HTTP/1.1 as uvicorn speaks it with httptools, but with an end to heads and to patience.

The parser keeps all of a head in memory, and nothing else limits how slowly a request may come.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD: Final = 1 << 16
"""Bytes that a request's line and headers may have, and a body's trailers."""

SLOWEST: Final = 20.0
"""Seconds within which a request's head must have come, and each part of its body after the one before."""


def _refusal(status: bytes, detail: bytes) -> bytes:
    body = b'{"detail":"%b"}' % detail
    head = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_TOO_LARGE: Final = _refusal(b"431 Request Header Fields Too Large", b"the headers are too large")
_TOO_LATE: Final = _refusal(b"408 Request Timeout", b"the request came too slowly")


class BoundedHttp(HttpToolsProtocol):
    """Counts the bytes that came since the parser has made something of them, and waits for more for some time only."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept = 0
        self._is_in_head = True
        self._is_whole = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._late = self.loop.call_later(SLOWEST, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._kept += len(data)
        super().data_received(data)
        if self._is_whole:
            self._stop_waiting()
        elif self._late is None or not self._is_in_head:
            self._stop_waiting()
            self._late = self.loop.call_later(SLOWEST, self._give_up)
        if self._kept > LARGEST_HEAD and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self.flow.read_paused:  # it is this side that is slow
            self._late = self.loop.call_later(SLOWEST, self._give_up)
            return
        if self._is_in_head:
            self.transport.write(_TOO_LATE)
        self.transport.close()

    def on_message_begin(self) -> None:
        self._is_in_head, self._is_whole = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._kept = 0
        self._is_in_head = False
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Hear that a part of a body begins."""
        self._kept = 0

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._kept = 0
        self._is_whole = True
        super().on_message_complete()
