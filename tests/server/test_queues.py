"""Limits of queues hold over processes, and hold up nobody else."""

import asyncio
import itertools
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import UnprocessableEntityError
from tests.server.serving import GRAPHS, Served

QUEUES = {
    "narrow": {"max_running": 2},
    "fair": {"max_running": 6, "per_key": {"key": "metadata.customer", "max_running": 1}},
    "steady": {"rate": 8.0, "burst": 2},
    "each": {"per_key": {"key": "configurable.tenant", "rate": 4.0}},
    "owned": {"graphs": ["timed"]},
}
TIMED = """
import asyncio
import time
from pathlib import Path
from typing import TypedDict

from perdure.graph import START, StateGraph


class State(TypedDict, total=False):
    log: str
    label: str
    sleep: float


async def timed(state):
    began = time.time()
    await asyncio.sleep(state.get("sleep") or 0)
    with Path(state["log"]).open("a") as log:
        print(state["label"], began, time.time(), file=log, flush=True)


graph = StateGraph(State).add_node("timed", timed).add_edge(START, "timed").compile()
"""


@pytest.fixture
def served(tmp_path, own_database):
    """Two processes, each with room for all; one of them answers."""
    with ExitStack() as stack:
        config = {"queues": QUEUES, "graphs": {**GRAPHS, "timed": "./timed.py:graph"}}
        found = []
        for place, arguments in enumerate([("--jobs", "20"), ("--no-api", "--jobs", "20")]):
            folder = tmp_path / f"server{place}"
            folder.mkdir()
            (folder / "timed.py").write_text(TIMED)
            found.append(stack.enter_context(Served(folder, own_database, config=config, arguments=arguments)))
        yield found[0]


@pytest.fixture
async def client(served):
    made = get_client(url=served.url)
    yield made
    await made.aclose()


