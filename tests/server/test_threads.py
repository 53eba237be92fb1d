"""Threads and their states through the SDK."""

import asyncio
import uuid

import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from perdure.checkpoint.registry import open_saver
from perdure.ops import Selection, erase


async def run(client, graph="line", **input):
    thread = await client.threads.create(metadata={"made": "here"})
    await client.runs.wait(thread["thread_id"], graph, input={"items": [], **input})
    return thread["thread_id"]


async def test_a_thread_is_made_read_changed_and_deleted(client):
    made = await client.threads.create(metadata={"a": 1}, graph_id="line")
    assert (made["status"], made["values"], made["interrupts"]) == ("idle", None, {})
    assert made["metadata"] == {"a": 1, "graph_id": "line"}
    changed = await client.threads.update(made["thread_id"], metadata={"b": 2})
    assert changed["metadata"] == {"a": 1, "b": 2, "graph_id": "line"}
    assert await client.threads.update(made["thread_id"], metadata={"c": 3}, return_minimal=True) is None
    assert (await client.threads.get(made["thread_id"]))["metadata"]["c"] == 3
    await client.threads.delete(made["thread_id"])
    with pytest.raises(NotFoundError):
        await client.threads.get(made["thread_id"])


async def test_an_id_is_taken_once(client):
    id_ = str(uuid.uuid4())
    made = await client.threads.create(thread_id=id_, metadata={"a": 1})
    with pytest.raises(ConflictError):
        await client.threads.create(thread_id=id_)
    assert await client.threads.create(thread_id=id_, if_exists="do_nothing") == made


async def test_a_thread_can_begin_with_a_state(client):
    updates = [
        {"updates": [{"values": {"items": ["x"]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"items": ["y"]}, "as_node": "first"}]},
    ]
    made = await client.threads.create(graph_id="line", supersteps=updates)
    assert made["status"] == "interrupted"
    state = await client.threads.get_state(made["thread_id"])
    assert (state["values"]["items"], state["next"]) == (["x", "y"], ["second"])
    with pytest.raises(UnprocessableEntityError, match="need a graph"):
        await client.threads.create(supersteps=updates)


async def test_threads_are_searched_counted_sorted_and_paged(client):
    mark = str(uuid.uuid4())
    ids = [(await client.threads.create(metadata={"mark": mark, "n": n}))["thread_id"] for n in range(4)]
    await client.runs.wait(ids[2], "line", input={"items": ["find me"], "ask": ["?"]})
    found = await client.threads.search(metadata={"mark": mark}, sort_by="created_at", sort_order="asc", limit=3)
    assert [t["thread_id"] for t in found] == ids[:3]
    assert await client.threads.count(metadata={"mark": mark}) == 4
    [asks] = await client.threads.search(metadata={"mark": mark}, status="interrupted")
    assert asks["thread_id"] == ids[2]
    assert [i["value"] for found in asks["interrupts"].values() for i in found] == ["?"]
    assert [t["thread_id"] for t in await client.threads.search(ids=[ids[3]])] == [ids[3]]
    [valued] = await client.threads.search(metadata={"mark": mark}, values={"items": ["find me", "first"]})
    assert valued["thread_id"] == ids[2]
    assert await client.threads.count(metadata={"mark": mark}, values={"items": ["nowhere"]}) == 0
    [one] = await client.threads.search(
        metadata={"mark": mark, "n": 2}, select=["thread_id"], extract={"last": "values.items[-1]", "no": "values.x.y"}
    )
    assert one == {"thread_id": ids[2], "extracted": {"last": "first", "no": None}}


async def test_the_state_is_read_now_then_and_in_parts(client):
    id_ = await run(client)
    state = await client.threads.get_state(id_)
    assert (state["values"]["items"], state["next"], state["tasks"]) == (["first", "second"], [], [])
    assert state["checkpoint"]["thread_id"] == id_
    history = await client.threads.get_history(id_)
    assert [s["next"] for s in history] == [[], ["second"], ["first"], ["__start__"]]
    assert history[0]["parent_checkpoint"] == history[1]["checkpoint"]
    old = history[1]["checkpoint"]["checkpoint_id"]
    assert (await client.threads.get_state(id_, checkpoint_id=old))["values"]["items"] == ["first"]
    at = await client.threads.get_state(id_, checkpoint=history[1]["checkpoint"])
    assert (at["values"]["items"], at["next"]) == (["first"], ["second"])
    assert [s["next"] for s in await client.threads.get_history(id_, before=old, limit=1)] == [["first"]]
    part = await client.threads.get_state(id_, select=["values.items", "next"])
    assert part == {"values": {"items": ["first", "second"]}, "next": []}
    by_step = await client.threads.get_history(id_, metadata={"step": 0})
    assert [s["metadata"]["step"] for s in by_step] == [0]
    empty = await client.threads.create()
    assert (await client.threads.get_state(empty["thread_id"]))["values"] == {}
    assert await client.threads.get_history(empty["thread_id"]) == []


