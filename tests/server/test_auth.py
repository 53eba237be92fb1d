"""Who asks, and that nobody sees, counts or guesses what is another's."""

import subprocess
import sys
import uuid

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
)
from tests.server.serving import PROJECT, Served

GUARDED = PROJECT.with_name("guarded.py")


async def test_nobody_gets_in_without_saying_who_they_are(guarded):
    async with httpx.AsyncClient(base_url=guarded.url) as http:
        assert (await http.get("/ok")).status_code == 200
        for method, path in [("GET", "/threads/x"), ("POST", "/threads"), ("POST", "/runs/wait"), ("GET", "/metrics")]:
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()) == (401, {"detail": "who are you?"})


async def test_threads_and_runs_are_their_makers_alone(users):
    alice, bob, _ = users
    mark = str(uuid.uuid4())
    mine = await alice.threads.create(metadata={"mark": mark})
    assert mine["metadata"]["owner"] == "alice"
    id_ = mine["thread_id"]
    done = await alice.runs.wait(id_, "line", input={"items": []})
    assert done["items"] == ["first", "second"]
    [run] = await alice.runs.list(id_)
    assert run["metadata"]["by"] == "alice"
    assert run["kwargs"]["config"]["configurable"] == {}
    for attempt in (
        bob.threads.get(id_),
        bob.threads.update(id_, metadata={"owner": "bob"}),
        bob.threads.get_state(id_),
        bob.threads.get_history(id_),
        bob.threads.update_state(id_, {"items": ["x"]}),
        bob.threads.copy(id_),
        bob.runs.list(id_),
        bob.runs.get(id_, run["run_id"]),
        bob.runs.join(id_, run["run_id"]),
        bob.runs.create(id_, "line", input={"items": []}),
        bob.runs.create(id_, "line", input={"items": []}, if_not_exists="create"),
        bob.runs.cancel(id_, run["run_id"]),
        bob.runs.delete(id_, run["run_id"]),
        bob.runs.cancel_many(thread_id=id_, run_ids=[run["run_id"]]),
        bob.crons.create_for_thread(id_, "line", schedule="* * * * *"),
    ):
        with pytest.raises((NotFoundError, httpx.HTTPStatusError), match=r"there is no|No runs"):
            await attempt
    assert await bob.threads.search(metadata={"mark": mark}) == []
    assert await bob.threads.count(metadata={"mark": mark}) == 0
    assert await alice.threads.count(metadata={"mark": mark}) == 1
    with pytest.raises(PermissionDeniedError):
        await bob.threads.prune([id_], strategy="keep_latest")
    assert (await alice.threads.get(id_))["values"]["items"] == ["first", "second"]


async def test_a_handler_says_no(users):
    _, bob, reader = users
    thread = await bob.threads.create()
    with pytest.raises(PermissionDeniedError):
        await bob.threads.delete(thread["thread_id"])
    thread = await reader.threads.create()
    with pytest.raises(PermissionDeniedError, match="readers don't run"):
        await reader.runs.create(thread["thread_id"], "line", input={"items": []})


async def test_assistants_are_ones_own_and_the_graphs_are_everybodys(users):
    alice, bob, _ = users
    mine = await alice.assistants.create("greeting", context={"name": "alice's"})
    with pytest.raises(NotFoundError):
        await bob.assistants.get(mine["assistant_id"])
    with pytest.raises(NotFoundError):
        await bob.runs.create(None, mine["assistant_id"], input={"items": []})
    with pytest.raises(NotFoundError):
        await bob.assistants.update(mine["assistant_id"], name="stolen")
    assert (await bob.runs.wait(None, "greeting", input={"items": []}))["items"][-1] == "greeting"
    assert (await alice.runs.wait(None, mine["assistant_id"], input={"items": []}))["items"][-2] == "alice's"


async def test_the_store_is_split_by_its_handler(users):
    alice, bob, _ = users
    await alice.store.put_item(["notes"], key="k", value={"of": "alice"})
    assert await bob.store.get_item(["notes"], key="k") is None
    assert (await alice.store.get_item(["notes"], key="k"))["value"] == {"of": "alice"}
    assert (await bob.store.search_items([]))["items"] == []


