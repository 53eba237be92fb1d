"""What somebody tries who is let in, but wants more than what is theirs."""

import asyncio
import uuid

import httpx
import pytest
from langgraph_sdk.errors import NotFoundError, PermissionDeniedError, UnprocessableEntityError


async def sleeping(alice, **metadata):
    """A thread of Alice's with a run that goes on."""
    thread = (await alice.threads.create(metadata=metadata))["thread_id"]
    return thread, (await alice.runs.create(thread, "line", input={"items": [], "sleep": 60}))["run_id"]


async def test_who_may_look_cant_stop(users):
    alice, bob, _ = users
    thread, run = await sleeping(alice, shared=["bob"])
    assert (await bob.runs.get(thread, run))["run_id"] == run
    for attempt in (
        bob.runs.cancel(thread, run),
        bob.runs.cancel(thread, run, action="rollback"),
        bob.runs.delete(thread, run),
        bob.runs.cancel_many(thread_id=thread, run_ids=[run]),
        bob.http.get(f"/threads/{thread}/runs/{run}/join?cancel_on_disconnect=1"),
        bob.http.get(f"/threads/{thread}/runs/{run}/stream?cancel_on_disconnect=1"),
        bob.threads.update(thread, metadata={"x": 1}),
        bob.threads.update_state(thread, {"items": []}),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert (await alice.runs.get(thread, run))["cancel_reason"] is None
    await alice.runs.cancel(thread, run, wait=True)
    assert (await alice.runs.get(thread, run))["status"] == "interrupted"


async def test_an_agents_task_is_cancelled_by_who_may_change_it(users):
    alice, bob, _ = users
    thread, run = await sleeping(alice, shared=["bob"])
    request = {"jsonrpc": "2.0", "id": 1, "params": {"id": run}}
    assert "result" in await bob.http.post("/a2a/line", json={**request, "method": "tasks/get"})
    assert (await bob.http.post("/a2a/line", json={**request, "method": "tasks/cancel"}))["error"]["code"] == -32001
    assert (await alice.runs.get(thread, run))["cancel_reason"] is None
    assert "result" in await alice.http.post("/a2a/line", json={**request, "method": "tasks/cancel"})


async def test_nothing_is_put_among_anothers(users):
    alice, bob, _ = users
    mark = str(uuid.uuid4())
    thread = await bob.threads.create(metadata={"mark": mark})
    assistant = await bob.assistants.create("line", metadata={"mark": mark})
    cron = await bob.crons.create("line", schedule="0 0 1 1 *", metadata={"mark": mark})
    theirs = {"owner": "alice"}
    for attempt in (
        bob.threads.update(thread["thread_id"], metadata=theirs),
        bob.assistants.update(assistant["assistant_id"], metadata=theirs),
        bob.crons.update(cron["cron_id"], metadata=theirs),
    ):
        with pytest.raises(PermissionDeniedError, match="wouldn't see it"):
            await attempt
    assert await alice.threads.count(metadata={"mark": mark}) == 0
    assert await alice.assistants.count(metadata={"mark": mark}) == 0
    assert await bob.crons.count(metadata={"mark": mark}) == 1
    assert await alice.crons.count(metadata={"mark": mark}) == 0
    made = await bob.threads.create(metadata={"mark": mark, **theirs})
    assert made["metadata"]["owner"] == "bob"
    await bob.crons.delete(cron["cron_id"])


async def test_no_assistant_is_made_everybodys(users):
    alice, bob, _ = users
    name = f"tool{uuid.uuid4().hex}"
    with pytest.raises(UnprocessableEntityError, match="server's own"):
        await bob.assistants.create("line", metadata={"created_by": "system"}, name=name)
    made = await bob.assistants.create("line", name=name)
    with pytest.raises(UnprocessableEntityError, match="server's own"):
        await bob.assistants.update(made["assistant_id"], metadata={"created_by": "system"})
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert name not in {tool["name"] for tool in (await alice.http.post("/mcp/", json=request))["result"]["tools"]}


async def test_a_stream_doesnt_outlive_its_right(users, guarded):
    """Alice listens to a thread, deletes it, and Bob makes one of the same id."""
    alice, bob, _ = users
    thread = str(uuid.uuid4())
    await alice.threads.create(thread_id=thread)
    lines, ended = [], asyncio.Event()

    async def hear(response):
        async for line in response.aiter_lines():
            lines.append(line)
            if "run_done" in line:
                ended.set()

    http = httpx.AsyncClient(base_url=guarded.url, headers={"authorization": "Bearer a"}, timeout=30)
    async with http, http.stream("GET", f"/threads/{thread}/stream") as response:
        hearing = asyncio.create_task(hear(response))
        await alice.runs.wait(thread, "line", input={"items": ["first"]})
        await asyncio.wait_for(ended.wait(), 30)
        await alice.threads.delete(thread)
        await bob.threads.create(thread_id=thread)
        before = len(lines)
        run = await bob.runs.create(thread, "line", input={"items": ["secret"]}, stream_resumable=True)
        await bob.runs.join(thread, run["run_id"])
        told = [part.event async for part in bob.runs.join_stream(thread, run["run_id"], last_event_id="-1")]
        assert "values" in told  # it is written down, and could be read
        await asyncio.sleep(0.6)  # a listener looks four times a second
        assert [line for line in lines[before:] if line.strip() and not line.startswith(":")] == []
        hearing.cancel()


async def test_looking_over_all_threads_and_runs_shows_ones_own(users):
    alice, bob, _ = users
    mark = f"Mark{uuid.uuid4().hex}"
    mine = {}
    for name, user in (("alice", alice), ("bob", bob)):
        thread = (await user.threads.create(metadata={"note": f'a "{mark}" Ä', "of": name}))["thread_id"]
        await user.runs.wait(thread, "line", input={"items": [], "fail": "boom"}, raise_error=False)
        mine[name] = thread

    async def threads(user, **asked):
        return [one["thread_id"] for one in await user.http.post("/perdure/threads/search", json=asked)]

    for name, user in (("alice", alice), ("bob", bob)):
        assert await threads(user, words=[mark]) == [mine[name]]
        assert await threads(user, words=[mark.lower(), "ERROR", "Ä", f'"{mark}"', "boom"]) == [mine[name]]
        assert await threads(user, words=[mark, "idle"]) == []
        assert await threads(user, ids=list(mine.values())) == [mine[name]]
        assert await threads(user, words=[mark], metadata={"owner": "alice"}) == ([mine[name]] if user is alice else [])
        assert await threads(user, words=[mark], status="error", limit=1) == [mine[name]]
        failed = await user.http.post("/perdure/runs/search", json={"status": "error", "limit": 1000})
        assert [run["thread_id"] for run in failed if run["thread_id"] in mine.values()] == [mine[name]]
        run = next(run for run in failed if run["thread_id"] == mine[name])
        assert (run["graph_id"], run["error"]["message"], run["queue"]) == ("line", "boom", "default")
        assert "kwargs" not in run
        assert not await user.http.post("/perdure/runs/search", json={"status": "error", "graph_id": "loop"})
        assert not await user.http.post("/perdure/runs/search", json={"queue": "none"})
        assert await threads(user, words=["%", mark]) == await threads(user, words=["'; --"]) == []


async def test_looking_over_all_comes_in_pages(http):
    mark = uuid.uuid4().hex
    for n in range(5):
        await http.post("/threads", json={"metadata": {"mark": mark, "n": n}})
    found, offset = [], "0"
    while offset is not None:
        asked = {"words": [mark], "limit": 2, "offset": int(offset)}
        answer = await http.post("/perdure/threads/search", json=asked)
        found += [one["metadata"]["n"] for one in answer.json()]
        offset = answer.headers.get("x-pagination-next")
    assert found == [4, 3, 2, 1, 0]


async def test_figures_of_all_are_for_who_sees_all(users):
    for user in users:
        with pytest.raises(PermissionDeniedError, match="which figures"):
            await user.http.get("/metrics?format=json")


@pytest.mark.parametrize("place", ["__init__.__globals__", "__class__", "model_dump", "_abc_impl", "__dict__"])
async def test_extracts_are_of_data_alone(client, place):
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "chat", input={"messages": [{"role": "user", "content": "hi"}]})
    wanted = {"code": f"values.messages[0].{place}", "text": "values.messages[0].content"}
    [found] = await client.threads.search(ids=[thread], extract=wanted)
    assert found["extracted"] == {"code": None, "text": "hi"}


