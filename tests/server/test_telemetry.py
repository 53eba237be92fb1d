"""Spans of requests and runs: one trace from the client's span to the nodes, over processes and crashes."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.server.serving import Served

TRACING = """
import json
import os
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class ToFile(SpanExporter):
    def export(self, spans):
        with Path(os.environ["SPANS"]).open("a") as file:
            for span in spans:
                told = {"name": span.name, "id": f"{span.context.span_id:016x}", "pid": os.getpid()}
                parent = span.parent and f"{span.parent.span_id:016x}"
                told |= {"trace": f"{span.context.trace_id:032x}", "parent": parent}
                told |= {"about": dict(span.attributes), "status": span.status.status_code.name}
                print(json.dumps(told), file=file, flush=True)
        return SpanExportResult.SUCCESS


def provider():
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(ToFile()))
    return made
"""
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def start(tmp_path, own_database):
    with ExitStack() as stack:

        def begin(name, *arguments, lease="3"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "tracing.py").write_text(TRACING)
            config = {"telemetry": {"provider": "./tracing.py:provider"}}
            environment = {"SPANS": str(tmp_path / "spans"), "PERDURE_LEASE_SECONDS": lease}
            served = Served(folder, own_database, config=config, environment=environment, arguments=arguments)
            return stack.enter_context(served)

        yield begin


def spans_of(tmp_path: Path) -> list[dict]:
    path = tmp_path / "spans"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_a_worker_in_another_process_continues_the_trace_of_the_request(start, tmp_path):
    api, worker = start("api", "--jobs", "0"), start("worker", "--no-api")
    async with httpx.AsyncClient(base_url=api.url, timeout=30, headers=HEADERS) as http:
        body = {"assistant_id": "line", "input": {"items": []}}
        assert (await http.post("/runs/wait", json=body)).json()["items"] == ["first", "second"]
        assert (await http.post("/runs/wait", json={**body, "input": {"items": [], "fail": "no"}})).status_code == 200
        assert (await http.get("/threads/nonsense")).status_code == 422
    worker.stop()  # what it had to tell is told
    spans = spans_of(tmp_path)
    assert {span["trace"] for span in spans if span["name"] != "GET /ok"} == {TRACE}
    by_id = {span["id"]: span for span in spans}
    requests = [span for span in spans if span["name"] == "POST /runs/wait"]
    assert [span["parent"] for span in requests] == [PARENT, PARENT]
    [refused] = [span for span in spans if span["name"] == "GET /threads/{thread_id}"]
    assert (refused["about"]["http.response.status_code"], refused["status"]) == (422, "UNSET")
    jobs = [span for span in spans if span["name"] == "job line"]
    assert [span["parent"] for span in jobs] == [span["id"] for span in requests]
    assert [span["status"] for span in jobs] == ["UNSET", "ERROR"]
    assert {span["pid"] for span in jobs} == {worker.process.pid} != {span["pid"] for span in requests}
    [second, _] = [span for span in spans if span["name"] == "second"]
    chain = []
    while second is not None:
        chain.append(second["name"])
        second = by_id.get(second["parent"])
    assert chain == ["second", "superstep 2", "run line", "job line", "POST /runs/wait"]


async def test_a_run_that_is_taken_over_stays_in_its_trace(start, tmp_path):
    api, worker = start("api", "--jobs", "0"), start("worker", "--no-api")
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        given = {"items": [], "steps": 8, "sleep": 0.3, "log": str(tmp_path / "log")}
        body = {"assistant_id": "loop", "input": given, "durability": "sync"}
        run = (await http.post(f"/threads/{thread}/runs", json=body, headers=HEADERS)).json()
        for _ in range(300):
            if any(span["name"] == "tick" for span in spans_of(tmp_path)):
                break
            await asyncio.sleep(0.05)
        worker.kill()
        other = start("other", "--no-api")
        done = await http.get(f"/threads/{thread}/runs/{run['run_id']}/join")
        assert done.json()["items"] == list(range(8))
    other.stop()
    ticks = [span for span in spans_of(tmp_path) if span["name"] == "tick"]
    assert {span["trace"] for span in ticks} == {TRACE}
    assert {span["pid"] for span in ticks} == {worker.process.pid, other.process.pid}
    [job] = [span for span in spans_of(tmp_path) if span["name"] == "job loop"]
    assert job["about"]["perdure.attempt"] == 2