async def test_another_threads_checkpoint_is_not_read_through_ones_own(client):
    other, mine = await run(client), await run(client, log="")
    theirs = (await client.threads.get_state(other))["checkpoint"]
    found = await client.threads.get_state(mine, checkpoint=theirs)
    assert found["values"] == {}


async def test_the_state_of_subgraphs(client):
    id_ = await run(client, "nested", ask=["?"])
    state = await client.threads.get_state(id_, subgraphs=True)
    [task] = state["tasks"]
    assert (task["name"], task["state"]["next"]) == ("inner", ["second"])
    plain = await client.threads.get_state(id_)
    inside = await client.threads.get_state(id_, checkpoint=plain["tasks"][0]["checkpoint"])
    assert inside["values"]["items"] == ["first"]


async def test_a_state_is_changed_and_branches_off(client):
    id_ = await run(client)
    history = await client.threads.get_history(id_)
    made = await client.threads.update_state(id_, {"items": ["by hand"]}, as_node="first")
    assert made["checkpoint"]["checkpoint_id"] == made["checkpoint_id"]
    assert (await client.threads.get(id_))["status"] == "interrupted"
    assert (await client.threads.get_state(id_))["next"] == ["second"]
    done = await client.runs.wait(id_, "line", input=None)
    assert done["items"] == ["first", "second", "by hand", "second"]
    await client.threads.update_state(id_, {"items": ["fork"]}, checkpoint=history[1]["checkpoint"], as_node="first")
    assert (await client.threads.get_state(id_))["values"]["items"] == ["first", "fork"]
    empty = await client.threads.create()
    with pytest.raises(UnprocessableEntityError, match="no graph"):
        await client.threads.update_state(empty["thread_id"], {"items": []})
    with pytest.raises(UnprocessableEntityError):
        await client.threads.update_state(id_, {"items": ["x"]}, as_node="nobody")


async def test_a_state_isnt_changed_under_a_run(client):
    thread = await client.threads.create()
    made = await client.runs.create(thread["thread_id"], "line", input={"items": [], "sleep": 1})
    with pytest.raises(ConflictError):
        await client.threads.update_state(thread["thread_id"], {"items": ["x"]})
    await client.runs.join(thread["thread_id"], made["run_id"])


async def test_a_thread_is_copied_with_its_history(client):
    id_ = await run(client)
    copied = await client.threads.copy(id_)
    assert copied["thread_id"] != id_
    assert copied["values"]["items"] == ["first", "second"]
    assert len(await client.threads.get_history(copied["thread_id"])) == 4
    await client.runs.wait(copied["thread_id"], "line", input={"items": ["more"]})
    assert (await client.threads.get_state(id_))["values"]["items"] == ["first", "second"]


async def test_threads_are_pruned(client):
    first, second = await run(client), await run(client)
    assert await client.threads.prune([first], strategy="keep_latest") == {"pruned_count": 1}
    assert len(await client.threads.get_history(first)) == 1
    assert (await client.threads.get_state(first))["values"]["items"] == ["first", "second"]
    gone = str(uuid.uuid4())
    assert await client.threads.prune([first, second, gone], strategy="delete") == {"pruned_count": 2}
    with pytest.raises(NotFoundError):
        await client.threads.get(first)


async def test_a_thread_tells_how_long_it_lives(client):
    made = await client.threads.create(ttl=5)
    found = await client.threads.get(made["thread_id"], include=["ttl"])
    assert (found["ttl"]["ttl_minutes"], found["ttl"]["strategy"]) == (5, "delete")
    await client.threads.update(made["thread_id"], metadata={}, ttl={"ttl": 7, "strategy": "keep_latest"})
    found = await client.threads.get(made["thread_id"], include=["ttl"])
    assert (found["ttl"]["ttl_minutes"], found["ttl"]["strategy"]) == (7, "keep_latest")
    with pytest.raises(UnprocessableEntityError):
        await client.threads.get(made["thread_id"], include=["colour"])