@pytest.mark.parametrize(
    ("metadata", "wanted", "is_found"),
    [
        ({"a": 1}, {"a": {}}, False),
        ({"a": 1}, {"a": []}, False),
        ({"a": 1}, {"b": []}, False),
        ({"a": {"b": 1}}, {"a": {}}, True),
        ({"a": ["x"]}, {"a": []}, True),
        ({"a": []}, {"a": []}, True),
        ({"a": {"x": "y"}}, {"a": ["y"]}, False),
        ({"a": ["y"]}, {"a": {"x": "y"}}, False),
        ({"a": ["x", "y"]}, {"a": ["y"]}, True),
        ({"a": "y"}, {"a": ["y"]}, False),
        ({"a": ["y"]}, {"a": "y"}, False),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
        ({'a"."b': 1}, {"a": {"b": 1}}, False),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": {"b": {}}}, {"a": {"b": {"c": []}}}, False),
    ],
)
async def test_a_filter_is_as_strict_on_every_database(client, metadata, wanted, is_found):
    mark = {"mark": str(uuid.uuid4())}
    await client.threads.create(metadata={**metadata, **mark})
    assert await client.threads.count(metadata={**wanted, **mark}) == is_found


CRON = {"assistant_id": "line", "schedule": "* * * * *"}


