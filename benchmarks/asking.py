"""A bare client: with an SDK it would use more of the machine than the server does."""

import asyncio
import json
import time
from urllib.parse import urlsplit

BODY = {"assistant_id": "agent", "input": {"items": ["x"]}}


def right(answer: bytes) -> bool:
    """Tell whether a run of `benchmarks.served` gave what it must."""
    return json.loads(answer).get("items") == ["x", "first", "second"]


class Client:
    """One connection, kept alive."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname, place.port

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return self

    async def __aexit__(self, *_: object):
        self.writer.close()

    async def ask(self, path: str, body: object) -> tuple[float, float, bytes]:
        """Return the seconds to the first bytes of the body and to the end, and the body."""
        data = json.dumps(body).encode()
        about = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        head = f"POST {path} HTTP/1.1\r\n{about}\r\n\r\n"
        began = time.perf_counter()
        self.writer.write(head.encode() + data)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer.split(b" ", 2)[1])
        if b"transfer-encoding: chunked" in answer:
            first, whole = await self._chunks()
        else:
            length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            whole, first = await self.reader.readexactly(length), time.perf_counter()
        if status >= 400:
            raise RuntimeError(f"{status}: {whole!r}")
        return first - began, time.perf_counter() - began, whole

    async def thread(self) -> str:
        """Make a thread, and return where its runs are made."""
        return f"/threads/{json.loads((await self.ask('/threads', {}))[2])['thread_id']}"

    async def _chunks(self) -> tuple[float, bytes]:
        first, parts = 0.0, []
        while size := int((await self.reader.readline()), 16):
            parts.append(await self.reader.readexactly(size))
            first = first or time.perf_counter()
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return first, b"".join(parts)
