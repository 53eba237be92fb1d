"""Clients that leave threads and sockets behind them, in a process of their own: `python threading_clients.py URL`."""

import asyncio
import sys

from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_sync_client

ASKED = {"messages": [{"role": "human", "content": "rome"}]}


def synchronous(url, transport):
    client = get_sync_client(url=url)
    with client.threads.stream(assistant_id="agent", transport=transport) as thread:
        thread.run.start(input=ASKED)
        assert [str(message.text) for message in thread.messages] == ["", "sunny-in-rome "]
        assert thread.output["messages"][-1]["content"] == "sunny-in-rome "


def remote(url):
    graph = RemoteGraph("agent", url=url)
    with graph.stream_events(ASKED, version="v3") as run:
        assert [str(message.text) for message in run.messages] == ["", "sunny-in-rome "]
        assert run.output["messages"][-1]["content"] == "sunny-in-rome "


async def aremote(url):
    graph = RemoteGraph("loop", url=url)
    async with await graph.astream_events({"items": [], "steps": 3}, version="v3") as run:
        assert [values.get("items") async for values in run.values][-1] == [0, 1, 2]
        assert (await run.output())["items"] == [0, 1, 2]


def main():
    url = sys.argv[1]
    synchronous(url, "sse")
    synchronous(url, "websocket")
    remote(url)
    asyncio.run(aremote(url))
    print("done")


if __name__ == "__main__":
    main()
