"""The event protocol on a WebSocket: commands come in; their answers, and the events that are subscribed to, go out.

An event that several subscriptions want is sent once. A subscription is sent what it has missed before it is answered:
clients take the end of a run for the end of all that they listen to, and don't wait for what comes after it. What comes
then, the connection's one reader sends. A client that doesn't read is not read from the database for.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing, suppress
from typing import Any, Final

from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from perdure.errors import PerdureError
from perdure.server.database import events, runs
from perdure.server.encoding import encode
from perdure.server.errors import NotFoundError, RequestError, TooManyError
from perdure.server.protocol import commands, schema
from perdure.server.protocol.replay import beginning, mark_told, open_questions
from perdure.server.protocol.wire import MARK, Filter, event_json, is_root_end, number_of
from perdure.server.routes import Call, check_streams
from perdure.server.streams import Frame, Pace, frame_of

_CLOSED: Final = 4000
"""Added to the HTTP status that says why a connection is closed."""

_MOST: Final = 256
"""Subscriptions of a connection at most: each event is held against each of them."""


class Subscription:
    """What a client listens to on its connection.

    Args:
        wanted: Which events.
        after: The last event before it.
        is_new: Whether it didn't say where to begin.
    """

    def __init__(self, wanted: Filter, after: int, *, is_new: bool) -> None:
        self.wanted = wanted
        self.after = after
        self.is_new = is_new

    def wants(self, frame: Frame) -> bool:
        """Tell whether an event is to be sent."""
        return frame.event > self.after and self.wanted.wants(frame)


class Connection:
    """One WebSocket.

    Args:
        call: Who has connected.
        socket: The socket.
        thread_id: The thread.
        filters: What of threads they may see.
    """

    def __init__(self, call: Call, socket: WebSocket, thread_id: str, filters: str | None) -> None:
        self._call = call
        self._core = call.core
        self._socket = socket
        self._thread_id = thread_id
        self._filters = filters
        self._subscriptions: dict[str, Subscription] = {}
        self._numbers = itertools.count(1)
        self._sending = asyncio.Lock()
        self._position: int | None = None
        self._may_read = asyncio.Event()
        self._methods = {
            "subscription.subscribe": (schema.EventStream, self._subscribe),
            "subscription.unsubscribe": (schema.Unsubscribe, self._unsubscribe),
            "subscription.reconnect": (schema.Reconnect, self._reconnect),
        }

    async def serve(self) -> None:
        """Answer commands, and send events, until either side goes."""
        tasks = [asyncio.create_task(part()) for part in (self._hear, self._tell)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _hear(self) -> None:
        most = self._core.settings.largest_body
        while True:
            data = await self._socket.receive()
            if data["type"] == "websocket.disconnect":
                return
            text = data.get("text") or data.get("bytes") or b""
            if len(text) > most:
                await self._send(encode(commands.failure(None, TooManyError(f"at most {most} bytes are taken"))))
                continue
            answer = await commands.answer(self._call, self._thread_id, text, self._methods)
            if answer["type"] == "success" and (then := answer["result"].pop("then", None)) is not None:
                await then(answer)
            else:
                await self._send(encode(answer))

    async def _send(self, data: bytes) -> None:
        await self._socket.send_text(data.decode())

    # -- subscriptions

    async def _subscribe(self, call: Call, thread_id: str, given: schema.EventStream) -> dict[str, Any]:
        """Listen; what has been missed is sent first."""
        await commands.thread_of(call, thread_id)
        wanted = commands.filter_of(given)
        after = await beginning(self._core, thread_id, wanted, given.since)
        if len(self._subscriptions) >= _MOST:
            raise commands.CommandError(
                "invalid_argument", f"there are {_MOST} subscriptions already", hint="subscription.unsubscribe"
            )
        subscription = Subscription(wanted, after, is_new=given.since is None)
        name = f"{next(self._numbers)}"
        async with self._sending:
            if self._position is None:
                self._position = await self._core.database.read(events.last_of_thread, thread_id)
            await self._ask_again(subscription)
            await self._replay([subscription], after, self._position or 0)
            self._subscriptions[name] = subscription
        self._may_read.set()
        return {"subscription_id": name}

    async def _ask_again(self, subscription: Subscription) -> None:
        if subscription.is_new:
            for frame in await open_questions(self._core, self._thread_id, subscription.after):
                if subscription.wanted.wants(frame):
                    await self._send(event_json(frame))

    async def _replay(
        self, subscriptions: list[Subscription], after: int, until: int, run_id: str | None = None
    ) -> None:
        pace = Pace()
        while after < until:
            rows = await self._core.database.read(events.of_thread, self._thread_id, after, pace.limit, self._filters)
            pace.note(rows)
            for frame in map(frame_of, rows):
                if frame.event <= until and run_id in (None, frame.run_id):
                    await self._offer(frame, subscriptions)
            if not rows:
                return
            after = rows[-1]["event"]

    async def _unsubscribe(self, call: Call, thread_id: str, given: schema.Unsubscribe) -> dict[str, Any]:
        if self._subscriptions.pop(given.subscription_id, None) is None:
            raise commands.CommandError("no_such_subscription", f"there is no {given.subscription_id} here")
        return {}

    async def _reconnect(self, call: Call, thread_id: str, given: schema.Reconnect) -> dict[str, Any]:
        """Tell what was missed; subscriptions live as long as their connection, so others are not restored."""
        await commands.thread_of(call, thread_id)
        run = await call.core.database.read(runs.get, given.run_id, thread_id)
        if run is None:
            raise commands.CommandError("no_such_run", f"thread {thread_id} has no run {given.run_id}")
        names = given.subscriptions or []
        restored = bool(names) and all(name in self._subscriptions for name in names)
        place = number_of(given.last_event_id or "")
        seen = place[1] if place is not None and place[0] == given.run_id else 0
        missed, first = await call.core.database.read(events.missed, thread_id, given.run_id, MARK, seen)
        tree = await commands.agent_get_tree(call, thread_id, schema.AgentGetTree(run_id=given.run_id))
        statuses = [{"namespace": one["namespace"], "status": one["status"]} for one in _flat(tree["tree"])]
        found = {"restored": restored, "missed_events": missed, "current_namespaces": statuses}

        async def then(answer: dict[str, Any]) -> None:
            async with self._sending:
                await self._send(encode(answer))
                listeners = [self._subscriptions[name] for name in names]
                if missed:
                    await self._replay(listeners, first - 1, self._position or 0, given.run_id)

        return {**found, "then": then} if restored else found

    # -- events

    async def _tell(self) -> None:
        await self._may_read.wait()
        assert self._position is not None
        following = self._core.streams.follow_thread(self._thread_id, self._position, self._filters, closely=True)
        async with aclosing(following) as frames:
            async for frame in frames:
                async with self._sending:
                    self._position = frame.event
                    await self._offer(frame, list(self._subscriptions.values()))
        if not self._core.streams.is_closing:
            raise NotFoundError(f"there is no thread {self._thread_id} any more")

    async def _offer(self, frame: Frame, subscriptions: list[Subscription]) -> None:
        listeners = [one for one in subscriptions if one.wants(frame)]
        if not listeners:
            return
        if is_root_end(frame) and any(one.is_new and one.wanted.is_watcher for one in listeners):
            await mark_told(self._core, self._thread_id, frame)
        await self._send(event_json(frame))


def _flat(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [tree, *(one for child in tree.get("children", ()) for one in _flat(child))]


async def connect(core: Any, socket: WebSocket) -> None:
    """Serve a WebSocket; one that may not be is closed with a code that tells the HTTP status."""
    # The handshake's idempotency key, which a balancer may have given it, isn't that of each command.
    headers = [(name, value) for name, value in socket.scope["headers"] if name != b"idempotency-key"]
    request = Request({**socket.scope, "type": "http", "method": "GET", "headers": headers})
    await socket.accept()
    try:
        call = Call(core, request, await core.guard.user_of(request))
        thread_id = call.id("thread_id")
        check_streams(core)
        filters = await call.filters("threads", "read", {"thread_id": thread_id})
        await Connection(call, socket, thread_id, filters).serve()
    except (WebSocketDisconnect, ConnectionError):
        return
    except RequestError as e:
        await _close(socket, _CLOSED + e.status, _short(str(e)))
    except PerdureError as e:
        await _close(socket, 1011, type(e).__name__)
    else:
        if core.streams.is_closing:
            await _close(socket, 1012, "the server stops")


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    """Close, unless the client has."""
    with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
        await socket.close(code, reason)


def _short(text: str) -> str:
    """Return as much of a text as a close frame holds."""
    return text.encode()[:120].decode(errors="ignore")
