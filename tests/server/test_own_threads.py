"""Threads that are a run's own, and go with it."""

import asyncio

from langgraph_sdk import get_client
from tests.server.serving import Served


async def test_sweeping_takes_no_events_from_who_still_reads_them(own_database, tmp_path):
    """Neither process is told that the run has ended: the one that answers finds it by looking."""
    config = {"checkpointer": {"ttl": {"sweep_interval_minutes": 0.0001}}}
    with (
        Served(tmp_path / "worker", own_database, config=config, arguments=("--no-api",)),
        Served(tmp_path / "api", own_database, config=config, arguments=("--jobs", "0")) as api,
    ):
        client = get_client(url=api.url)

        async def streamed():
            given = {"items": [], "steps": 3, "sleep": 0.05}
            parts = client.runs.stream(None, "loop", input=given, stream_mode="updates")
            return [part.data["tick"]["items"][0] async for part in parts if part.event == "updates"]

        assert await asyncio.gather(*[streamed() for _ in range(60)]) == [[0, 1, 2]] * 60
        await client.aclose()
