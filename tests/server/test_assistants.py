"""Assistants through the SDK."""

import uuid

import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

OWN = {"created_by": "system"}


async def test_each_graph_has_an_assistant_of_the_id_that_it_has_everywhere(client):
    own = await client.assistants.search(metadata=OWN, limit=100)
    assert {a["graph_id"] for a in own} >= {"line", "loop", "greeting", "chat", "nested", "fan"}
    greeting = next(a for a in own if a["graph_id"] == "greeting")
    assert greeting["assistant_id"] == str(uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "greeting"))
    assert (greeting["name"], greeting["description"], greeting["version"]) == ("greeting", "says hello", 1)


async def test_an_assistant_is_made_read_and_deleted(client):
    made = await client.assistants.create(
        "line",
        {"recursion_limit": 7, "configurable": {"tone": "kind"}},
        metadata={"team": "a"},
        name="Kind",
        description="kind one",
    )
    found = await client.assistants.get(made["assistant_id"])
    assert found == made
    assert found["config"] == {"recursion_limit": 7, "configurable": {"tone": "kind"}}
    assert found["context"] == {"tone": "kind"}
    await client.assistants.delete(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await client.assistants.get(made["assistant_id"])


async def test_an_id_is_taken_once(client):
    id_ = str(uuid.uuid4())
    first = await client.assistants.create("line", assistant_id=id_, name="first")
    with pytest.raises(ConflictError):
        await client.assistants.create("line", assistant_id=id_)
    again = await client.assistants.create("line", assistant_id=id_, name="second", if_exists="do_nothing")
    assert again == first


async def test_an_update_is_a_version_and_an_old_one_can_be_the_latest_again(client):
    made = await client.assistants.create("line", context={"a": 1}, metadata={"x": 1}, name="v1")
    id_ = made["assistant_id"]
    second = await client.assistants.update(id_, context={"a": 2}, metadata={"y": 2}, name="v2")
    assert (second["version"], second["context"], second["metadata"]) == (2, {"a": 2}, {"x": 1, "y": 2})
    versions = await client.assistants.get_versions(id_)
    assert [(v["version"], v["name"]) for v in versions] == [(2, "v2"), (1, "v1")]
    assert [v["version"] for v in await client.assistants.get_versions(id_, metadata={"y": 2})] == [2]
    back = await client.assistants.set_latest(id_, 1)
    assert (back["version"], back["context"], back["name"]) == (1, {"a": 1}, "v1")
    third = await client.assistants.update(id_, name="v3")
    assert (third["version"], third["context"]) == (3, {"a": 1})
    with pytest.raises(NotFoundError):
        await client.assistants.set_latest(id_, 9)


async def test_assistants_are_searched_counted_sorted_and_paged(client):
    mark = str(uuid.uuid4())
    for n in range(5):
        await client.assistants.create("line", metadata={"mark": mark, "n": {"is": n}}, name=f"Search {n}")
    found = await client.assistants.search(metadata={"mark": mark}, sort_by="name", sort_order="asc", limit=2)
    assert [a["name"] for a in found] == ["Search 0", "Search 1"]
    page = await client.assistants.search(metadata={"mark": mark}, limit=2, response_format="object")
    assert page["next"] == "2"
    last = await client.assistants.search(metadata={"mark": mark}, limit=2, offset=4, response_format="object")
    assert (len(last["assistants"]), last["next"]) == (1, None)
    assert await client.assistants.count(metadata={"mark": mark}) == 5
    assert await client.assistants.count(metadata={"mark": mark, "n": {"is": 3}}) == 1
    assert await client.assistants.count(metadata={"mark": mark}, name="search 4") == 1
    assert await client.assistants.count(metadata={"mark": mark}, graph_id="chat") == 0
    [one] = await client.assistants.search(metadata={"mark": mark, "n": {"is": 2}}, select=["name", "graph_id"])
    assert one == {"name": "Search 2", "graph_id": "line"}


async def test_a_graph_is_drawn_and_described(client):
    own = {a["graph_id"]: a["assistant_id"] for a in await client.assistants.search(metadata=OWN, limit=100)}
    drawn = await client.assistants.get_graph(own["line"])
    assert [n["id"] for n in drawn["nodes"]] == ["__start__", "first", "second", "__end__"]
    assert {"source": "first", "target": "second"} in drawn["edges"]
    inside = await client.assistants.get_graph(own["nested"], xray=True)
    assert "inner:first" in [n["id"] for n in inside["nodes"]]
    schemas = await client.assistants.get_schemas(own["greeting"])
    assert schemas["input_schema"]["properties"].keys() >= {"items", "sleep"}
    assert schemas["context_schema"]["properties"].keys() == {"name"}
    subgraphs = await client.assistants.get_subgraphs(own["nested"], recurse=True)
    assert subgraphs["inner"]["input_schema"]["properties"].keys() >= {"items"}
    assert (await client.assistants.get_subgraphs(own["nested"], "inner")).keys() == {"inner"}


async def test_deleting_an_assistant_can_take_its_threads_with_it(client):
    made = await client.assistants.create("line")
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], made["assistant_id"], input={"items": []})
    await client.assistants.delete(made["assistant_id"], delete_threads=True)
    with pytest.raises(NotFoundError):
        await client.threads.get(thread["thread_id"])


async def test_mistakes_are_named(client, http):
    with pytest.raises(NotFoundError, match="no graph 'nope'"):
        await client.assistants.create("nope")
    with pytest.raises(UnprocessableEntityError, match="UUID"):
        await client.assistants.get("nope")
    assert (await client.assistants.get("line"))["graph_id"] == "line"
    with pytest.raises(UnprocessableEntityError, match="can't be 'system'"):
        await client.assistants.create("line", metadata=OWN)
    answer = await http.post("/assistants", json={"graph_id": "line", "colour": "red"})
    assert answer.status_code == 422
    assert answer.json() == {"detail": "Object contains unknown field `colour`"}
    answer = await http.post("/assistants", content=b"{")
    assert answer.status_code == 422
    with pytest.raises(UnprocessableEntityError, match="sort_by"):
        await client.assistants.search(sort_by="colour")
    with pytest.raises(UnprocessableEntityError, match="limit"):
        await client.assistants.search(limit=0)
