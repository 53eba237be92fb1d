"""The event protocol on a WebSocket: several subscriptions on one connection, and who may connect."""

import asyncio
import json
import uuid
from pathlib import Path

import pytest
import websockets
from tests.server.serving import Served

from perdure.server.protocol import socket


class Peer:
    """A client that reads frames by itself."""

    def __init__(self, socket):
        self.socket = socket
        self.events = []
        self.count = 0

    async def send(self, method, **params):
        self.count += 1
        await self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while (found := await self.frame())["type"] == "event":
            self.events.append(found)
        assert found["id"] == self.count
        return found

    async def frame(self):
        return json.loads(await asyncio.wait_for(self.socket.recv(), 10))

    async def until(self, *ends):
        while True:
            event = await self.frame()
            self.events.append(event)
            if event["method"] == "lifecycle" and event["params"]["data"]["event"] in ends:
                return


def place(server, thread_id):
    return f"{server.url.replace('http', 'ws', 1)}/threads/{thread_id}/stream/events"


@pytest.fixture
async def peer(server, client):
    thread_id = (await client.threads.create())["thread_id"]
    async with websockets.connect(place(server, thread_id), max_size=None) as socket:
        made = Peer(socket)
        made.thread_id = thread_id
        yield made


async def test_commands_and_events_share_a_connection_and_no_event_comes_twice(peer):
    first = await peer.send("subscription.subscribe", channels=["values", "lifecycle"])
    second = await peer.send("subscription.subscribe", channels=["lifecycle", "updates"])
    assert first["result"]["subscription_id"] != second["result"]["subscription_id"]
    await peer.send("run.start", assistant_id="line", input={"items": []})
    await peer.until("completed")
    ids = [event["event_id"] for event in peer.events]
    assert len(ids) == len(set(ids))
    assert {event["method"] for event in peer.events} == {"values", "lifecycle", "updates"}


async def test_a_key_of_the_handshake_is_not_the_key_of_each_command(server, client):
    thread_id = (await client.threads.create())["thread_id"]
    headers = {"Idempotency-Key": "of-the-handshake"}  # a balancer may give each request one
    async with websockets.connect(place(server, thread_id), additional_headers=headers) as socket:
        peer = Peer(socket)
        for _ in range(2):
            await peer.send("run.start", assistant_id="line", input={"items": []})
    assert len(await client.runs.list(thread_id)) == 2


async def test_a_subscription_that_comes_late_is_told_what_it_missed_before_its_answer(peer):
    await peer.send("run.start", assistant_id="line", input={"items": []})
    await peer.send("subscription.subscribe", channels=["lifecycle"])
    if not any(event["params"]["data"]["event"] == "completed" for event in peer.events):
        await peer.until("completed")
    peer.events.clear()
    await peer.send("subscription.subscribe", channels=["updates", "lifecycle"])
    told = [event["params"]["data"] for event in peer.events]
    assert [data.get("node") or data["event"] for data in told] == ["running", "first", "second", "completed"]


async def test_a_place_that_is_not_reached_yet_keeps_nothing_from_others(peer):
    await peer.send("subscription.subscribe", channels=["updates"], since=1 << 50)
    await peer.send("subscription.subscribe", channels=["lifecycle"])
    await peer.send("run.start", assistant_id="line", input={"items": []})
    await peer.until("completed")


async def test_who_unsubscribes_hears_no_more(peer):
    subscription = (await peer.send("subscription.subscribe", channels=["updates"]))["result"]["subscription_id"]
    await peer.send("subscription.subscribe", channels=["lifecycle"])
    assert (await peer.send("subscription.unsubscribe", subscription_id=subscription))["result"] == {}
    again = await peer.send("subscription.unsubscribe", subscription_id=subscription)
    assert again["error"] == "no_such_subscription"
    await peer.send("run.start", assistant_id="line", input={"items": []})
    await peer.until("completed")
    assert {event["method"] for event in peer.events} == {"lifecycle"}


