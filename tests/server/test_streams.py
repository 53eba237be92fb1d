"""Streams of runs and threads: what they tell, and that nothing is lost or doubled."""

import asyncio
import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest


async def thread(client):
    return (await client.threads.create())["thread_id"]


async def told(stream):
    return [(part.event, part.data) async for part in stream]


async def test_a_run_tells_what_it_does_in_the_modes_that_are_asked_for(client):
    id_ = await thread(client)
    parts = await told(
        client.runs.stream(id_, "line", input={"items": ["in"]}, stream_mode=["values", "updates", "custom", "tasks"])
    )
    assert parts[0][0] == "metadata"
    assert parts[0][1]["attempt"] == 1
    assert [data for event, data in parts if event == "updates"] == [
        {"first": {"items": ["first"]}},
        {"second": {"items": ["second"], "ask": [], "fail": "", "sleep": 0, "block": 0}},
    ]
    assert [data["items"] for event, data in parts if event == "values"] == [
        ["in"],
        ["in", "first"],
        ["in", "first", "second"],
    ]
    assert [data for event, data in parts if event == "custom"] == [{"at": "second"}]
    assert [data["name"] for event, data in parts if event == "tasks"] == ["first", "first", "second", "second"]


async def test_the_default_is_values_and_v2_tells_kinds(client):
    parts = await told(client.runs.stream(None, "line", input={"items": []}))
    assert [event for event, _ in parts] == ["metadata", "values", "values", "values"]
    kinds = [p["type"] async for p in client.runs.stream(None, "line", input={"items": []}, version="v2")]
    assert kinds == ["metadata", "values", "values", "values"]


async def test_debug_and_checkpoints(client):
    id_ = await thread(client)
    parts = await told(client.runs.stream(id_, "line", input={"items": []}, stream_mode=["debug", "checkpoints"]))
    assert [d["type"] for e, d in parts if e == "debug"].count("task_result") == 2
    checkpoints = [d for e, d in parts if e == "checkpoints"]
    assert checkpoints[-1]["values"]["items"] == ["first", "second"]
    assert checkpoints[-1]["config"]["configurable"]["thread_id"] == id_


async def test_subgraphs_have_their_namespace_in_the_events_name(client):
    parts = await told(
        client.runs.stream(None, "nested", input={"items": []}, stream_mode="updates", stream_subgraphs=True)
    )
    names = [event for event, _ in parts]
    assert names[-1] == "updates"
    assert [name.partition(":")[0] for name in names[1:3]] == ["updates|inner", "updates|inner"]


async def test_messages_in_both_forms(client):
    given = {"messages": [{"role": "human", "content": "hi"}]}
    parts = await told(client.runs.stream(None, "chat", input=given, stream_mode="messages-tuple"))
    [(event, (message, metadata))] = parts[1:]
    assert (event, message["content"], metadata["langgraph_node"]) == ("messages", "you said hi", "answer")
    parts = await told(client.runs.stream(None, "chat", input=given, stream_mode="messages"))
    assert [event for event, _ in parts[1:]] == ["messages/metadata", "messages/complete"]
    assert parts[2][1][0]["content"] == "you said hi"


async def test_a_failure_and_a_question_are_told(client):
    parts = await told(client.runs.stream(None, "line", input={"items": [], "fail": "boom"}))
    assert parts[-1] == ("error", {"error": "ValueError", "message": "boom"})
    parts = await told(client.runs.stream(None, "line", input={"items": [], "ask": ["?"]}, stream_mode="updates"))
    [question] = parts[-1][1]["__interrupt__"]
    assert question["value"] == "?"


async def test_a_run_is_joined_in_its_middle(client):
    id_ = await thread(client)
    made = await client.runs.create(id_, "loop", input={"items": [], "steps": 6, "sleep": 0.15}, stream_mode="updates")
    await asyncio.sleep(0.4)
    parts = await told(client.runs.join_stream(id_, made["run_id"], stream_mode="updates"))
    seen = [d["tick"]["items"][0] for e, d in parts if e == "updates"]
    assert seen == list(range(seen[0], 6))
    assert seen[0] > 0
    assert await told(client.runs.join_stream(id_, made["run_id"])) == []


async def test_a_resumable_run_is_read_again_from_any_event(client):
    id_ = await thread(client)
    given = {"items": [], "steps": 5}
    stream = client.runs.stream(id_, "loop", input=given, stream_mode="updates", stream_resumable=True)
    first = [part async for part in stream]
    run_id = first[0].data["run_id"]
    assert len({part.id for part in first}) == len(first) == 6
    again = [p async for p in client.runs.join_stream(id_, run_id, last_event_id="-1")]
    assert again == first
    rest = [p async for p in client.runs.join_stream(id_, run_id, last_event_id=first[2].id)]
    assert rest == first[3:]


async def test_nothing_is_lost_or_doubled_when_the_line_is_cut_again_and_again(client, http):
    id_ = await thread(client)
    body = {
        "assistant_id": "loop",
        "input": {"items": [], "steps": 40, "sleep": 0.02},
        "stream_mode": "updates",
        "stream_resumable": True,
        "on_disconnect": "continue",
    }
    seen, last, url, cuts = [], None, f"/threads/{id_}/runs/stream", 0
    while True:
        headers = {"last-event-id": last} if last else {}
        method = "GET" if last else "POST"
        count = 0
        async with http.stream(method, url, json=None if last else body, headers=headers) as response:
            assert response.status_code == 200
            url = response.headers.get("location", url)
            event = {}
            async for line in response.aiter_lines():
                if not line:
                    if event.get("event") == "updates":
                        seen.append(json.loads(event["data"])["tick"]["items"][0])
                    last = event.get("id", last)
                    event, count = {}, count + 1
                    if count == 7:
                        break
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value
        if count < 7:
            break
        cuts += 1
    assert seen == list(range(40))
    assert cuts >= 4


