"""LangGraph's users' projects, unchanged: their graphs on our storage, their RemoteGraph on our server."""

import json
import operator
from typing import Annotated, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client
from tests.server.serving import PROJECT, Served


@pytest.fixture(scope="module")
def theirs(database_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "agent.py").write_text(PROJECT.with_name("theirs.py").read_text())
    given = {"dependencies": ["."], "graphs": {"theirs": "./agent.py:graph", "made": "agent:make"}, "env": ".env"}
    (folder / "langgraph.json").write_text(json.dumps(given))
    (folder / ".env").write_text("A_VARIABLE=1\n")
    with Served(folder, database_url, config_name="langgraph.json") as served:
        yield served


@pytest.fixture
async def client(theirs):
    made = get_client(url=theirs.url)
    yield made
    await made.aclose()


@pytest.mark.parametrize("name", ["theirs", "made"])
async def test_their_graph_runs_asks_and_goes_on_with_its_state_in_our_storage(client, theirs, name):
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    asked = await client.runs.wait(id_, name, input={"items": [], "messages": [("user", "hi")]})
    assert sorted(asked["items"]) == [0, 10, 20]
    [question] = asked["__interrupt__"]
    assert question["value"] == {"question": "sure?"}
    found = await client.threads.get(id_)
    assert found["status"] == "interrupted"
    assert [i["value"] for i in next(iter(found["interrupts"].values()))] == [{"question": "sure?"}]
    done = await client.runs.wait(id_, name, command={"resume": "yes"})
    assert done["items"][-1] == "yes"
    assert [(m["type"], m["content"]) for m in done["messages"]] == [("human", "hi"), ("ai", "done")]
    history = await client.threads.get_history(id_)
    assert [s["next"] for s in history][:2] == [[], ["ask"]]
    assert (await client.store.get_item(["seen"], key="last"))["value"] == {"items": 0}
    await client.threads.update_state(id_, {"items": ["by hand"]}, as_node="ask")
    assert (await client.threads.get_state(id_))["values"]["items"][-1] == "by hand"


async def test_their_graph_streams(client):
    given = {"items": [], "messages": []}
    modes = ["values", "updates", "messages-tuple", "tasks"]
    parts = [(p.event, p.data) async for p in client.runs.stream(None, "theirs", input=given, stream_mode=modes)]
    assert {event for event, _ in parts} == {"metadata", "values", "updates", "tasks"}
    assert [data for event, data in parts if event == "updates"][-1]["__interrupt__"][0]["value"] == {
        "question": "sure?"
    }


async def test_checkpoints_of_their_graph_name_their_run(client):
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    await client.threads.update(id_, metadata={"graph_id": "theirs"})
    await client.threads.update_state(id_, {"items": ["kept"]}, as_node="ask")
    made = await client.runs.create(id_, "theirs", input={"items": ["undone"], "messages": []}, after_seconds=0.5)
    done = await client.runs.join(id_, made["run_id"])
    assert "undone" in done.get("items", ()), done
    history = await client.threads.get_history(id_, limit=100)
    assert [s["metadata"].get("run_id") for s in history][-1] is None
    assert {s["metadata"].get("run_id") for s in history[:-1]} == {made["run_id"]}


# -- their RemoteGraph


class State(TypedDict):
    items: Annotated[list, operator.add]


async def test_their_remote_graph_is_a_client_of_ours(server):
    remote = RemoteGraph("line", url=server.url)
    assert (await remote.ainvoke({"items": ["r"]}))["items"] == ["r", "first", "second"]
    updates = [u async for u in remote.astream({"items": []}, stream_mode="updates")]
    assert updates[0] == {"first": {"items": ["first"]}}
    made = await remote.client.threads.create()
    config = {"configurable": {"thread_id": made["thread_id"]}}
    asked = await remote.ainvoke({"items": [], "ask": ["?"]}, config)
    assert asked["__interrupt__"][0]["value"] == "?"
    state = await remote.aget_state(config)
    assert (state.next, state.values["items"]) == (("second",), ["first"])
    done = await remote.ainvoke(Command(resume="!"), config)
    assert done["items"] == ["first", "!", "second"]
    await remote.aupdate_state(config, {"items": ["x"]})
    history = [s async for s in remote.aget_state_history(config)]
    assert history[0].values["items"][-1] == "x"
    drawn = await remote.aget_graph()
    assert set(drawn.nodes) == {"__start__", "first", "second", "__end__"}
    with pytest.raises(RemoteException, match="boom"):
        await remote.ainvoke({"items": [], "fail": "boom"})
    await remote.client.aclose()


async def test_their_remote_graph_is_a_node_of_their_graph(server):
    remote = RemoteGraph("line", url=server.url, name="remote")
    graph = StateGraph(State).add_node("remote", remote).add_edge(START, "remote").compile()
    done = await graph.ainvoke({"items": ["outer"]})
    assert done["items"][-2:] == ["first", "second"]
    parts = [part async for part in graph.astream({"items": []}, stream_mode="updates", subgraphs=True)]
    assert {"first": {"items": ["first"]}} in [update for _, update in parts]
    await remote.client.aclose()
