"""Several processes on one database, some of which die: no run is lost, no finished step is done twice."""

import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from langgraph_sdk import get_client
from tests.server.serving import Served

LEASE = 3.0
ENVIRONMENT = {"PERDURE_LEASE_SECONDS": str(LEASE)}


def ticks(log: Path) -> Counter:
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.rpartition(" ")[0] for line in lines)


def holder_first(log: Path, *servers: Served) -> list[Served]:
    """Return the servers, the one that did the last step before the others."""
    pid = log.read_text().split()[-1]
    return sorted(servers, key=lambda one: one.process is None or str(one.process.pid) != pid)


async def until(check, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it didn't happen")


@pytest.fixture
def start(tmp_path, own_database):
    """Start servers on one database."""
    with ExitStack() as stack:
        count = iter(range(100))

        def begin(*arguments, **environment):
            served = Served(
                tmp_path / f"server{next(count)}",
                own_database,
                environment={**ENVIRONMENT, **environment},
                arguments=arguments,
            )
            return stack.enter_context(served)

        yield begin


@pytest.fixture
async def connect():
    """Make clients of servers."""
    made = []

    def begin(served):
        made.append(get_client(url=served.url))
        return made[-1]

    yield begin
    for client in made:
        await client.aclose()


async def test_a_killed_workers_run_goes_on_elsewhere_and_no_step_is_done_twice(start, tmp_path, connect):
    servers, log = [start(), start()], tmp_path / "log"
    client = connect(servers[0])
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    given = {"items": [], "steps": 20, "sleep": 0.1, "log": str(log)}
    made = await client.runs.create(id_, "loop", input=given, durability="sync")
    await until(lambda: len(ticks(log)) >= 6)
    first, second = holder_first(log, *servers)
    first.kill()
    killed = time.monotonic()
    elsewhere = connect(second)
    done = await elsewhere.runs.join(id_, made["run_id"])
    assert done["items"] == list(range(20))
    found = await elsewhere.runs.get(id_, made["run_id"])
    assert (found["status"], found["attempt"]) == ("success", 2)
    counted = ticks(log)
    assert counted.keys() == {f"tick {n}" for n in range(20)}
    assert sum(count - 1 for count in counted.values()) <= 1  # the one that it was killed in
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len({pid for *_, pid in lines}) == 2
    assert time.monotonic() - killed < 2 * LEASE + 14 * 0.2 + 5


async def test_a_run_is_taken_over_within_two_lease_periods_where_nobody_can_see_that_its_worker_died(
    start, tmp_path, connect
):
    """The stopped process is alive, as one on another machine might be: only its lease tells."""
    servers, log = [start(), start()], tmp_path / "log"
    client = connect(servers[0])
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    given = {"items": [], "steps": 8, "sleep": 0.5, "log": str(log)}
    made = await client.runs.create(id_, "loop", input=given, durability="sync")
    await until(lambda: len(ticks(log)) >= 2)
    first, second = holder_first(log, *servers)
    await asyncio.sleep(0.2)  # in the middle of a node: not while it holds the lock of an SQLite file
    first.process.send_signal(signal.SIGSTOP)
    stopped, before = time.monotonic(), len(log.read_text().splitlines())
    # The engine's own lease of the thread lasts ten seconds, whatever the queue's is.
    try:
        await until(lambda: len(log.read_text().splitlines()) > before, 30)
        assert time.monotonic() - stopped < 2 * 10
    finally:
        first.process.send_signal(signal.SIGCONT)
    elsewhere = connect(second)
    done = await elsewhere.runs.join(id_, made["run_id"])
    assert done["items"] == list(range(8))
    found = await elsewhere.runs.get(id_, made["run_id"])
    assert (found["status"], found["attempt"]) == ("success", 2)
    history = await elsewhere.threads.get_history(id_, limit=100)
    assert [s["metadata"]["step"] for s in history] == list(range(len(history) - 2, -2, -1))


async def test_a_run_that_kills_its_worker_each_time_is_given_up(start, tmp_path, connect):
    served, log = start("--no-api", PERDURE_ATTEMPTS="2"), tmp_path / "log"
    api = start("--jobs", "0", PERDURE_ATTEMPTS="2")
    client = connect(api)
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    given = {"items": [], "steps": 3, "sleep": 20, "log": str(log)}
    made = await client.runs.create(id_, "loop", input=given)
    for count in (1, 2):
        await until(lambda count=count: ticks(log)["tick 0"] == count)
        served.kill()
        served = start("--no-api", PERDURE_ATTEMPTS="2")
    done = await asyncio.wait_for(client.runs.join(id_, made["run_id"]), 30)
    assert "died 2 times" in done["__error__"]["message"]
    found = await client.runs.get(id_, made["run_id"])
    assert found["status"] == "error"
    thread = await client.threads.get(id_)
    assert (thread["status"], thread["error"]["error"]) == ("error", "WorkerDiedError")


async def test_api_and_workers_are_processes_of_their_own(start, connect):
    api = start("--jobs", "0")
    start("--no-api")
    client = connect(api)
    done = await client.runs.wait(None, "line", input={"items": []})
    assert done["items"] == ["first", "second"]
    parts = [p async for p in client.runs.stream(None, "line", input={"items": []}, stream_mode="updates")]
    assert [p.event for p in parts] == ["metadata", "updates", "updates"]
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    made = await client.runs.create(id_, "loop", input={"items": [], "steps": 30, "sleep": 0.1}, stream_mode="updates")
    await asyncio.sleep(0.5)
    seen = []
    async for part in client.runs.join_stream(id_, made["run_id"]):
        seen += [part.data["tick"]["items"][0]] if part.event == "updates" else []
        if len(seen) == 5:
            break
    assert seen == list(range(seen[0], seen[0] + 5))
    await client.runs.cancel(id_, made["run_id"], wait=True)
    assert (await client.runs.get(id_, made["run_id"]))["status"] == "interrupted"
    with pytest.raises(Exception, match="ValueError: boom"):
        await client.runs.wait(id_, "line", input={"items": [], "fail": "boom"})


async def test_strategies_hold_across_processes(start, connect):
    first, second = start(), start()
    one, two = connect(first), connect(second)
    id_ = (await one.threads.create())["thread_id"]
    long = await one.runs.create(id_, "line", input={"items": ["one"], "sleep": 30})
    await asyncio.sleep(0.3)
    done = await two.runs.wait(id_, "line", input={"items": ["two"], "sleep": 0}, multitask_strategy="interrupt")
    assert done["items"] == ["one", "first", "two", "first", "second"]
    assert (await two.runs.get(id_, long["run_id"]))["status"] == "interrupted"
    undone = await one.runs.create(id_, "line", input={"items": ["three"], "sleep": 30})
    await asyncio.sleep(0.3)
    done = await two.runs.wait(id_, "line", input={"items": ["four"], "sleep": 0}, multitask_strategy="rollback")
    assert done["items"][5:] == ["four", "first", "second"]
    assert undone["run_id"] not in [r["run_id"] for r in await one.runs.list(id_)]
    counts = await asyncio.gather(
        *[
            client.runs.wait(id_, "line", input={"items": [f"n{n}"]})
            for n, client in enumerate([one, two, one, two, one, two])
        ]
    )
    assert len(counts) == 6
    items = (await one.threads.get_state(id_))["values"]["items"]
    assert sorted(i for i in items if i.startswith("n")) == [f"n{n}" for n in range(6)]


async def test_a_server_told_to_stop_gives_its_runs_to_others(start, tmp_path, connect):
    servers, log = [start(BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS="0.5") for _ in range(2)], tmp_path / "log"
    client = connect(servers[0])
    id_ = (await client.threads.create())["thread_id"]
    given = {"items": [], "steps": 15, "sleep": 0.2, "log": str(log)}
    made = await client.runs.create(id_, "loop", input=given, durability="sync")
    await until(lambda: len(ticks(log)) >= 3)
    first, second = holder_first(log, *servers)
    assert first.stop() == 0
    done = await connect(second).runs.join(id_, made["run_id"])
    assert done["items"] == list(range(15))
    assert sum(count - 1 for count in ticks(log).values()) <= 1


async def test_a_node_that_blocks_its_loop_keeps_its_run(start, tmp_path, connect):
    first, log = start(), tmp_path / "log"
    start()
    client = connect(first)
    id_ = (await client.threads.create())["thread_id"]
    given = {"items": [], "block": 2 * LEASE, "log": str(log)}
    done = await client.runs.wait(id_, "line", input=given)
    assert done["items"] == ["first", "second"]
    assert ticks(log) == {"first": 1, "second": 1}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_storm_of_kills_loses_and_doubles_nothing(start, tmp_path, connect):
    """An API process stays; of three workers one is killed again and again while runs come."""
    api = start("--jobs", "0", PERDURE_ATTEMPTS="50")
    workers = [start("--no-api", "--jobs", "4", PERDURE_ATTEMPTS="50") for _ in range(3)]
    client, choose = connect(api), random.Random(7)
    threads = [(await client.threads.create())["thread_id"] for _ in range(12)]
    runs = []
    for place, id_ in enumerate(threads):
        given = {"items": [], "steps": 10, "sleep": 0.1, "log": str(tmp_path / f"log{place}")}
        runs.append(await client.runs.create(id_, "loop", input=given, durability="sync"))
    kills = 0
    for _ in range(8):
        await asyncio.sleep(0.7)
        place = choose.randrange(3)
        workers[place].kill()
        kills += 1
        workers[place] = start("--no-api", "--jobs", "4", PERDURE_ATTEMPTS="50")
    doubled = 0
    for place, (id_, made) in enumerate(zip(threads, runs, strict=True)):
        done = await asyncio.wait_for(client.runs.join(id_, made["run_id"]), 90)
        assert done["items"] == list(range(10))
        counted = ticks(tmp_path / f"log{place}")
        assert counted.keys() == {f"tick {n}" for n in range(10)}
        doubled += sum(count - 1 for count in counted.values())
    assert doubled <= kills * 4  # what a killed worker had begun, and not finished, of each of its runs


@pytest.mark.parametrize(("graph", "node"), [("stuck", "sleeps"), ("line", "second")])
@pytest.mark.parametrize("database_url", ["sqlite:"], indirect=False)
async def test_a_node_that_blocks_keeps_no_server_from_its_end(start, tmp_path, connect, graph, node):
    """It blocks its thread, or the event loop itself."""
    log = tmp_path / "log"
    served = start(BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS="0.5")
    client = connect(served)
    thread = await client.threads.create()
    given = {"items": [], "block": 600, "log": str(log)}
    await client.runs.create(thread["thread_id"], graph, input=given)
    await until(lambda: ticks(log)[node])
    code = await asyncio.to_thread(served.stop, 16)
    assert code == (0 if graph == "stuck" else 1)
    assert "a node doesn't stop" in served.log
    other = start()
    await until(lambda: ticks(log)[node] == 2)
    other.kill()


@pytest.mark.parametrize("hints", [True, False])
async def test_who_comes_in_the_midst_of_a_short_run_elsewhere_hears_its_end(start, connect, monkeypatch, hints):
    """The run has ended before its worker would have asked whether somebody listens; without a wire nobody tells it."""
    lone = {} if hints else {"REDIS_URI": "redis://127.0.0.1:1"}  # nobody is there: hints are dropped
    client = connect(start("--jobs", "0", **lone))
    start("--no-api", **lone)
    for modes in (["values"], ["updates"]):
        id_ = (await client.threads.create())["thread_id"]
        given = {"items": [], "steps": 4, "sleep": 0.1}
        run = await client.runs.create(id_, "loop", input=given, stream_mode=modes)
        while (await client.runs.get(id_, run["run_id"]))["status"] == "pending":  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10), client.threads.stream(id_, assistant_id="loop") as thread:
            found = []
            async for event in thread.subscribe(["values", "lifecycle"]):
                found.append(event)
                if event["params"]["data"].get("event") == "completed":
                    break
        assert found[0]["params"]["data"]["event"] == "running"
        assert found[-2]["params"]["data"]["items"] == [0, 1, 2, 3]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # SQLite has nothing that carries hints
async def test_who_joins_a_short_run_elsewhere_hears_the_rest(start, connect):
    client = connect(start("--jobs", "0"))
    start("--no-api")
    id_ = (await client.threads.create())["thread_id"]
    given = {"items": [], "steps": 8, "sleep": 0.1}
    run = await client.runs.create(id_, "loop", input=given, stream_mode="updates")
    while (await client.runs.get(id_, run["run_id"]))["status"] == "pending":  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.01)
    parts = [part async for part in client.runs.join_stream(id_, run["run_id"])]
    seen = [part.data["tick"]["items"][0] for part in parts if part.event == "updates"]
    assert len(seen) >= 4
    assert seen == list(range(seen[0], 8))
