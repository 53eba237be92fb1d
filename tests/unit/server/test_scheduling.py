"""Crons whose run can't be made."""

from types import SimpleNamespace

import pytest

from perdure.errors import TransientStorageError
from perdure.server import scheduler as scheduling
from perdure.server.database import crons, open_database, runs
from perdure.server.errors import NotFoundError
from perdure.server.scheduler import Scheduler

CRON = {
    "cron_id": "c", "assistant_id": "a", "thread_id": None, "schedule": "* * * * *", "timezone": None, "end_time": None,
    "enabled": True, "on_run_completed": None, "payload": {}, "metadata": {}, "user_id": None, "caller": None,
    "next_run_at": 60.0, "created_at": 0.0, "updated_at": 0.0,
}  # fmt: skip


@pytest.fixture
async def database(tmp_path):
    made = open_database(f"sqlite:///{tmp_path}/own.db")
    await made.setup()
    await made.write(crons.create, CRON)
    yield made
    await made.aclose()


@pytest.fixture
def scheduler(monkeypatch, database):
    """Return what makes a scheduler whose runs can't be made."""

    def made(error):
        async def make_run(*args, **options):
            raise error

        monkeypatch.setattr(scheduling, "make_run", make_run)
        config = SimpleNamespace(checkpointer=None)
        return Scheduler(SimpleNamespace(database=database, config=config, settings=SimpleNamespace(sweep=30.0)))

    return made


async def next_run(database):
    return (await database.read(crons.get, "c", None))["next_run_at"]


async def test_a_run_that_can_never_be_made_is_left_out_and_told(scheduler, database, caplog):
    await scheduler(NotFoundError("there is no assistant"))._run(CRON)
    assert await next_run(database) > 60
    assert "cron c made no run: there is no assistant" in caplog.text


async def test_a_run_that_the_database_could_not_make_is_made_later(scheduler, database):
    with pytest.raises(TransientStorageError):
        await scheduler(TransientStorageError("away"))._run(CRON)
    assert await next_run(database) == 60


@pytest.mark.parametrize("change", [{"timezone": "No/Where"}, {"payload": {"priority": "high"}}])
async def test_a_cron_that_can_not_be_understood_any_more_breaks_nothing(change, scheduler, database, caplog):
    await scheduler(AssertionError)._run({**CRON, **change})
    assert await next_run(database) != 60
    assert "cron c made no run" in caplog.text


def new_run(number):
    return runs.NewRun(
        run_id=f"r{number}", thread_id=f"t{number}", assistant_id="a", graph_id="g", metadata={}, kwargs={},
        strategy="enqueue", priority=0, delay=0.0, config={}, create_thread=True, holder=None, lease=1.0, watched=False,
        caller=None, thread_metadata={},
    )  # fmt: skip


async def test_a_moment_is_claimed_by_one_and_only_with_its_run(database):
    def claim(sql):
        return crons.move(sql, "c", 60.0, 120.0)

    def fail(sql):
        yield from claim(sql)
        raise OSError

    with pytest.raises(OSError):
        await database.write(runs.create_if, fail, new_run(0), None)
    assert await next_run(database) == 60
    made = [await database.write(runs.create_if, claim, new_run(number), None) for number in (1, 2)]
    assert [(one.run is not None, one.refusal) for one in made] == [(True, None), (False, "not now")]
    assert await next_run(database) == 120
    assert await database.read(runs.get, "r1") is not None
    assert await database.read(runs.get, "r2") is None