def deep(levels):
    made = 1
    for _ in range(levels):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/threads", {"metadata": deep(500)}),
        ("POST", "/threads/search", {"metadata": deep(500)}),
        ("POST", "/runs", {"assistant_id": "line", "metadata": deep(500)}),
        ("POST", "/runs/crons", {**CRON, "end_time": "0001-01-01T00:00:00Z"}),
        (
            "POST",
            "/runs/crons",
            {"assistant_id": "line", "schedule": "* * * * *", "end_time": "9999-12-31T23:59-23:00"},
        ),
        ("POST", "/runs/crons", {**CRON, "timezone": "America"}),
        ("POST", "/runs/crons", {**CRON, "timezone": "x" * 300}),
        ("POST", "/runs/crons", {**CRON, "webhook": "file:///etc/passwd"}),
        ("PUT", "/store/items", {"namespace": ["a"], "key": "k" * 3000, "value": {}}),
        ("PUT", "/store/items", {"namespace": ["a" * 50] * 60, "key": "k", "value": {}}),
        ("POST", "/runs/batch", [{"assistant_id": "line", "afterSeconds": 1e300}]),
    ],
)
async def test_what_would_break_something_later_is_refused(http, method, path, body):
    answer = await http.request(method, path, json=body)
    assert answer.status_code == 422, answer.text


async def test_numbers_from_strangers(http):
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    run = (await http.post(f"/threads/{thread}/runs", json={"assistant_id": "line", "input": {"items": []}})).json()
    for number in ("\u00b2", "9" * 30, "9" * 5000, "x", "-1"):
        headers = {"last-event-id": number.encode("latin-1")}
        answer = await http.get(f"/threads/{thread}/runs/{run['run_id']}/stream", headers=headers)
        assert answer.status_code == 200
        params = {"contextId": thread, "pageToken": number}
        request = {"jsonrpc": "2.0", "id": 1, "method": "tasks/list", "params": params}
        assert len((await http.post("/a2a/line", json=request)).json()["result"]["tasks"]) == 1


@pytest.mark.parametrize("header", [b"x-a: " + b"a" * 100_000, b"a: b\r\n" * 20_000], ids=["one", "many"])
async def test_a_head_without_end_is_cut_off(server, header):
    _, _, place = server.url.rpartition("/")
    host, _, port = place.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /ok HTTP/1.1\r\nhost: x\r\n" + header)
    assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
    writer.close()
