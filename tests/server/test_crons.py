"""Crons through the SDK."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from perdure.errors import UsageError
from perdure.server.scheduler import next_time


async def test_a_cron_is_made_changed_found_and_deleted(client):
    thread = await client.threads.create()
    mark = str(uuid.uuid4())
    made = await client.crons.create_for_thread(
        thread["thread_id"],
        "line",
        schedule="0 12 * * *",
        timezone="Europe/Berlin",
        input={"items": []},
        metadata={"mark": mark},
    )
    id_ = made["cron_id"]
    assert (made["thread_id"], made["schedule"], made["enabled"]) == (thread["thread_id"], "0 12 * * *", True)
    following = datetime.fromisoformat(made["next_run_date"])
    assert following > datetime.now(UTC)
    assert following.astimezone(tz=None) - datetime.now(UTC) < timedelta(days=1, hours=1)
    assert await client.crons.search(metadata={"mark": mark}) == [made]
    assert await client.crons.count(metadata={"mark": mark}) == 1
    changed = await client.crons.update(id_, schedule="30 1 * * 1", enabled=False, metadata={"more": 1})
    assert (changed["schedule"], changed["enabled"]) == ("30 1 * * 1", False)
    assert changed["metadata"] == {"mark": mark, "more": 1}
    assert changed["payload"]["input"] == {"items": []}
    assert await client.crons.search(metadata={"mark": mark}, enabled=True) == []
    await client.crons.delete(id_)
    with pytest.raises(NotFoundError):
        await client.crons.delete(id_)


async def test_a_cron_makes_runs_when_its_time_comes(client):
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    made = await client.crons.create_for_thread(id_, "line", schedule="* * * * *", input={"items": ["tick"]})
    # The next full minute may be a minute away: the test waits for it, as there is no other way to see it.
    for _ in range(70 * 5):
        if await client.runs.list(id_, status="success"):
            break
        await asyncio.sleep(0.2)
    else:
        pytest.fail("no run was made")
    await client.crons.delete(made["cron_id"])
    [run] = await client.runs.list(id_)
    assert run["kwargs"]["config"]["configurable"]["cron_id"] == made["cron_id"]
    assert (await client.threads.get_state(id_))["values"]["items"] == ["tick", "first", "second"]


test_a_cron_makes_runs_when_its_time_comes = pytest.mark.timeout(120)(test_a_cron_makes_runs_when_its_time_comes)


async def test_mistakes_are_named(client):
    for schedule in ("nonsense", "* * * *", "61 * * * *", "* * * * * *"):
        with pytest.raises(UnprocessableEntityError, match="schedule"):
            await client.crons.create("line", schedule=schedule)
    with pytest.raises(UnprocessableEntityError, match="time zone"):
        await client.crons.create("line", schedule="* * * * *", timezone="Mars/Base")
    with pytest.raises(NotFoundError):
        await client.crons.create("nope", schedule="* * * * *")


def test_times_are_those_of_the_zone_over_a_change_of_the_clock():
    before = datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()
    first = next_time("30 8 * * *", "Europe/Berlin", before)
    second = next_time("30 8 * * *", "Europe/Berlin", first)
    assert datetime.fromtimestamp(first, UTC) == datetime(2026, 3, 29, 6, 30, tzinfo=UTC)
    assert second - first == 24 * 3600
    assert next_time("30 8 * * *", None, before, end=before + 60) is None
    with pytest.raises(UsageError):
        next_time("x", None, before)