async def test_crons_are_ones_own(users):
    alice, bob, _ = users
    made = await alice.crons.create("line", schedule="0 0 1 1 *")
    assert made["user_id"] == "alice"
    with pytest.raises(NotFoundError):
        await bob.crons.delete(made["cron_id"])
    assert made["cron_id"] not in [c["cron_id"] for c in await bob.crons.search(limit=100)]
    await alice.crons.delete(made["cron_id"])


async def test_a_cron_cant_run_anothers_assistant(users):
    alice, bob, _ = users
    mine = await alice.assistants.create("greeting")
    with pytest.raises(NotFoundError):
        await bob.crons.create(mine["assistant_id"], schedule="0 0 1 1 *")
    with pytest.raises(NotFoundError):
        await bob.runs.create_batch([{"assistant_id": mine["assistant_id"]}])
    [run] = await bob.runs.create_batch([{"assistant_id": "line", "input": {"items": []}}])
    assert run["metadata"]["by"] == "bob"


CUSTOM = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def hello(request):
    return PlainTextResponse(f"hello {request.user.identity}" if request.scope.get("user") else "hello")

app = Starlette(routes=[Route("/hello", hello)])
"""


@pytest.mark.parametrize("is_guarded", [False, True])
async def test_an_application_of_ones_own_is_behind_the_api_and_may_be_guarded(tmp_path, is_guarded):
    (tmp_path / "custom.py").write_text(CUSTOM)
    config = {"http": {"app": "./custom.py:app", "enable_custom_route_auth": is_guarded}}
    keys = {"PERDURE_API_KEYS": "ci:s3cret"}
    with Served(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", environment=keys, config=config) as served:
        async with httpx.AsyncClient(base_url=served.url) as http:
            assert (await http.get("/hello")).status_code == (401 if is_guarded else 200)
            said = (await http.get("/hello", headers={"x-api-key": "s3cret"})).text
            assert said == ("hello ci" if is_guarded else "hello")
            assert (await http.get("/ok")).json() == {"ok": True}


async def test_a_filter_for_the_store_lets_nobody_in_rather_than_everybody(tmp_path):
    text = GUARDED.read_text()
    (tmp_path / "guarded.py").write_text(text[: text.index("@auth.on.store")])
    config = {"auth": {"path": "./guarded.py:auth"}}
    with Served(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", config=config) as served:
        async with httpx.AsyncClient(base_url=served.url, headers={"authorization": "Bearer a"}) as http:
            for method, path, body in (
                ("PUT", "/store/items", {"namespace": ["x"], "key": "k", "value": {}}),
                ("POST", "/store/items/search", {"namespace_prefix": []}),
                ("POST", "/store/namespaces", {}),
            ):
                assert (await http.request(method, path, json=body)).status_code == 403


async def test_an_api_key_opens_the_door(tmp_path):
    keys = {"PERDURE_API_KEYS": "ci:s3cret,other"}
    with Served(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", environment=keys) as served:
        for key in ("s3cret", "other"):
            client = get_client(url=served.url, api_key=key)
            assert (await client.runs.wait(None, "line", input={"items": []}))["items"] == ["first", "second"]
            await client.aclose()
        for key in (None, "wrong", "s3cre"):
            client = get_client(url=served.url, api_key=key)
            with pytest.raises(AuthenticationError, match="API key"):
                await client.threads.create()
            await client.aclose()
        async with httpx.AsyncClient(base_url=served.url) as http:
            answer = await http.post("/threads", json={}, headers={"authorization": "Bearer s3cret"})
            assert answer.status_code == 200


def test_an_open_door_to_everywhere_is_refused(tmp_path):
    config = tmp_path / "perdure.json"
    config.write_text('{"graphs": {"line": "./project.py:graph"}}')
    (tmp_path / "project.py").write_text(PROJECT.read_text())
    command = [
        sys.executable,
        "-m",
        "perdure.cli",
        "serve",
        "--config",
        str(config),
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "anybody who reaches" in done.stderr
    assert "--insecure" in done.stderr


async def test_a_page_of_another_origin_cant_make_runs(client, server):
    async with httpx.AsyncClient(base_url=server.url) as http:
        body = '{"assistant_id": "line", "input": {"items": []}}'
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = await http.post("/runs/wait", content=body, headers={"content-type": "text/plain", **headers})
            assert answer.status_code == 403
        same = {"origin": server.url, "content-type": "text/plain"}
        assert (await http.post("/runs/wait", content=body, headers=same)).status_code == 200


async def test_a_name_that_only_leads_here_opens_nothing(server, guarded):
    async with httpx.AsyncClient(base_url=server.url) as http:
        for name in (
            "evil.example",
            "evil.example:2024",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
        ):
            headers = {"host": name, "origin": f"http://{name}"}
            assert (await http.post("/threads/search", json={}, headers=headers)).status_code == 403
            assert (await http.get("/openapi.json", headers=headers)).status_code == 403
        for name in ("localhost", "LOCALHOST:1", "app.localhost:2024", "127.0.0.1:9", "[::1]:2024"):
            assert (await http.post("/threads/search", json={}, headers={"host": name})).status_code == 200
    async with httpx.AsyncClient(base_url=guarded.url) as http:  # its users say who they are
        headers = {"host": "perdure.example", "authorization": "Bearer a"}
        assert (await http.post("/threads/search", json={}, headers=headers)).status_code == 200


async def test_the_protocols_know_who_asks(guarded, users):
    alice, bob, reader = users
    id_ = (await alice.threads.create())["thread_id"]
    await alice.runs.wait(id_, "line", input={"items": [], "ask": ["?"]})

    def send(client, method, **params):
        return client.http.post(f"/threads/{id_}/commands", json={"id": 1, "method": method, "params": params})

    [question] = (await alice.threads.get_state(id_))["interrupts"]
    answers = {"namespace": [], "interrupt_id": question["id"], "response": "so"}
    for method, params in (
        ("run.start", {"assistant_id": "line", "input": "so"}),
        ("input.respond", answers),
        ("input.inject", {"namespace": [], "message": {"role": "user", "content": "x"}}),
        ("state.get", {"namespace": []}),
        ("state.listCheckpoints", {}),
        ("agent.getTree", {}),
    ):
        told = await send(bob, method, **params)
        assert (told["type"], told["error"]) == ("error", "invalid_argument")
        assert "no thread" in told["message"]
    assert (await send(reader, "run.start", assistant_id="line", input={}))["error"] == "permission_denied"
    with pytest.raises(NotFoundError):
        await bob.http.post(f"/threads/{id_}/stream/events", json={"channels": ["values"]})
    assert len(await alice.runs.list(id_)) == 1
    assert (await send(alice, "input.respond", **answers))["type"] == "success"

    mine = await alice.assistants.create("chat", name=f"secret{uuid.uuid4().hex}")
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    tools = [{tool["name"] for tool in (await c.http.post("/mcp/", json=request))["result"]["tools"]} for c in users]
    assert [mine["name"] in names for names in tools] == [True, False, False]
    assert all("line" in names for names in tools)
    called = {**request, "method": "tools/call", "params": {"name": mine["name"], "arguments": {"messages": []}}}
    assert (await bob.http.post("/mcp/", json=called))["error"]["code"] == -32602

    message = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}
    sent = {**request, "method": "message/send", "params": {"message": message}}
    task = (await alice.http.post("/a2a/chat", json=sent))["result"]
    asked = {**request, "method": "tasks/get", "params": {"id": task["id"]}}
    assert (await alice.http.post("/a2a/chat", json=asked))["result"]["id"] == task["id"]
    assert (await bob.http.post("/a2a/chat", json=asked))["error"]["code"] == -32001
    stolen = {**request, "method": "message/send", "params": {"message": {**message, "contextId": task["contextId"]}}}
    assert "no thread" in (await bob.http.post("/a2a/chat", json=stolen))["error"]["message"]
    assert "error" in await bob.http.post(f"/a2a/{mine['assistant_id']}", json=sent)
