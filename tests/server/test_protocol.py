"""The event protocol, as the SDK's client of it speaks it."""

import asyncio
import contextlib
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from langchain_protocol import protocol
from langgraph_sdk import get_client
from pydantic import TypeAdapter
from tests.server.serving import Served

from perdure.server.protocol.ends import Ends
from perdure.server.streams import Frame

ALL = ["values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"]
ENDS = {"completed", "failed", "interrupted"}


def ends(event):
    root = event["method"] == "lifecycle" and not event["params"]["namespace"]
    return root and event["params"]["data"]["event"] in ENDS


async def until_end(events):
    found = []
    async for event in events:
        if "method" not in event:
            continue  # on a WebSocket, the answer to the client's subscription
        found.append(event)
        if ends(event):
            break
    return found


def ask(text):
    return {"messages": [{"role": "human", "content": text}]}


@pytest.fixture(params=["sse", "websocket"])
def transport(request):
    return request.param


@pytest.fixture
def stream(client, transport):
    def opened(assistant_id, thread_id=None):
        return client.threads.stream(thread_id, assistant_id=assistant_id, transport=transport)

    return opened


@pytest.fixture
def command(http):
    async def send(thread_id, method, **params):
        answer = await http.post(f"/threads/{thread_id}/commands", json={"id": 7, "method": method, "params": params})
        assert answer.status_code == 200
        assert answer.json()["id"] == 7
        return answer.json()

    return send


async def test_every_event_is_as_the_schema_says(stream):
    schemas = {
        "values": protocol.ValuesEvent,
        "updates": protocol.UpdatesData,
        "messages": protocol.MessagesData,
        "tools": protocol.ToolsData,
        "lifecycle": protocol.LifecycleData,
        "input.requested": protocol.InputRequestedData,
        "checkpoints": protocol.Checkpoint,
        "custom": protocol.CustomData,
    }
    seen = set()
    for assistant, value in (("agent", ask("rome")), ("telling", {"items": []}), ("nested", {"items": [], "ask": [1]})):
        async with stream(assistant) as thread:
            await thread.run.start(input=value)
            found = await until_end(thread.events)
        for event in found:
            TypeAdapter(protocol.Event).validate_python(event)
            method, data = event["method"], event["params"]["data"]
            if method not in ("values", "tasks"):
                TypeAdapter(schemas[method]).validate_python(data)
            seen.add(method)
        assert [event["seq"] for event in found] == sorted({event["seq"] for event in found})
        assert len({event["event_id"] for event in found}) == len(found)
    assert seen == {*schemas, "tasks"}


async def test_a_run_has_an_output_and_an_error(stream):
    async with stream("line") as thread:
        await thread.run.start(input={"items": []})
        assert (await thread.output.with_timeout(10))["items"] == ["first", "second"]
    async with stream("line") as thread:
        await thread.run.start(input={"items": [], "fail": "boom"})
        with pytest.raises(RuntimeError, match="ValueError: boom"):
            await thread.output.with_timeout(10)


async def test_a_thread_that_exists_has_turns_whose_outputs_are_their_own(client, stream):
    id_ = (await client.threads.create())["thread_id"]
    for turn in range(1, 6):
        async with stream("line", id_) as thread:
            await thread.run.start(input={"items": [turn]})
            items = (await thread.output.with_timeout(10))["items"]
        assert len(items) == 3 * turn


async def test_values_come_as_they_are_made(stream):
    async with stream("loop") as thread:
        await thread.run.start(input={"items": [], "steps": 4, "sleep": 0.05})
        seen = [values async for values in thread.values]
    assert seen[-1]["items"] == [0, 1, 2, 3]
    lengths = [len(values.get("items", ())) for values in seen]
    assert lengths[1:] == sorted(lengths[1:])  # the first may be the state as the client has read it meanwhile


