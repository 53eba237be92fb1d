"""What a run tells when the database fails, and when somebody begins to listen in its midst."""

import asyncio
from types import SimpleNamespace

import pytest

from perdure.errors import TransientStorageError
from perdure.server.execution import Execution
from perdure.server.streams import SlowListenerError, Streams


class Database:
    """Keeps events; fails as often as it is told to."""

    def __init__(self, failures=0):
        self.failures = failures
        self.rows = []

    async def note(self, operation, rows):
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise TransientStorageError("the database has gone")
        self.rows += rows

    async def read(self, operation, run_id, after, limit):
        rows = [row for row in self.rows if row[2] > after][:limit]
        names = ("thread_id", "run_id", "seq", "name", "data", "created_at")
        return [dict(zip(names, row, strict=True), event=row[2]) for row in rows]


def execution(database, *, resumable, backlog=1000, watched=0):
    streams = Streams(database, backlog)
    hints = SimpleNamespace(events=lambda run_id, thread_id, elsewhere: None)
    kwargs = {"stream_resumable": resumable, "stream_mode": ["custom"], "stream_subgraphs": False}
    run = {"run_id": "r", "thread_id": "t", "generation": 1, "watched": watched, "graph_id": "g", "kwargs": kwargs}
    return Execution(SimpleNamespace(streams=streams, hints=hints, database=database), run)


async def test_a_run_tells_all_channels_only_to_those_who_listen_to_them():
    joined = execution(Database(), resumable=False, watched=2)
    assert (joined.channel.recorded, joined._tells_all) == (True, False)
    joined.watch(closely=False)
    joined._tell("updates", 1)
    assert [frame.name for frame in joined._unwritten] == ["updates"]
    told = execution(Database(), resumable=False, watched=3)
    assert (told.channel.recorded, told._tells_all) == (True, True)


async def test_events_that_could_not_be_written_are_written_with_the_next():
    database = Database(failures=1)
    made = execution(database, resumable=True)
    listener = made.core.streams.listen("r")
    for name in ("first", "second"):
        made._tell(name, 1)
        await made._drained()
    assert [row[3] for row in database.rows] == ["first", "second"]
    assert [frame.name for frame in listener.take()] == ["first", "second"]


async def test_a_listener_is_told_that_it_lost_what_was_told_before_the_run_was_recorded():
    for lost in (True, False):
        made = execution(Database(), resumable=False)
        listener = made.core.streams.listen("r")
        following = made.core.streams.follow(made.run, listener)
        made._tell("first", 1)
        if not lost:
            assert (await anext(following)).name == "first"
        made.watch(closely=False)
        for _ in range(20):
            made._tell("more", "x" * 200)
        await made._drained()
        if lost:
            with pytest.raises(SlowListenerError):
                await anext(following)
        else:
            assert [(await anext(following)).seq for _ in range(20)] == list(range(2, 22))
        await following.aclose()


async def test_what_comes_with_the_end_is_told_to_a_listener_that_is_busy():
    made = execution(Database(), resumable=False)
    following = made.core.streams.follow(made.run, made.core.streams.listen("r"))
    made._tell("first", 1)
    assert (await anext(following)).name == "first"
    made._tell("last", 2)
    made.core.streams.close("r")
    assert [frame.name async for frame in following] == ["last"]