async def test_a_stream_that_is_silent_shows_signs_of_life(client, http):
    body = {"assistant_id": "line", "input": {"items": [], "sleep": 6}, "stream_mode": "updates"}
    async with http.stream("POST", "/runs/stream", json=body, timeout=20) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in response.aiter_lines()]
    assert ": heartbeat" in lines


async def test_a_threads_stream_tells_of_all_its_runs(client):
    id_ = await thread(client)
    seen = []

    async def listen():
        async for part in await client.threads.join_stream(id_):
            seen.append(part)
            if sum(p.data.get("status") == "run_done" for p in seen if p.event == "metadata") == 2:
                return

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.5)
    for n in range(2):
        await client.runs.wait(id_, "line", input={"items": [n]})
    runs = [r["run_id"] for r in reversed(await client.runs.list(id_))]
    await asyncio.wait_for(listening, 10)
    done = [p.data["run_id"] for p in seen if p.event == "metadata" and p.data.get("status") == "run_done"]
    assert done == runs
    begun = [p.data["run_id"] for p in seen if p.event == "metadata" and "attempt" in p.data]
    assert begun == runs


async def test_a_threads_stream_goes_on_where_it_was_cut(client):
    id_ = await thread(client)
    first = []
    listening = await client.threads.join_stream(id_)

    async def run_soon():
        await asyncio.sleep(0.5)
        await client.runs.wait(id_, "loop", input={"items": [], "steps": 3})

    running = asyncio.create_task(run_soon())
    async for part in listening:
        first.append(part)
        if len(first) == 1:
            break
    await listening.aclose()
    await running
    rest = []
    async for part in await client.threads.join_stream(id_, last_event_id=first[0].id):
        rest.append(part)
        if part.event == "metadata" and part.data.get("status") == "run_done":
            break
    assert first[0].event == "metadata"
    assert rest[-1].data["run_id"] == first[0].data["run_id"]


async def test_a_client_that_doesnt_read_is_cut_and_costs_no_memory(client, server):
    """It asks for a stream of 60 MB and reads nothing; the run ends, and the server has let go of the stream."""
    id_ = await thread(client)
    place = urlsplit(server.url)
    body = json.dumps(
        {
            "assistant_id": "loop",
            "input": {"items": ["x" * 1_000_000], "steps": 60},
            "stream_mode": "values",
            "on_disconnect": "continue",
        }
    )
    with socket.create_connection((place.hostname, place.port)) as raw:
        request = f"POST /threads/{id_}/runs/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        raw.sendall(f"{request}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = await client.runs.list(id_)
            if found and found[0]["status"] == "success":
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the run waits for its client")
    async with httpx.AsyncClient(base_url=server.url) as http:
        for _ in range(100):
            if (await http.get("/metrics?format=json")).json()["api"]["streams"] == 0:
                return
            await asyncio.sleep(0.1)
    pytest.fail("the stream is still held")


async def test_calls_of_tools_are_told_under_the_names_of_clients(client):
    given = {"messages": [{"role": "human", "content": "rome nowhere"}]}
    parts = await told(client.runs.stream(await thread(client), "agent", input=given, stream_mode=["tools"]))
    data = [data for event, data in parts if event == "tools"]
    calls = {place: [one for one in data if one["toolCallId"] == f"call-{place}"] for place in ("rome", "nowhere")}
    assert all(one["name"] == "weather" for one in data)
    assert [one["event"] for one in calls["rome"]] == ["on_tool_start", "on_tool_end"]
    assert calls["rome"][0]["input"] == {"place": "rome"}
    assert calls["rome"][1]["output"]["content"] == "sunny-in-rome"
    assert [one["event"] for one in calls["nowhere"]] == ["on_tool_start", "on_tool_error"]
    assert calls["nowhere"][1]["error"] == "there is no nowhere"


async def test_graphs_within_tell_when_they_begin_and_end(client):
    for extra, status in (({}, "completed"), ({"fail": "boom"}, "failed"), ({"ask": ["?"]}, "interrupted")):
        value = {"items": [], **extra}
        parts = await told(client.runs.stream(await thread(client), "nested", input=value, stream_mode=["lifecycle"]))
        found = [(event, data) for event, data in parts if event.startswith("lifecycle")]
        assert [data["event"] for _, data in found] == ["started", status]
        assert all(event == "|".join(("lifecycle", *data["namespace"])) for event, data in found)
        assert found[0][1]["namespace"][0].startswith("inner:")
        if status == "failed":
            assert "boom" in found[1][1]["error"]["message"]
        assert {event.partition("|")[0] for event, _ in parts} <= {"metadata", "lifecycle", "error"}


@pytest.mark.parametrize(
    ("asked", "says"),
    [({"stream_mode": ["values", "events"]}, "messages-tuple"), ({"feedback_keys": ["key"]}, "LangSmith")],
)
async def test_what_is_not_served_is_refused_with_what_to_do_instead(client, http, asked, says):
    id_ = await thread(client)
    for route in (f"/threads/{id_}/runs", f"/threads/{id_}/runs/stream", "/runs"):
        refused = await http.post(route, json={"assistant_id": "line", "input": {}, **asked})
        assert refused.status_code == 422
        assert says in refused.json()["detail"]