async def test_messages_come_piece_by_piece(stream):
    async with stream("agent") as thread:
        await thread.run.start(input=ask("rome paris"))
        messages = [message async for message in thread.messages]
        first, last = [await message.output for message in messages]
    assert [(call["name"], call["args"]) for call in first.tool_calls] == [
        ("weather", {"place": "rome"}),
        ("weather", {"place": "paris"}),
    ]
    assert await messages[1].text == "sunny-in-rome sunny-in-paris "
    assert last.usage_metadata["output_tokens"] == 2
    assert first.id != last.id


async def test_tools_are_told_with_what_they_answer_or_why_they_fail(stream):
    async with stream("agent") as thread:
        await thread.run.start(input=ask("rome paris"))
        calls = [call async for call in thread.tool_calls]
        assert {(call.name, call.input["place"]) for call in calls} == {("weather", "rome"), ("weather", "paris")}
        assert {(await call.output)["content"] for call in calls} == {"sunny-in-rome", "sunny-in-paris"}
    async with stream("agent") as thread:
        await thread.run.start(input=ask("nowhere"))
        found = await until_end(thread.subscribe(["tools", "lifecycle"]))
    events = [event["params"]["data"] for event in found if event["method"] == "tools"]
    assert [event["event"] for event in events] == ["tool-started", "tool-error"]
    assert events[1]["message"] == "there is no nowhere"


async def test_graphs_within_are_told_with_their_namespaces(stream):
    async with stream("nested") as thread:
        await thread.run.start(input={"items": []})
        handles = [handle async for handle in thread.subgraphs]
    assert [(handle.graph_name, handle.status) for handle in handles] == [("inner", "completed")]
    for depth, namespaces, nodes in (
        (0, [["inner"], []], ["first", "second", "inner"]),
        (0, [[]], ["inner"]),
        (1, [[]], ["first", "second", "inner"]),
        (None, [["inner"]], ["first", "second"]),
        (None, [["outer"]], []),
    ):
        wanted = {"channels": ["updates", "lifecycle"], "namespaces": namespaces, "since": 0}
        async with stream("nested", thread.thread_id) as again:
            handle = again._transport.open_event_stream(wanted if depth is None else {**wanted, "depth": depth})
            told = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.7):
                    async for event in handle.events:
                        told.append(event)  # noqa: PERF401 - what came until the time is up
            await handle.close()
        seen = [event["params"]["data"]["node"] for event in told if event.get("method") == "updates"]
        assert seen == nodes


async def test_what_nodes_write_is_custom_by_name_or_not(stream):
    async with stream("telling") as thread:
        await thread.run.start(input={"items": []})
        found = await until_end(thread.subscribe(["custom", "lifecycle"]))
        assert [e["params"]["data"] for e in found if e["method"] == "custom"] == [
            {"name": "progress", "payload": {"done": 1}},
            {"payload": "raw"},
        ]
    async with stream("telling") as thread:
        await thread.run.start(input={"items": []})
        assert [item async for item in thread.extensions["progress"]] == [{"name": "progress", "payload": {"done": 1}}]


async def test_a_question_is_answered(stream, client):
    async with stream("nested") as thread:
        await thread.run.start(input={"items": [], "ask": ["how?"]})
        [_ async for _ in thread.values]
        [question] = thread.interrupts
        assert question["value"] == "how?"
        assert question["namespace"][0].startswith("inner:")
        await thread.run.respond("so")
        assert (await thread.output.with_timeout(10))["items"] == ["first", "so", "second"]


async def test_a_client_that_comes_later_finds_the_question(stream, client):
    async with stream("line") as thread:
        await thread.run.start(input={"items": [], "ask": ["how?"]})
        await until_end(thread.events)
    async with stream("line", thread.thread_id) as later:
        for _ in range(1000):
            if later.interrupted:
                break
            await asyncio.sleep(0.01)
        await later.run.respond("so")
        assert (await later.output.with_timeout(10))["items"] == ["first", "so", "second"]


async def test_input_for_a_thread_that_waits_is_the_answer(stream):
    async with stream("line") as thread:
        await thread.run.start(input={"items": [], "ask": ["how?"]})
        await until_end(thread.events)
        await thread.run.start(input="so")
        assert (await thread.output.with_timeout(10))["items"] == ["first", "so", "second"]


