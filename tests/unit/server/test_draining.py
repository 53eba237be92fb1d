"""A worker that is told to stop, in the moments in which that is hard."""

import asyncio
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from perdure.server.database import queues, runs
from perdure.server.settings import Settings
from perdure.server.streams import Streams
from perdure.server.tasks import end
from perdure.server.worker import Worker

RUN = {
    "run_id": "r", "thread_id": "t", "graph_id": "g", "generation": 1, "attempt": 1, "watched": 0,
    "kwargs": {"stream_mode": ["values"], "stream_subgraphs": False},
}  # fmt: skip


class Slow:
    """A database whose claims take until they are let through."""

    def __init__(self):
        self.claiming, self.go, self.given_back = asyncio.Event(), asyncio.Event(), []

    async def write(self, operation, *args, **options):
        if operation is runs.put_back:
            self.given_back.append(args[0]["run_id"])
            return True
        assert operation is queues.claim
        self.claiming.set()
        await self.go.wait()
        return queues.Claimed([RUN])

    async def read(self, operation, *args):
        return []


def core_of(database):
    hints = SimpleNamespace(queue=lambda: None)
    settings = Settings(config=Path("perdure.json"), grace=5.0)
    core = SimpleNamespace(settings=settings, database=database, hints=hints, queues=SimpleNamespace(limits=[]))
    core.streams = Streams(database, 1 << 20)
    core.keep = lambda work, name: asyncio.create_task(work, name=name)
    return core


async def test_a_run_that_is_being_claimed_when_the_worker_stops_is_given_back():
    database = Slow()
    worker = Worker(core_of(database))
    worker.start()
    await database.claiming.wait()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.05)
    database.go.set()
    await asyncio.wait_for(stopping, 5)
    assert database.given_back == ["r"]
    assert not worker.active


async def test_a_run_that_a_request_has_claimed_while_the_worker_stopped_is_given_back():
    database = Slow()
    worker = Worker(core_of(database))
    assert worker.reserve()
    await worker.stop()
    worker.begin(RUN)
    await worker.stop()
    assert database.given_back == ["r"]
    assert not worker.reserve()


async def test_a_task_that_loses_its_cancellation_is_ended_all_the_same():
    async def deaf():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), 5)
    assert task.cancelled()