@pytest.fixture
def ask(served, tmp_path):
    """Make a run of a queue; the answer is its id."""

    async def make(queue, label, *, sleep=0.0, **more):
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as http:
            given = {"log": str(tmp_path / "log"), "label": label, "sleep": sleep}
            body = {"assistant_id": "timed", "input": given, "on_completion": "keep", "queue": queue, **more}
            answer = await http.post("/runs", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

    return make


def lines_of(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def ended(log: Path, count: int, seconds: float = 30) -> list[tuple[str, float, float]]:
    """Wait for so many runs; return what each says, when it began and when it ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lines = lines_of(log)
        if len(lines) == count:
            return [(label, float(began), float(end)) for label, began, end in map(str.split, lines)]
        await asyncio.sleep(0.05)
    raise AssertionError(f"{len(lines)} of {count} runs have ended")


def most_at_once(spans):
    times = sorted([(began, 1) for _, began, _ in spans] + [(end, -1) for *_, end in spans])
    return max(itertools.accumulate(change for _, change in times))


async def test_a_queues_runs_are_at_most_so_many_at_once_and_others_pass_them(ask, tmp_path):
    narrow = [ask("narrow", f"n{n}", sleep=0.6) for n in range(12)]
    await asyncio.gather(*narrow, *[ask("default", f"d{n}", sleep=0.1) for n in range(6)])
    spans = await ended(tmp_path / "log", 18)
    assert most_at_once([span for span in spans if span[0].startswith("n")]) == 2
    others = max(end for label, _, end in spans if label.startswith("d"))
    assert others < max(began for label, began, _ in spans if label.startswith("n"))


async def test_a_key_has_limits_of_its_own_and_holds_up_no_other(ask, tmp_path):
    for n in range(8):
        await ask("fair", f"big{n}", sleep=0.5, metadata={"customer": "big"})
    small = [ask("fair", f"small{n}", sleep=0.3, metadata={"customer": "small"}) for n in range(2)]
    await asyncio.gather(*small, *[ask("fair", f"None{n}", sleep=1) for n in range(3)])
    spans = await ended(tmp_path / "log", 13)
    by_label = {kind: [span for span in spans if span[0].startswith(kind)] for kind in ("big", "small", "None")}
    assert most_at_once(by_label["big"]) == 1
    assert most_at_once(by_label["small"]) == 1
    assert most_at_once(by_label["None"]) == 3  # those without a key have no such limit
    assert [label for label, *_ in by_label["big"]] == [f"big{n}" for n in range(8)]
    assert max(end for _, _, end in by_label["small"]) < max(end for _, _, end in by_label["big"])


async def test_a_rate_holds_over_both_processes_and_is_used(ask, tmp_path):
    asked = time.time()
    await asyncio.gather(*[ask("steady", f"s{n}") for n in range(14)])
    begins = sorted(began for _, began, _ in await ended(tmp_path / "log", 14))
    # 2 at once, then 8 a second: whatever else takes time, none begins before its turn.
    assert all(began >= asked + (place - 1) / 8 for place, began in enumerate(begins))


async def test_a_rate_of_a_key_is_the_keys_alone(ask, tmp_path):
    config = {name: {"configurable": {"tenant": name}} for name in "ab"}
    asked = time.time()
    for n in range(5):
        for name in "ab":
            await ask("each", f"{name}{n}", config=config[name])
    spans = await ended(tmp_path / "log", 10)
    for name in "ab":
        begins = sorted(began for label, began, _ in spans if label.startswith(name))
        assert all(began >= asked + place / 4 for place, began in enumerate(begins))


async def test_a_graph_has_its_queue_and_a_queue_that_isnt_there_is_refused(ask, client, served):
    run = await ask(None, "x")
    assert run["queue"] == "owned"
    async with httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post("/runs", json={"assistant_id": "line", "input": {"items": []}, "queue": "narow"})
        assert answer.status_code == 422
        assert "there is no queue 'narow'" in answer.json()["detail"]
    [made] = await client.runs.create_batch([{"assistant_id": "line", "input": {"items": []}}])
    assert made["queue"] == "default"
    with pytest.raises(UnprocessableEntityError):
        await client.runs.create_batch([{"assistant_id": "line", "input": {"items": []}, "queue": "no"}])


async def test_runs_that_are_waited_for_and_streamed_go_through_limited_queues(served, client):
    async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
        body = {"assistant_id": "line", "input": {"items": []}, "queue": "narrow"}
        done = await asyncio.gather(*[http.post("/runs/wait", json=body) for _ in range(6)])
        assert [d.json()["items"] for d in done] == [["first", "second"]] * 6
        answer = await http.post("/runs/stream", json={**body, "stream_mode": "updates"})
        assert answer.text.count("event: updates") == 2


async def test_queues_are_measured(served, ask, tmp_path):
    async with httpx.AsyncClient(base_url=served.url) as http:
        await asyncio.gather(*[ask("narrow", f"n{n}", sleep=4) for n in range(5)])
        for _ in range(100):
            narrow = (await http.get("/metrics?format=json")).json()["queues"]["narrow"]
            if (narrow["num_running"], narrow["num_pending"]) == (2, 3):
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail(f"{narrow}")
        page = (await http.get("/metrics")).text
        assert 'perdure_queue_limit{queue="narrow"} 2.0' in page
        assert 'perdure_queue_runs{queue="narrow",status="pending"} 3.0' in page
        await http.post("/runs/cancel", json={"status": "pending"})
        assert 'perdure_queue_runs{queue="narrow",status="pending"} 0.0' in (await http.get("/metrics")).text


async def test_a_limit_counts_what_a_dead_worker_had_until_it_is_given_back(tmp_path, own_database):
    config = {"queues": {"one": {"graphs": ["loop"], "max_running": 1}}}
    environment = {"PERDURE_LEASE_SECONDS": "3"}
    with ExitStack() as stack:
        api = stack.enter_context(Served(tmp_path / "api", own_database, config=config, arguments=("--jobs", "0")))
        worker = stack.enter_context(
            Served(tmp_path / "a", own_database, config=config, arguments=("--no-api",), environment=environment)
        )
        client = get_client(url=api.url)
        made = []
        for n in range(3):
            thread = await client.threads.create()
            given = {"items": [], "steps": 6, "sleep": 0.1, "log": str(tmp_path / f"log{n}")}
            run = await client.runs.create(thread["thread_id"], "loop", input=given, durability="sync")
            made.append((thread["thread_id"], run["run_id"]))
        for _ in range(500):
            if lines_of(tmp_path / "log0"):
                break
            await asyncio.sleep(0.02)
        worker.kill()
        stack.enter_context(
            Served(tmp_path / "b", own_database, config=config, arguments=("--no-api",), environment=environment)
        )
        for id_, run_id in made:
            done = await asyncio.wait_for(client.runs.join(id_, run_id), 30)
            assert done["items"] == list(range(6))
        await client.aclose()
    begins = [(tmp_path / f"log{n}").stat().st_mtime for n in range(3)]
    assert begins == sorted(begins)
