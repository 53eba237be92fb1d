"""Hints between processes by a Valkey: they make things soon, and nothing depends on them."""

import asyncio
import logging
import sys
import time
from types import SimpleNamespace

import psycopg
import pytest
from langgraph_sdk import get_client
from tests.server.serving import Served

import redis
from perdure.errors import InvalidConfigError
from perdure.server.config_file import RedisSpec
from perdure.server.hints import Hints
from perdure.server.pubsub import PubSub

POLL = 2.0
"""Seconds between two looks at the queue."""


@pytest.fixture
async def pair(own_database, own_valkey, tmp_path):
    """One process that answers and one that runs, which hear of each other by a Valkey; a client of the first."""
    environment = {"PERDURE_POLL_SECONDS": str(POLL), "REDIS_URI": own_valkey.url, "REDIS_KEY_PREFIX": "tests:"}
    with (
        Served(tmp_path / "worker", own_database, environment=environment, arguments=("--no-api",)) as worker,
        Served(tmp_path / "api", own_database, environment=environment, arguments=("--jobs", "0")) as api,
    ):
        both = (api, worker)
        await until(lambda: all("hints go by Valkey or Redis at 127.0.0.1" in served.log for served in both))
        client = get_client(url=api.url)
        yield SimpleNamespace(both=both, client=client)
        await client.aclose()


async def until(check, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it didn't happen"
        await asyncio.sleep(0.02)


async def seconds_of(awaited):
    began = time.monotonic()
    await awaited
    return time.monotonic() - began


async def begun(client, log, seconds):
    """Make a run that sleeps, and wait until it does."""
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread_id, "line", input={"items": [], "sleep": seconds, "log": str(log)})
    await until(lambda: log.exists() and "second" in log.read_text())
    return thread_id, run["run_id"]


async def test_processes_hear_of_each_other_by_a_valkey_and_need_it_for_nothing(
    pair, own_database, own_valkey, tmp_path
):
    # One pair of processes for all of it: starting them is what takes time.
    await begins_ends_and_stops_at_once(pair.client, tmp_path)
    if own_database.startswith("postgres"):
        with psycopg.connect(own_database) as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            assert connection.execute(asked).fetchone() == (0,)
    await hears_forged_hints_and_stops_no_run(pair.client, own_valkey, tmp_path)
    await loses_no_event_of_a_stream_when_it_dies(pair, own_valkey)


async def begins_ends_and_stops_at_once(client, folder):
    times = [await seconds_of(client.runs.wait(None, "line", input={"items": []})) for _ in range(8)]
    assert sum(times) < 8 * POLL / 4  # by polls of the queue alone half of its pause, each
    assert min(times) < 0.2  # by the poll of who listens, its end would be seen a quarter of a second later
    stopped = []
    for number in range(3):
        ids = await begun(client, folder / f"log{number}", 30)
        stopped.append(await seconds_of(client.runs.cancel(*ids, wait=True)))
        assert (await client.runs.get(*ids))["status"] == "interrupted"
    assert min(stopped) < 0.3  # a claim is renewed, and a stop seen, once a second


async def hears_forged_hints_and_stops_no_run(client, valkey, folder):
    ids = await begun(client, folder / "log", 0.5)
    texts = [f"cancel {ids[1]} interrupt", "look", "queue", "events a b", "events", "", "\ud800", "x" * 100_000]
    with redis.Redis.from_url(valkey.url) as other:
        for text in texts:
            told = f"me\n{text}".encode("utf-8", "surrogatepass")
            assert other.publish("tests:perdure:hints", told) == 2
        other.publish("tests:perdure:hints", b"\xff\n\xff")
        assert other.publish("perdure:hints", b"me\nqueue") == 0
    assert (await client.runs.join(*ids))["items"] == ["first", "second"]
    assert (await client.runs.get(*ids))["attempt"] == 1


async def loses_no_event_of_a_stream_when_it_dies(pair, valkey):
    given, seen = {"items": [], "steps": 20, "sleep": 0.05}, []
    async for part in pair.client.runs.stream(None, "loop", input=given, stream_mode="updates"):
        if part.event == "updates":
            seen.append(part.data["tick"]["items"][0])
        if len(seen) == 4:
            valkey.stop()
    assert seen == list(range(20))
    await until(lambda: all("nothing is lost" in served.log for served in pair.both))
    assert (await pair.client.runs.wait(None, "line", input={"items": []}))["items"] == ["first", "second"]
    valkey.start()
    await until(lambda: all(served.log.count("hints go by") == 2 for served in pair.both))
    assert min([await seconds_of(pair.client.runs.wait(None, "line", input={"items": []})) for _ in range(3)]) < 0.3
    assert all(served.log.count("nothing is lost") == 1 for served in pair.both)


async def test_a_server_behind_a_pooler_polls_and_says_so(pooled_database, tmp_path):
    with Served(tmp_path / "server", pooled_database) as served:
        client = get_client(url=served.url)
        runs = [client.runs.wait(None, "line", input={"items": []}) for _ in range(40)]
        for done in await asyncio.gather(*runs):
            assert done["items"] == ["first", "second"]
        await client.aclose()
        assert served.stop() == 0
        assert served.log.count("NOTIFY doesn't pass a pooler: all is polled") == 1
        assert "prepared statement" not in served.log
        assert "ERROR" not in served.log


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("redis://127.0.0.1:1/0", "Valkey or Redis at 127.0.0.1 is down: until it is back the database is polled"),
        ("127.0.0.1:1", "redis: Redis URL must specify one of the following schemes"),
    ],
)
async def test_a_valkey_that_is_not_there_is_told_and_the_server_goes_on(uri, why, tmp_path):
    with Served(tmp_path / "server", f"sqlite:///{tmp_path}/own.db", config={"redis": {"uri": uri}}) as served:
        client = get_client(url=served.url)
        assert (await client.runs.wait(None, "line", input={"items": []}))["items"] == ["first", "second"]
        await client.aclose()
        assert served.log.count(why) == 1
        assert served.stop() == 0


@pytest.mark.parametrize("uri", ["", "localhost", "redis://here:x/0", "redis://here/0?unknown=1"])
def test_an_address_that_cannot_be_one_is_refused_with_an_example(uri):
    with pytest.raises(InvalidConfigError, match="REDIS_URI=redis://user:password@host:6379/0"):
        PubSub(RedisSpec(uri))


def test_a_missing_package_is_told_and_the_database_carries_the_hints(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "perdure.server.pubsub", raising=False)
    database = SimpleNamespace(notifies=True, url="postgresql://nowhere")
    core = SimpleNamespace(redis=RedisSpec("redis://localhost"), database=database)
    with caplog.at_level(logging.WARNING):
        wire = Hints(core)._wire()
    assert wire.name == "NOTIFY"
    assert "pip install 'perdure[redis]'; the server goes on without it" in caplog.text
