"""The whole: two processes that answer and two that work, one of which is killed every few seconds."""

import os

import pytest
from tests.server.storm import JOBS, Storm

SECONDS = float(os.environ.get("PERDURE_STORM_SECONDS", "45"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect")  # the SDK goes on by itself
@pytest.mark.timeout(SECONDS + 150)
async def test_nothing_is_lost_or_doubled_and_every_stream_is_whole(tmp_path, database):
    storm = Storm(tmp_path, database, seed=11)
    await storm.run(SECONDS)
    print(f"done: {dict(storm.done)}; killed: {dict(storm.kills)}; steps begun twice: {storm.doubled()}")
    assert storm.doubled() <= storm.kills["worker"] * JOBS  # what killed workers had in their hands
    assert storm.kills["api"] + storm.kills["worker"] >= SECONDS / 10
    assert min(storm.done[kind] for kind in ("joined", "waited", "streamed", "cancelled", "answered", "queued")) >= 1
