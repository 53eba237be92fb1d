"""Bounds of what a client may ask for, and what the server tells of itself."""

import httpx
import pytest
from langgraph_sdk import get_client
from tests.server.serving import Served


@pytest.fixture
def bounded(tmp_path):
    bounds = {
        "PERDURE_LARGEST_BODY": "2000",
        "PERDURE_MOST_STREAMS": "1",
        "PERDURE_RECURSION_LIMIT": "5",
        "PERDURE_MOST_SCANNED": "3",
        "BG_JOB_TIMEOUT_SECS": "1",
        "LOG_JSON": "true",
    }
    config = {"http": {"disable_store": True, "mount_prefix": "/api"}, "env": {"FROM_CONFIG": "1"}}
    with Served(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", environment=bounds, config=config, prefix="/api") as served:
        yield served


async def test_bounds_hold(bounded):
    import asyncio
    import json

    url = f"{bounded.url}/api"
    client = get_client(url=url)
    with pytest.raises(Exception, match="GraphRecursionError"):
        await client.runs.wait(None, "loop", input={"items": [], "steps": 50}, config={"recursion_limit": 1000})
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    told = await client.runs.wait(id_, "line", input={"items": [], "sleep": 30}, raise_error=False)
    assert told["__error__"]["error"] == "TimeoutError"
    assert [r["status"] for r in await client.runs.list(id_)] == ["timeout"]
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/threads", json={"metadata": {"x": "y" * 3000}})
        assert answer.status_code == 413
        body = {"assistant_id": "line", "input": {"items": [], "sleep": 0.8}}
        async with http.stream("POST", "/runs/stream", json=body) as response:
            assert response.status_code == 200
            assert response.headers["content-location"].startswith("/api/threads/")
            await asyncio.sleep(0.1)
            assert (await http.post("/runs/wait", json=body)).status_code == 429
            assert (await http.get(f"/threads/{id_}/stream")).status_code == 429
        assert (await http.post("/store/namespaces", json={})).status_code == 404
        for _ in range(100):  # until the last one's client has gone
            if not (await http.get("/metrics?format=json")).json()["api"]["streams"]:
                break
            await asyncio.sleep(0.05)
        with pytest.raises(Exception, match="ValueError"):
            await client.runs.wait(id_, "line", input={"items": [], "sleep": 0, "fail": "to the log"})
    await client.aclose()
    lines = [json.loads(line) for line in bounded.log.splitlines() if line.startswith("{")]
    [failed] = [line for line in lines if "to the log" in line["message"]]
    assert failed["run_id"]
    assert "Traceback" in failed["exception"]


async def test_searches_by_values_read_so_many_states_and_no_more(bounded):
    async with httpx.AsyncClient(base_url=f"{bounded.url}/api") as http:
        for n in range(5):
            steps = [{"updates": [{"values": {"items": [{"n": n}]}, "as_node": "__start__"}]}]
            made = {"metadata": {"graph_id": "line", "of": n % 2}, "supersteps": steps}
            assert (await http.post("/threads", json=made)).status_code == 200
        narrow = {"values": {"items": [{"n": 3}]}, "metadata": {"of": 1}}
        assert len((await http.post("/threads/search", json=narrow)).json()) == 1
        assert (await http.post("/threads/count", json=narrow)).json() == 1
        for path in ("search", "count"):
            answer = await http.post(f"/threads/{path}", json={"values": {"items": [{"n": 3}]}})
            assert answer.status_code == 422
            assert "more than 3 states" in answer.json()["detail"]
            assert "metadata" in answer.json()["detail"]


async def test_the_server_tells_of_itself(client, http, server):
    assert (await http.get("/ok?check_db=1")).json() == {"ok": True}
    info = (await http.get("/info")).json()
    assert info["flags"]["crons"] is True
    await client.runs.wait(None, "line", input={"items": []})
    page = (await http.get("/metrics")).text
    assert 'perdure_runs_total{graph_id="line",status="success"}' in page
    assert 'perdure_request_seconds_count{method="POST",route="/runs/wait",status="200"}' in page
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(figures['perdure_superstep_seconds_count{graph="line"}']) >= 3  # its start, and two nodes
    assert float(figures['perdure_storage_seconds_count{operation="store"}']) >= 2
    assert float(figures["perdure_stored_bytes"]) > 100_000
    if server.database.startswith("postgres"):
        for pool in ("server", "checkpoints"):
            assert float(figures[f'perdure_database_connections{{pool="{pool}",state="size"}}']) > 1
            assert float(figures[f'perdure_database_connections{{pool="{pool}",state="waiting"}}']) == 0
    figures = (await http.get("/metrics?format=json")).json()
    assert figures["queue"]["num_pending"] == 0
    assert figures["workers"]["available"] > 0


async def test_the_api_describes_itself_and_its_page_loads_nothing(http):
    described = (await http.get("/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    run = described["paths"]["/threads/{thread_id}/runs/stream"]["post"]
    assert run["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/RunCreate"}
    assert "assistant_id" in described["components"]["schemas"]["RunCreate"]["required"]
    ids = [o["operationId"] for path in described["paths"].values() for o in path.values()]
    assert len(set(ids)) == len(ids)
    page = (await http.get("/docs")).text
    assert "/threads/{thread_id}/runs/stream" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