async def test_a_thread_whose_time_is_over_goes(client):
    made = await client.threads.create(ttl={"ttl": 0.001, "strategy": "delete"})
    for _ in range(400):
        try:
            await client.threads.get(made["thread_id"])
        except NotFoundError:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the thread is still there")


async def test_a_thread_is_deleted_under_its_run(client):
    thread = await client.threads.create()
    await client.runs.create(thread["thread_id"], "line", input={"items": [], "sleep": 30})
    await asyncio.sleep(0.2)
    await client.threads.delete(thread["thread_id"])
    with pytest.raises(NotFoundError):
        await client.threads.get(thread["thread_id"])


async def test_messages_are_values_like_others(client):
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    done = await client.runs.wait(id_, "chat", input={"messages": [{"role": "human", "content": "hi"}]})
    assert [(m["type"], m["content"]) for m in done["messages"]] == [("human", "hi"), ("ai", "you said hi")]
    state = await client.threads.get_state(id_)
    assert [m["content"] for m in state["values"]["messages"]] == ["hi", "you said hi"]


async def test_mistakes_are_named(client, http):
    with pytest.raises(NotFoundError):
        await client.threads.get_state(str(uuid.uuid4()))
    with pytest.raises(UnprocessableEntityError, match="UUID"):
        await client.threads.get("abc")
    with pytest.raises(UnprocessableEntityError, match="NUL"):
        await client.threads.create(metadata={"a": "\x00"})
    answer = await http.post("/threads", json={"thread_id": "x"})
    assert answer.status_code == 422
    assert "thread_id" in answer.json()["detail"]


async def test_a_thread_on_hold_is_not_deleted(client, database_url):
    held, free = await run(client), await run(client)
    with open_saver(database_url) as saver:
        saver.keep(held, hold="case 12")
        for call in (
            client.threads.delete(held),
            client.threads.prune([free, held], strategy="delete"),
            client.threads.prune([free, held], strategy="keep_latest"),
        ):
            with pytest.raises(ConflictError, match="case 12"):
                await call
        assert len(await client.threads.get_history(held)) == 4
        assert len(await client.threads.get_history(free)) == 4
        await client.runs.wait(held, "line", input={"items": ["more"]})
        saver.keep(held, hold=None)
        await client.threads.delete(held)
        assert saver.get_head(held) is None


async def test_a_run_on_a_held_thread_is_not_rolled_back(client, database_url):
    thread = await client.threads.create()
    id_ = thread["thread_id"]
    first = await client.runs.create(id_, "line", input={"items": [], "sleep": 1})
    with open_saver(database_url) as saver:
        saver.keep(id_, hold="case 12")
    await asyncio.sleep(0.3)
    await client.runs.wait(id_, "line", input={"items": ["x"]}, multitask_strategy="rollback")
    history = await client.threads.get_history(id_)
    assert {one["metadata"]["run_id"] for one in history} >= {first["run_id"]}


async def test_a_held_thread_outlives_its_time(client, database_url):
    id_ = await run(client)
    with open_saver(database_url) as saver:
        saver.keep(id_, hold="case 12")
        await client.threads.update(id_, metadata={}, ttl={"ttl": 0.001})
        other = await client.threads.create(ttl=0.002)
        for _ in range(100):
            if not await client.threads.search(ids=[other["thread_id"]]):
                break
            await asyncio.sleep(0.1)
        assert await client.threads.search(ids=[other["thread_id"]]) == []
        assert saver.get_head(id_) is not None
        assert (await client.threads.get(id_))["thread_id"] == id_


async def test_what_a_server_keeps_of_a_thread_is_erased_too(client, database_url):
    marker = f"Ada {uuid.uuid4()}"
    id_ = await run(client, items=[marker])
    other = await run(client)
    await client.crons.create_for_thread(id_, "line", schedule="0 0 1 1 *", input={"items": [marker]})
    done = await asyncio.to_thread(erase, database_url, selection=Selection([id_]), prove=[marker, id_])
    assert done.is_proven, (done.scrub, done.search)
    assert (done.threads, done.runs) == ([id_], 1)
    with pytest.raises(NotFoundError):
        await client.threads.get(id_)
    assert (await client.threads.get_state(other))["values"]["items"] == ["first", "second"]