def test_the_synchronous_client_and_langgraphs_remote_graph(server):
    clients = Path(__file__).with_name("threading_clients.py")
    done = subprocess.run([sys.executable, str(clients), server.url], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


async def test_events_are_told_again_from_any_of_them(client, transport):
    thread_id = str(uuid.uuid4())
    async with client.threads.stream(thread_id, assistant_id="loop", transport=transport) as thread:
        await thread.run.start(input={"items": [], "steps": 5})
        first = await until_end(thread.events)
        transport_ = thread._transport
        for place in (0, 7, len(first) - 2):
            handle = transport_.open_event_stream({"channels": ALL, "since": first[place]["seq"]})
            again = await until_end(handle.events)
            await handle.close()
            assert again == first[place + 1 :]


class Hearing:
    """What comes on an SSE stream of its own."""

    def __init__(self, thread, *channels, order=None):
        self.order = order
        self.handle = thread._transport.open_event_stream({"channels": list(channels)})
        self.told = []
        self.events = []
        self.task = asyncio.create_task(self.hear())

    async def hear(self):
        async for event in self.handle.events:
            self.events.append(event)
            self.told.append(event["params"]["data"].get("event") or event["method"])
            if self.order is not None:
                self.order.append((self, self.told[-1]))

    async def until(self, what, seconds=10):
        async with asyncio.timeout(seconds):
            for _ in iter(lambda: what in self.told, True):
                await asyncio.sleep(0.005)

    async def close(self):
        await self.handle.close()
        await self.task


async def widened(client, command):
    """Open a stream of a run that has just ended, then a wider one; return what each told, in one order."""
    thread_id, order = str(uuid.uuid4()), []
    started = await command(thread_id, "run.start", assistant_id="line", input={"items": []})
    await client.runs.join(thread_id, started["result"]["run_id"])
    async with client.threads.stream(thread_id, assistant_id="line") as thread:
        narrow = Hearing(thread, "lifecycle", order=order)
        await narrow.until("running")
        wide = Hearing(thread, "values", "lifecycle", order=order)
        await wide.handle.ready
        order.append((wide, "ready"))
        for hearing in (narrow, wide):
            await hearing.until("completed")
        for hearing in (narrow, wide):
            await hearing.close()
    return [what for hearing, what in order if hearing is wide or what == "completed"]


async def test_a_client_that_widens_what_it_hears_is_told_the_end_last(client, command):
    """The end of a run that has just ended is held until the wider stream has been told what came before it."""
    for _ in range(10):
        told = await widened(client, command)
        if told[0] == "ready":  # or else this client was too slow, on a busy machine
            break
    assert told == ["ready", "running", "values", "values", "values", "completed", "completed"]


class Lagging:
    """Streams that lag behind for a while."""

    def __init__(self, looks):
        self.looks = looks

    def lags(self, thread_id, event):
        self.looks -= 1
        return self.looks >= 0


async def test_only_an_end_that_is_news_waits():
    ends, end = Ends(Lagging(3)), Frame(7, "~lifecycle", b"", time.time(), event=7)
    began = time.monotonic()
    await ends.wait("thread", end, time.time())
    assert time.monotonic() - began >= 0.25
    assert ends._streams.looks == -1
    for old in (end, end._replace(event=8, at=time.time() - 60)):
        with pytest.raises(StopIteration):
            ends.wait("thread", old, time.time()).send(None)


async def test_streams_that_lag_are_not_waited_for_without_end():
    end = Frame(7, "~lifecycle", b"", time.time(), event=7)
    async with asyncio.timeout(30):
        await Ends(Lagging(1 << 30)).wait("thread", end, 0.0)


def without_ids(parts):
    """Return what a classic stream told, without what differs from run to run."""
    return [(part.event.partition("|")[0], part.data) for part in parts if part.event != "metadata"]


async def test_runs_of_other_routes_are_told_to_those_who_listen(client):
    id_, unheard = [(await client.threads.create())["thread_id"] for _ in range(2)]
    given = {"assistant_id": "nested", "input": {"items": []}, "stream_mode": ["updates", "custom"]}
    alone = [part async for part in client.runs.stream(unheard, **given)]
    async with client.threads.stream(id_, assistant_id="nested") as thread:
        hearing = Hearing(thread, *ALL)
        await hearing.handle.ready
        heard = [part async for part in client.runs.stream(id_, **given)]
        assert without_ids(heard) == without_ids(alone)
        await client.runs.wait(id_, "nested", input={"items": []})
        for _ in iter(lambda: sum(map(ends, hearing.events)) == 2, True):
            await asyncio.sleep(0.01)
        await hearing.close()
    for event in hearing.events:
        TypeAdapter(protocol.Event).validate_python(event)
    runs = [event["event_id"].removeprefix("synth:").partition(":")[0] for event in hearing.events]
    for run_id in dict.fromkeys(runs):
        events = [event for event, its in zip(hearing.events, runs, strict=True) if its == run_id]
        told = [(event["method"], len(event["params"]["namespace"])) for event in events]
        assert told[0] == told[-1] == ("lifecycle", 0)
        assert {("values", 0), ("values", 1), ("updates", 1), ("lifecycle", 1), ("checkpoints", 0)} <= set(told)


async def test_who_comes_in_the_midst_of_a_run_of_another_route_is_told_its_rest(client):
    for modes in (["values"], ["updates"]):
        id_ = (await client.threads.create())["thread_id"]
        given = {"items": [], "steps": 6, "sleep": 0.1}
        run = await client.runs.create(id_, "loop", input=given, stream_mode=modes)
        await asyncio.sleep(0.15)
        async with client.threads.stream(id_, assistant_id="loop") as thread:
            found = await until_end(thread.subscribe(["values", "updates", "lifecycle"]))
        assert found[0]["params"]["data"]["event"] == "running"
        assert {event["method"] for event in found[1:-2]} == set(modes)
        assert found[-2]["params"]["data"]["items"] == [0, 1, 2, 3, 4, 5]
        assert found[-1]["params"]["data"]["event"] == "completed"
        assert (await client.runs.get(id_, run["run_id"]))["status"] == "success"


async def test_runs_of_another_process_are_told(own_database, tmp_path):
    with Served(tmp_path / "a", own_database) as one, Served(tmp_path / "b", own_database) as other:
        here, there = get_client(url=one.url), get_client(url=other.url)
        id_ = (await here.threads.create())["thread_id"]
        async with here.threads.stream(id_, assistant_id="line") as thread:
            hearing = Hearing(thread, "updates", "lifecycle")
            await hearing.handle.ready
            await asyncio.sleep(0.1)
            await there.runs.wait(id_, "line", input={"items": []})
            await hearing.until("completed")
            assert hearing.told == ["running", "updates", "updates", "completed"]
            await hearing.close()
        for client in (here, there):
            await client.aclose()


async def test_a_second_run_on_a_thread_goes_on_counting(client, command):
    thread_id = str(uuid.uuid4())
    started = await command(thread_id, "run.start", assistant_id="line", input={"items": []})
    async with client.threads.stream(thread_id, assistant_id="line") as thread:
        first = await until_end(thread.events)
        again = await command(thread_id, "run.start", assistant_id="line", input={"items": []})
        assert again["meta"]["applied_through_seq"] >= first[-1]["seq"] > started["meta"]["applied_through_seq"]
        second = await until_end(thread.events)
    assert second[0]["seq"] > first[-1]["seq"]
    runs = {event["event_id"].removeprefix("synth:").partition(":")[0] for event in second}
    assert runs == {again["result"]["run_id"]}


async def test_states_and_checkpoints(client, command):
    thread_id = str(uuid.uuid4())
    await command(thread_id, "run.start", assistant_id="nested", input={"items": [], "ask": ["?"]})
    async with client.threads.stream(thread_id, assistant_id="nested") as thread:
        await until_end(thread.events)
    state = (await command(thread_id, "state.get", namespace=[], keys=["ask", "nothing"]))["result"]
    assert state["values"] == {"ask": ["?"]}
    inner = (await command(thread_id, "state.get", namespace=["inner"]))["result"]
    assert inner["values"]["items"] == ["first"]
    assert inner["checkpoint"]["ns"].startswith("inner:")
    wrong = await command(thread_id, "state.get", namespace=["outer"])
    assert (wrong["type"], wrong["error"]) == ("error", "no_such_namespace")
    whole = (await command(thread_id, "state.listCheckpoints"))["result"]["checkpoints"]
    assert [one["step"] for one in whole] == [0, -1]
    rest = (await command(thread_id, "state.listCheckpoints", before=whole[0]["id"], limit=5))["result"]["checkpoints"]
    assert [one["id"] for one in rest] == [whole[1]["id"]]
    for one in whole:
        TypeAdapter(protocol.CheckpointSummary).validate_python(one)
    within = await command(thread_id, "state.listCheckpoints", namespace=inner["checkpoint"]["ns"].split("|"))
    assert inner["checkpoint"]["id"] in {one["id"] for one in within["result"]["checkpoints"]}


async def test_a_fork_runs_again_from_a_checkpoint(client, command):
    thread_id = str(uuid.uuid4())
    await command(thread_id, "run.start", assistant_id="line", input={"items": ["a"]})
    async with client.threads.stream(thread_id, assistant_id="line") as thread:
        await until_end(thread.events)
        checkpoints = (await command(thread_id, "state.listCheckpoints"))["result"]["checkpoints"]
        after_first = next(one["id"] for one in checkpoints if one["step"] == 1)
        made = await command(thread_id, "state.fork", checkpoint_id=after_first)
        assert made["result"]["thread_id"] == thread_id
        await client.runs.join(thread_id, made["result"]["run_id"])
        assert (await client.threads.get_state(thread_id))["values"]["items"] == ["a", "first", "second"]
        missing = await command(thread_id, "state.fork", checkpoint_id="1f1e850b-0aa5-61df-a55c-30844c1fd004")
        assert missing["error"] == "no_such_checkpoint"


async def test_the_tree_of_a_run(client, command):
    thread_id = str(uuid.uuid4())
    made = await command(thread_id, "run.start", assistant_id="nested", input={"items": []})
    async with client.threads.stream(thread_id, assistant_id="nested") as thread:
        await until_end(thread.events)
    tree = (await command(thread_id, "agent.getTree", run_id=made["result"]["run_id"]))["result"]["tree"]
    TypeAdapter(protocol.AgentTreeNode).validate_python(tree)
    assert (tree["graph_name"], tree["status"]) == ("nested", "completed")
    assert [(one["graph_name"], one["status"]) for one in tree["children"]] == [("inner", "completed")]
    assert (await command(thread_id, "agent.getTree", run_id=str(uuid.uuid4())))["error"] == "no_such_run"


async def test_a_message_is_injected_at_once_or_after_what_runs(client, command):
    thread_id = str(uuid.uuid4())
    made = await command(thread_id, "run.start", assistant_id="agent", input=ask("rome"))
    await client.runs.join(thread_id, made["result"]["run_id"])
    said = {"role": "system", "content": "be brief"}
    assert (await command(thread_id, "input.inject", namespace=[], message=said))["result"] == {}
    messages = (await client.threads.get_state(thread_id))["values"]["messages"]
    assert (messages[-1]["type"], messages[-1]["content"]) == ("system", "be brief")
    slow = str(uuid.uuid4())
    await command(slow, "run.start", assistant_id="slow", input=ask("x"))
    assert (await command(slow, "input.inject", namespace=[], message={"role": "user", "content": "y"}))["result"] == {}
    for run in await client.runs.list(slow):
        await client.runs.join(slow, run["run_id"])
    contents = [m["content"] for m in (await client.threads.get_state(slow))["values"]["messages"]]
    assert contents == ["x", "heard x", "y", "heard y"]


async def test_what_is_wrong_has_the_protocols_codes(client, command, http):
    thread_id = (await client.threads.create())["thread_id"]
    cases = {
        "no_such_interrupt": ("input.respond", {"namespace": [], "interrupt_id": "x", "response": 1}),
        "unknown_command": ("run.dance", {}),
        "not_supported": ("subscription.subscribe", {"channels": ["values"]}),
        "invalid_argument": ("run.start", {"assistant_id": "nobody", "input": {}}),
        "no_such_run": ("agent.getTree", {}),
    }
    for code, (method, params) in cases.items():
        found = await command(thread_id, method, **params)
        TypeAdapter(protocol.ErrorResponse).validate_python(found)
        assert (found["type"], found["error"]) == ("error", code)
    assert (await command(thread_id, "run.start"))["error"] == "invalid_argument"
    for body in (b"{", b"[]", b'{"id": -1, "method": "x"}'):
        answer = await http.post(f"/threads/{thread_id}/commands", content=body)
        assert (answer.status_code, answer.json()["error"], answer.json()["id"]) == (200, "invalid_argument", None)
    place = f"/threads/{thread_id}/stream/events"
    assert (await http.post(place, json={"channels": ["valeus"]})).status_code == 422
    assert (await http.post(f"/threads/{uuid.uuid4()}/stream/events", json={"channels": []})).status_code == 404


async def test_the_classic_streams_know_nothing_of_it(client, command):
    thread_id = str(uuid.uuid4())
    made = await command(thread_id, "run.start", assistant_id="line", input={"items": []})
    run_id = made["result"]["run_id"]
    assert (await client.runs.join(thread_id, run_id))["items"] == ["first", "second"]
    parts = [part.event async for part in client.runs.join_stream(thread_id, run_id, last_event_id="-1")]
    assert parts == ["metadata"]


async def test_a_run_survives_its_worker_and_its_listeners_miss_nothing(own_database, tmp_path):
    from tests.server.serving import Served

    arguments = ("--no-api",)
    environment = {"PERDURE_LEASE_SECONDS": "1"}
    with Served(tmp_path / "api", own_database, environment={"PERDURE_JOBS": "0"}) as api:
        worker = Served(tmp_path / "one", own_database, environment=environment, arguments=arguments)
        worker.start()
        client = get_client(url=api.url)
        async with client.threads.stream(assistant_id="loop") as thread:
            await thread.run.start(input={"items": [], "steps": 12, "sleep": 0.1})
            found, killed = [], False
            async for event in thread.subscribe(ALL):
                found.append(event)
                if not killed and event["method"] == "updates" and event["params"]["data"]["values"]["items"] == [4]:
                    worker.kill()
                    killed = True
                    other = Served(tmp_path / "two", own_database, environment=environment, arguments=arguments)
                    other.start()
                if ends(event):
                    break
            assert (await thread.output)["items"] == list(range(12))
        await client.aclose()
        other.stop()
    assert killed
    assert len({event["event_id"] for event in found}) == len(found)
    seen = [event["params"]["data"]["values"]["items"][0] for event in found if event["method"] == "updates"]
    assert sorted(set(seen)) == list(range(12))
    assert found[-1]["params"]["data"]["event"] == "completed"


async def test_a_question_is_told_when_its_events_are_gone(own_database, tmp_path):
    from tests.server.serving import Served

    with Served(tmp_path, own_database, environment={"RESUMABLE_STREAM_TTL_SECONDS": "0.1"}) as served:
        client = get_client(url=served.url)
        async with client.threads.stream(assistant_id="line") as thread:
            await thread.run.start(input={"items": [], "ask": ["how?"]})
            await until_end(thread.events)
            told = await client.threads.get(thread.thread_id)
        await asyncio.sleep(1.2)
        for transport in ("sse", "websocket"):
            async with client.threads.stream(thread.thread_id, assistant_id="line", transport=transport) as later:
                for _ in range(500):
                    if later.interrupted:
                        break
                    await asyncio.sleep(0.01)
                assert [one["value"] for one in later.interrupts] == ["how?"]
        assert told["status"] == "interrupted"
        await client.aclose()
