"""Requests that come too slowly, on a real socket."""

import asyncio

import pytest
import uvicorn

from perdure.server import bounded_http


async def echo(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def connect(monkeypatch):
    monkeypatch.setattr(bounded_http, "SLOWEST", 0.3)
    config = uvicorn.Config(echo, http=bounded_http.BoundedHttp, log_config=None, lifespan="off", port=0)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    writers = []

    async def begin():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield begin
    for writer in writers:
        writer.close()
    await server.shutdown()


async def all_of(reader):
    return await asyncio.wait_for(reader.read(), 5)


async def test_a_head_that_does_not_come_is_not_waited_for(connect):
    reader, _ = await connect()
    assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")


async def test_a_head_in_drops_is_cut_off_as_a_whole(connect):
    reader, writer = await connect()

    async def drip():
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
        for _ in range(50):
            await asyncio.sleep(0.05)
            writer.write(b"a: b\r\n")

    dripping = asyncio.create_task(drip())
    assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()


async def test_a_body_may_be_slow_but_not_stand_still(connect):
    reader, writer = await connect()
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
    for part in (b"a", b"b", b"c", b"d", b"e"):
        await asyncio.sleep(0.15)  # longer than the limit in all
        writer.write(part)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(5) == b"abcde"
    await asyncio.sleep(0.5)  # a connection that is kept has another, longer limit
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
    assert await all_of(reader) == b""


async def test_who_waits_for_a_slow_answer_is_not_cut_off(connect):
    reader, writer = await connect()
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
