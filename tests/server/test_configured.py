"""Each key of the configuration that says how the server behaves, on a live server."""

import asyncio
import base64
import json
import os
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.server.serving import PROJECT, Served

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.findings import Kind
from perdure.checkpoint.registry import open_saver
from perdure.ops import backup, rekey, verify

OWN = """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

SEEN = []


class Noting:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            SEEN.append(scope["path"] + (" known" if "perdure.user" in scope else ""))

        async def marked(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-noted", b"yes")]
            await send(message)

        await self.app(scope, receive, marked)


async def seen(request):
    return PlainTextResponse("|".join(SEEN))


app = Starlette(routes=[Route("/seen", seen)], middleware=[Middleware(Noting)])
"""
KEYS = {"PERDURE_API_KEYS": "ci:s3cret"}


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(config, files=None, **options):
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text)
        served = Served(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", config=config, **options)
        served.start()
        started.append(served)
        return served

    yield start
    for served in started:
        served.stop()


@pytest.mark.parametrize("order", ["middleware_first", "auth_first"])
async def test_middleware_of_ones_own_is_the_whole_servers_before_or_after_auth(serve, order):
    config = {"http": {"app": "./own.py:app", "middleware_order": order}}
    served = serve(config, {"own.py": OWN}, environment=KEYS)
    async with httpx.AsyncClient(base_url=served.url) as http:
        refused = await http.post("/threads", json={})
        assert refused.status_code == 401
        assert ("x-noted" in refused.headers) is (order == "middleware_first")
        made = await http.post("/threads", json={}, headers={"x-api-key": "s3cret"})
        assert (made.status_code, made.headers["x-noted"]) == (200, "yes")
        seen = (await http.get("/seen")).text.split("|")
        assert seen.count("/seen") == 1  # the middleware is not passed twice
        first = "/threads known" if order == "auth_first" else "/threads"
        assert [path for path in seen if path.startswith("/threads")] == (
            [first] if order == "auth_first" else [first, first]
        )


BODY_AUTH = """
from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(body: bytes, path_params: dict):
    assert b"hello" in body, "say hello"
    return f"u{len(path_params)}"
"""


async def test_auth_that_reads_the_body_leaves_it_to_be_read(serve):
    config = {"http": {"app": "./own.py:app", "middleware_order": "auth_first"}, "auth": {"path": "./door.py:auth"}}
    served = serve(config, {"own.py": OWN, "door.py": BODY_AUTH})
    async with httpx.AsyncClient(base_url=served.url, timeout=5) as http:
        assert (await http.post("/threads", json={})).status_code == 401
        made = await http.post("/threads", json={"metadata": {"say": "hello"}})
        assert made.json()["metadata"] == {"say": "hello"}


async def test_requests_are_logged_with_the_headers_that_are_asked_for(serve):
    headers = {"includes": ["x-*", "user-agent"], "excludes": ["x-private"]}
    served = serve({"http": {"logging_headers": headers}}, environment={**KEYS, "LOG_JSON": "1"})
    async with httpx.AsyncClient(base_url=served.url, headers={"user-agent": "tests"}) as http:
        given = {"x-api-key": "s3cret", "x-private": "p", "x-trace": "t1"}
        assert (await http.post("/threads", json={}, headers=given)).status_code == 200
        assert (await http.post("/threads", json={})).status_code == 401
    lines = [json.loads(line) for line in served.log.splitlines() if line.startswith("{")]
    told = [(line["message"], line["status"], line["headers"]) for line in lines if "headers" in line]
    assert told[-2:] == [
        ("POST /threads", 200, {"x-trace": "t1", "user-agent": "tests"}),
        ("POST /threads", 401, {"user-agent": "tests"}),
    ]
    assert "s3cret" not in served.log


async def test_webhooks_can_be_turned_off(serve):
    served = serve({"http": {"disable_webhooks": True}})
    async with httpx.AsyncClient(base_url=served.url) as http:
        body = {"assistant_id": "line", "input": {"items": []}, "webhook": "https://example.com/"}
        answer = await http.post("/runs", json=body)
        assert answer.status_code == 422
        assert "turned off" in answer.json()["detail"]


async def test_auth_is_described_to_clients(serve):
    schemes = {"key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}
    auth = {"openapi": {"securitySchemes": schemes, "security": [{"key": []}]}}
    served = serve({"auth": auth}, environment=KEYS)
    async with httpx.AsyncClient(base_url=served.url) as http:
        described = (await http.get("/openapi.json")).json()
    assert described["components"]["securitySchemes"] == schemes
    assert described["security"] == [{"key": []}]


CACHED = """
from langgraph_sdk import Auth

auth = Auth()
asked = 0


@auth.authenticate
async def authenticate(authorization: str | None):
    global asked
    asked += 1
    return {"identity": authorization, "asked": asked}
"""
TELLING = """
from perdure.graph import START, StateGraph


def tell(state, config):
    return {"items": [config["configurable"]["langgraph_auth_user"]["asked"]]}


from project import State

graph = StateGraph(State).add_node("tell", tell).add_edge(START, "tell").compile()
"""


async def test_auth_is_remembered_by_headers(serve):
    auth = {"path": "./door.py:auth", "cache": {"cache_keys": ["authorization"]}}
    config = {"auth": auth, "graphs": {"telling": "./telling.py:graph"}}
    served = serve(config, {"door.py": CACHED, "telling.py": TELLING, "project.py": PROJECT.read_text()})
    async with httpx.AsyncClient(base_url=served.url) as http:
        told = []
        for who in ("a", "b", "a", "b", "a"):
            body = {"assistant_id": "telling", "input": {"items": []}}
            answer = await http.post("/runs/wait", json=body, headers={"authorization": who})
            told.append(answer.json()["items"][0])
        assert told == [1, 2, 1, 2, 1]


async def test_threads_are_swept_as_often_as_the_configuration_says(serve):
    ttl = {"default_ttl": 0.001, "sweep_interval_minutes": 0.005, "sweep_limit": 1}
    served = serve({"checkpointer": {"ttl": ttl}}, environment={"PERDURE_SWEEP_SECONDS": "1000"})
    async with httpx.AsyncClient(base_url=served.url) as http:
        for _ in range(3):
            assert (await http.post("/threads", json={})).status_code == 200
        seen = []
        for _ in range(100):
            seen.append((await http.post("/threads/count", json={})).json())
            if seen[-1] == 0:
                break
            await asyncio.sleep(0.05)
        assert sorted(set(seen), reverse=True) == [3, 2, 1, 0]  # one at a time


async def test_threads_go_whose_saver_was_told_so(serve, tmp_path):
    served = serve({"checkpointer": {"ttl": {"rules": True, "sweep_interval_minutes": 0.005}}})
    async with httpx.AsyncClient(base_url=served.url) as http:
        known = (await http.post("/threads", json={})).json()["thread_id"]
        with open_saver(f"sqlite:///{tmp_path}/x.db") as saver:
            for thread in (known, "brief", "held", "long", "plain"):
                saver.put(place(thread), checkpoint({"x": 1}), {}, {"x": 1})
            saver.keep("long", ttl=timedelta(days=1))
            saver.keep("held", ttl=timedelta(seconds=0.01), hold="case 12")
            saver.keep("brief", ttl=timedelta(seconds=0.01))
            saver.keep(known, ttl=timedelta(seconds=0.01))
            for _ in range(100):
                if len(list(saver.threads())) == 3:
                    break
                await asyncio.sleep(0.05)
            assert list(saver.threads()) == ["held", "long", "plain"]
            assert [name for name, _ in saver.rules()] == ["held", "long"]
        assert (await http.get(f"/threads/{known}")).status_code == 404


async def test_the_store_is_swept_as_often_as_the_configuration_says(serve, tmp_path):
    import apsw

    ttl = {"default_ttl": 0.001, "refresh_on_read": False, "sweep_interval_minutes": 0.01}
    served = serve({"store": {"ttl": ttl}})
    async with httpx.AsyncClient(base_url=served.url) as http:
        item = {"namespace": ["a"], "key": "k", "value": {"at": datetime.now(UTC).isoformat()}}
        assert (await http.put("/store/items", json=item)).is_success
    database = apsw.Connection(str(tmp_path / "x.db"))
    [table] = [name for (name,) in database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%store%items%'")][:1]  # fmt: skip
    for _ in range(100):  # the rows themselves, since what has expired isn't shown anyway
        [(count,)] = list(database.execute(f"SELECT count(*) FROM {table}"))
        if not count:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("nothing was swept")
    database.close()


async def test_checkpoints_and_items_are_encrypted_with_the_keys_of_the_environment(serve, monkeypatch):
    key = base64.b64encode(b"k" * 32).decode()
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", f"2026-01:{key}")
    served = serve({}, environment={"PERDURE_ENCRYPTION_KEYS": f"2026-01:{key}"})
    async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        run = {"assistant_id": "line", "input": {"items": ["in"]}}
        done = await http.post(f"/threads/{thread}/runs/wait", json=run)
        assert done.status_code == 200
        state = (await http.get(f"/threads/{thread}/state")).json()
        assert state["values"] == done.json()
        item = {"namespace": ["notes"], "key": "one", "value": {"text": "secret"}}
        assert (await http.put("/store/items", json=item)).status_code == 204
        found = await http.get("/store/items", params={"namespace": "notes", "key": "one"})
        assert found.json()["value"] == item["value"]
    database = served.database
    assert verify(database, encrypted=True).findings == []
    assert {one.kind for one in verify(database).findings} == {Kind.UNDECODABLE}
    saved = backup(database, served.folder / "all.perdure", encrypted=True)
    assert (saved.copied.threads, saved.copied.items) == (1, 1)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", f"2026-02:{base64.b64encode(b'n' * 32).decode()},2026-01:{key}")
    assert rekey(database).items == 1
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", os.environ["PERDURE_ENCRYPTION_KEYS"].partition(",")[0])
    saved = backup(database, served.folder / "new.perdure", encrypted=True)
    assert (saved.copied.threads, saved.copied.items) == (1, 1)
