"""Messages about runs: sent, signed, tried again, and not to everywhere."""

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
from langgraph_sdk.errors import UnprocessableEntityError

from perdure.server import webhooks as sending
from perdure.server.config_file import WebhooksSpec, WebhookUrls
from perdure.server.database.webhooks import Message
from perdure.server.webhooks import Policy, Sender


@asynccontextmanager
async def receiver(failures=0):
    got, asked = asyncio.Queue(), []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers["content-length"]))
        asked.append(body)
        status = "500 No" if len(asked) <= failures else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        if len(asked) > failures:
            got.put_nowait((headers, body))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", got, asked


async def test_a_run_that_has_ended_is_told_and_signed(client):
    thread = await client.threads.create()
    async with receiver() as (url, got, _):
        await client.runs.wait(thread["thread_id"], "line", input={"items": []}, webhook=url)
        headers, body = await asyncio.wait_for(got.get(), 10)
    told = json.loads(body)
    [run] = await client.runs.list(thread["thread_id"])
    assert (told["run_id"], told["status"], told["error"]) == (run["run_id"], "success", None)
    assert told["values"]["items"] == ["first", "second"]
    assert told["run_started_at"] <= told["run_ended_at"]
    assert told["webhook_sent_at"]
    moment, signature = (part.partition("=")[2] for part in headers["x-perdure-signature"].split(","))
    assert signature == hmac.new(b"s3cret", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


async def test_a_message_that_isnt_taken_is_sent_again(client):
    thread = await client.threads.create()
    async with receiver(failures=1) as (url, got, asked):
        await client.runs.wait(
            thread["thread_id"], "line", input={"items": [], "fail": "boom"}, webhook=url, raise_error=False
        )
        _, body = await asyncio.wait_for(got.get(), 50)
    assert len(asked) == 2
    told = json.loads(body)
    assert (told["status"], told["error"]["message"]) == ("error", "boom")


async def test_an_address_that_isnt_allowed_is_refused(client):
    for url in ("ftp://example.com/x", "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "http://u@a/x"):
        with pytest.raises(UnprocessableEntityError, match="Webhook"):
            await client.runs.create(None, "line", input={"items": []}, webhook=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://127.1.2.3:80/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://localhost/x",
        "http://a.localhost/x",
        "http://0.0.0.0/x",
        "http://192.168.1.1/x",
        "http://[fe80::1]/x",
        "http://[fd00::1]/x",
        "http://224.0.0.1/x",
        "file:///etc/passwd",
        "http:///x",
        "http://a..b/x",
        "http://[64:ff9b::10.0.0.1]/x",
        "http://[2002:a00:1::]/x",
        "http://[::127.0.0.1]/x",
        "http://[fec0::1]/x",
        "x" * 3000,
    ],
)
def test_the_servers_own_network_is_out_of_reach_by_default(url):
    assert Policy(WebhooksSpec()).refusal(url) is not None


def test_rules_of_the_configuration():
    rules = WebhookUrls(require_https=True, allowed_domains=["a.example", "*.b.example"], allowed_ports=[443])
    policy = Policy(WebhooksSpec(url=rules))
    assert policy.refusal("https://a.example/x") is None
    assert policy.refusal("https://x.b.example/x") is None
    assert policy.refusal("http://a.example/x") == "it is not https://"
    assert "host" in policy.refusal("https://b.example/x")
    assert "port" in policy.refusal("https://a.example:8443/x")


def sender():
    rules = WebhookUrls(disable_loopback=False)
    return Sender(None, Policy(WebhooksSpec(url=rules)))


def posted(url):
    return sender()._post(Message("r", url, "{}", 0, 0.0))


@pytest.mark.parametrize(
    "url", ["http://a..b/x", "http://localhost/\x00", "http://localhost:1/x", "http://2130706433:1/"]
)
async def test_an_address_that_no_message_can_go_to_is_a_failure_not_the_servers_end(url):
    assert await posted(url)


async def talk(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


async def drip(reader, writer):
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("serve", "failure"), [(talk, None), (drip, "it took longer than 1 s")])
async def test_a_receiver_that_never_ends_is_left_soon(serve, failure, monkeypatch):
    ended = asyncio.Event()

    async def until_left(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX: " if serve is drip else b"")
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        ended.set()

    monkeypatch.setattr(sending, "_TIMEOUT", 1.0)
    async with await asyncio.start_server(until_left, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert await asyncio.wait_for(posted(url), 5) == failure
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_slow_receiver_holds_up_nobody_elses_message(monkeypatch):
    waiting, done = asyncio.Event(), []

    class Database:
        async def read(self, operation, *args):
            return [Message(name, name, "{}", 0, 0.0) for name in ("slow", "quick")]

        async def once(self, operation, *args):
            if operation is sending.webhooks.delete:
                done.append(args[0])
            return True

    async def post(self, message):
        if message.url == "slow":
            await waiting.wait()

    monkeypatch.setattr(Sender, "_post", post)
    core = SimpleNamespace(database=Database(), keep=lambda work, name: asyncio.create_task(work))
    made = Sender(core, Policy(WebhooksSpec()))
    made.start()
    await asyncio.sleep(0.05)
    assert done == ["quick"]
    waiting.set()
    await asyncio.sleep(0.05)
    assert done == ["quick", "slow"]
    await made.stop()
