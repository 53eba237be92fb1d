"""A TCP proxy that breaks connections, for tests of network faults.

    with Proxy(("127.0.0.1", port)) as proxy:
        connect(*proxy.address)
        proxy.cut_after(100, "to_client")      # the next 100 bytes of replies, then the connection ends
        proxy.lose_reply_to(b"COMMIT")         # the server gets it, the client never hears of it

Faults hold for all connections, those that are open and those to come, until `heal()`. A fault that has struck leaves
its mark in `struck`; those that are for one connection (`cut_after`, `lose_reply_to`) strike once, so that the next
connection works: what a client does about it is what is tested.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

Direction = Literal["to_server", "to_client"]
Ending = Literal["reset", "close"]

_CHUNK = 65536


class Proxy:
    """Passes bytes on between clients and a server, in a thread of its own.

    Args:
        target: The server's host and port, or the path of its socket.

    Attributes:
        address: Host and port to connect to.
        passed: Bytes passed on, by direction.
        struck: The faults that have struck, in their order.
        connections: How many were made.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._links: set[_Link] = set()
        self.address = ("", 0)
        self.connections = 0
        self.struck: list[str] = []
        self._forget()

    def _forget(self) -> None:
        self.passed: dict[Direction, int] = {"to_server": 0, "to_client": 0}
        self._cuts: dict[Direction, tuple[int, Ending]] = {}
        self._stalled: dict[Direction, bool] = {"to_server": False, "to_client": False}
        self._refuses = False
        self._trigger: bytes | None = None

    # -- life

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(self._open())
        self.address = self._server.sockets[0].getsockname()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Any) -> Any:
        found: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return found.result(20)

    def _do(self, work: Callable[[], None]) -> None:
        """Do something in the proxy's thread, and wait until it is done: what comes after it, it holds for."""

        async def do() -> None:
            work()

        self._call(do())

    async def _open(self) -> asyncio.Server:
        self._woken = asyncio.Event()
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        self._forget()
        self._refuses = True
        self._wake()
        # One that has just come in isn't among the links yet.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for link in list(self._links):
                link.end("close")
            await asyncio.wait(others, timeout=0.02)
        await asyncio.sleep(0)  # what was closed lets go of its socket

    # -- faults

    def cut_after(self, many: int, direction: Direction, ending: Ending = "reset") -> None:
        """End the connection, in both directions, that brings the next so many bytes; once."""
        self._do(lambda: self._cuts.__setitem__(direction, (self.passed[direction] + many, ending)))

    def lose_reply_to(self, trigger: bytes) -> None:
        """Pass on what holds these bytes; when the server replies, reset the client's connection instead; once.

        The bytes may come in pieces. To the server the connection just ends, after all that was sent: it does what it
        was asked.
        """
        self._do(lambda: setattr(self, "_trigger", trigger))

    def stall(self, *directions: Direction) -> None:
        """Pass nothing on, without ending anything; both directions if none is named."""

        def stall() -> None:
            for direction in directions or ("to_server", "to_client"):
                self._stalled[direction] = True
                self.struck.append(f"stall {direction}")

        self._do(stall)

    def reset(self, ending: Ending = "reset") -> None:
        """End all connections that are open now."""

        def end() -> None:
            self.struck.append(ending)
            for link in list(self._links):
                link.end(ending)

        self._do(end)

    def refuse(self) -> None:
        """End all connections, and each new one at once."""
        self._do(lambda: setattr(self, "_refuses", True))
        self.reset()

    def heal(self) -> None:
        """Take all faults away; what was stalled flows on."""

        def heal() -> None:
            self._forget()
            self._wake()

        self._do(heal)

    # -- for the links

    def _wake(self) -> None:
        self._woken.set()
        self._woken = asyncio.Event()

    async def _may_pass(self, direction: Direction) -> None:
        while self._stalled[direction]:
            await self._woken.wait()

    def _cut(self, direction: Direction, data: bytes) -> tuple[bytes, Ending | None]:
        """Return what of the data still passes, and how the connection ends after it."""
        ending: Ending | None = None
        if direction in self._cuts and self.passed[direction] + len(data) >= self._cuts[direction][0]:
            place, ending = self._cuts.pop(direction)
            data = data[: place - self.passed[direction]]
            self.struck.append(f"cut {direction}")
        self.passed[direction] += len(data)
        return data, ending

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refuses:
            _end(writer, "reset")
            return
        try:
            if isinstance(self._target, str):
                server = await asyncio.open_unix_connection(self._target)
            else:
                server = await asyncio.open_connection(*self._target)
        except OSError:  # the server is down: so is the proxy, for this client
            _end(writer, "reset")
            return
        link = _Link(self, (reader, writer), server)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """A client's connection, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: Any, server: Any) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._seen = b""  # the end of what the client sent, where a trigger may have begun
        self._loses_reply = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        self._tasks = [
            asyncio.ensure_future(self._pump("to_server", self._client[0], self._server[1])),
            asyncio.ensure_future(self._pump("to_client", self._server[0], self._client[1])),
        ]
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, OSError):
                raise error
        self.end("close")

    def end(self, ending: Ending, of_server: Ending | None = None) -> None:
        _end(self._client[1], ending)
        _end(self._server[1], of_server or ending)
        for task in self._tasks:
            task.cancel()

    async def _pump(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        while data := await reader.read(_CHUNK):
            await proxy._may_pass(direction)
            if direction == "to_server":
                self._look_for_trigger(data)
            elif self._loses_reply:
                proxy.struck.append("lost reply")
                self.end("reset", of_server="close")
                return
            data, ending = proxy._cut(direction, data)
            writer.write(data)
            await writer.drain()
            if ending is not None:
                await _flushed(writer)
                self.end(ending)
                return
        await proxy._may_pass(direction)
        if writer.can_write_eof():
            with suppress(OSError):
                writer.write_eof()

    def _look_for_trigger(self, data: bytes) -> None:
        trigger = self._proxy._trigger
        if trigger is None:
            self._seen = b""
            return
        self._seen = (self._seen + data)[-(len(data) + len(trigger) - 1) :]
        if trigger in self._seen:
            self._proxy._trigger = None
            self._loses_reply = True


async def _flushed(writer: asyncio.StreamWriter) -> None:
    """Wait until the other side's system has all bytes: a reset would take the others back."""
    connection = writer.get_extra_info("socket")
    for _ in range(2000):
        if writer.transport.is_closing() or connection.fileno() < 0:
            return
        if not writer.transport.get_write_buffer_size() and not _unacknowledged(connection.fileno()):
            return
        await asyncio.sleep(0.001)


def _unacknowledged(file: int) -> int:
    answer = fcntl.ioctl(file, termios.TIOCOUTQ, bytes(4))  # tcp(7): SIOCOUTQ, which is the same number
    return int.from_bytes(answer, sys.byteorder)


def _end(writer: asyncio.StreamWriter, ending: Ending) -> None:
    if ending == "close":
        writer.close()
        return
    connection = writer.get_extra_info("socket")
    if connection.fileno() >= 0 and connection.family != socket.AF_UNIX:
        # Linger for no time: closing sends a RST instead of a FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