async def test_subscriptions_are_bounded(peer):
    for n in range(257):
        await peer.socket.send(json.dumps({"id": n, "method": "subscription.subscribe", "params": {"channels": []}}))
    answers = [await peer.frame() for _ in range(257)]
    assert [answer["type"] for answer in answers] == ["success"] * 256 + ["error"]
    assert "256 subscriptions" in answers[-1]["message"]


async def test_a_client_that_has_gone_is_not_closed_again():
    class Gone:
        async def close(self, code, reason):
            raise RuntimeError("websocket.close")

    await socket._close(Gone(), 1012, "the server stops")


async def test_a_reconnect_says_what_was_missed(peer, server):
    subscription = (await peer.send("subscription.subscribe", channels=["lifecycle"]))["result"]["subscription_id"]
    run_id = (await peer.send("run.start", assistant_id="nested", input={"items": []}))["result"]["run_id"]
    while not any(not e["params"]["namespace"] and e["params"]["data"]["event"] == "completed" for e in peer.events):
        await peer.until("completed")
    seen = peer.events[0]
    async with websockets.connect(place(server, peer.thread_id)) as socket:
        other = Peer(socket)
        found = await other.send("subscription.reconnect", run_id=run_id, last_event_id=seen["event_id"])
        assert found["result"]["restored"] is False
        told = len({event["event_id"] for event in peer.events})
        assert found["result"]["missed_events"] > told
        statuses = {tuple(one["namespace"]): one["status"] for one in found["result"]["current_namespaces"]}
        assert statuses.pop(()) == "completed"
        assert list(statuses.values()) == ["completed"]
        gone = await other.send("subscription.reconnect", run_id=str(uuid.uuid4()))
        assert gone["error"] == "no_such_run"
    peer.events.clear()
    kept = await peer.send(
        "subscription.reconnect", run_id=run_id, last_event_id=seen["event_id"], subscriptions=[subscription]
    )
    assert kept["result"]["restored"] is True
    await peer.until("completed")
    assert all(event["seq"] > seen["seq"] for event in peer.events)


async def test_what_is_no_command_is_answered_and_the_connection_lives(peer):
    await peer.socket.send("{")
    assert (await peer.frame())["error"] == "invalid_argument"
    await peer.socket.send(b"\xff\xfe")
    assert (await peer.frame())["error"] == "invalid_argument"
    assert (await peer.send("run.dance"))["error"] == "unknown_command"


async def test_pages_of_other_origins_may_not_connect(server, client):
    thread_id = (await client.threads.create())["thread_id"]
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(place(server, thread_id), origin="http://elsewhere.example")
    assert refused.value.response.status_code == 403
    own = server.url
    async with websockets.connect(place(server, thread_id), origin=own):
        pass


async def test_who_may_not_is_told_why(own_database, tmp_path):
    keys = {"PERDURE_API_KEYS": "ann:s3cret"}
    with Served(tmp_path, own_database, environment=keys) as served:
        async with websockets.connect(place(served, uuid.uuid4())) as socket:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd.code == 4401
        headers = {"x-api-key": "s3cret"}
        async with websockets.connect(place(served, "no-uuid"), additional_headers=headers) as socket:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd.code == 4422
        async with websockets.connect(place(served, uuid.uuid4()), additional_headers=headers) as socket:
            peer = Peer(socket)
            assert (await peer.send("subscription.subscribe", channels=["values"]))["error"] == "invalid_argument"


async def test_a_client_that_doesnt_read_costs_no_memory(server, client):
    """180 MB of events, 60 of them wanted, are told to somebody who reads nothing; few are held at a time."""
    thread_id = (await client.threads.create())["thread_id"]
    socket = await websockets.connect(place(server, thread_id), max_queue=1, max_size=None)
    await socket.send(json.dumps({"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}}))
    await asyncio.sleep(0.2)
    before = memory(server)
    given = {"items": ["x" * 1_000_000], "steps": 60}
    made = await client.http.post(
        f"/threads/{thread_id}/commands",
        json={"id": 1, "method": "run.start", "params": {"assistant_id": "loop", "input": given}},
    )
    await client.runs.join(thread_id, made["result"]["run_id"])
    grown = memory(server) - before
    socket.transport.abort()
    await socket.wait_closed()
    assert grown < 120


def memory(server):
    """Return the megabytes that a server holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
