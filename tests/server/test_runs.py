"""Runs in all their forms, through the SDK."""

import asyncio
import time
import uuid

import pytest
from langgraph_sdk.errors import APIStatusError, ConflictError, NotFoundError, UnprocessableEntityError


async def thread(client):
    return (await client.threads.create())["thread_id"]


async def ended(client, thread_id, run_id):
    for _ in range(300):
        found = await client.runs.get(thread_id, run_id)
        if found["status"] not in ("pending", "running"):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_a_run_is_made_waited_for_and_looked_at(client):
    id_, created = await thread(client), []
    done = await client.runs.wait(id_, "line", input={"items": ["in"]}, on_run_created=created.append)
    assert done["items"] == ["in", "first", "second"]
    run_id = created[0]["run_id"]
    assert created == [{"run_id": run_id, "thread_id": id_}]
    found = await client.runs.get(id_, run_id)
    assert (found["status"], found["multitask_strategy"]) == ("success", "enqueue")
    assert found["kwargs"]["input"] == {"items": ["in"]}
    assert await client.runs.list(id_) == [found]
    assert await client.runs.list(id_, status="error") == []
    assert await client.runs.list(id_, select=["status"]) == [{"status": "success"}]
    assert (await client.threads.get(id_))["status"] == "idle"
    assert (await client.threads.get_state(id_))["metadata"]["run_id"] == run_id


async def test_an_empty_input_begins_a_run_where_none_goes_on_with_one(client):
    id_ = await thread(client)
    assert (await client.runs.wait(id_, "line", input={}))["items"] == ["first", "second"]
    assert (await client.runs.wait(id_, "line", input=None))["items"] == ["first", "second"]
    assert (await client.runs.wait(id_, "line", input={}))["items"] == ["first", "second"] * 2


async def test_a_run_in_the_background_is_joined_while_it_runs_and_afterwards(client):
    id_ = await thread(client)
    made = await client.runs.create(id_, "line", input={"items": [], "sleep": 0.3}, metadata={"why": "test"})
    assert made["status"] in ("pending", "running")
    assert made["metadata"]["why"] == "test"
    assert (await client.threads.get(id_))["status"] == "busy"
    first = await client.runs.join(id_, made["run_id"])
    assert first["items"] == ["first", "second"]
    assert await client.runs.join(id_, made["run_id"]) == first


async def test_a_failure_is_the_runs_and_the_threads_and_the_next_run_goes_on(client):
    id_ = await thread(client)
    with pytest.raises(Exception, match="ValueError: boom"):
        await client.runs.wait(id_, "line", input={"items": [], "fail": "boom"})
    told = await client.runs.wait(id_, "line", input={"fail": "again"}, raise_error=False)
    assert told == {"__error__": {"error": "ValueError", "message": "again"}}
    found = await client.threads.get(id_)
    assert (found["status"], found["error"]) == ("error", {"error": "ValueError", "message": "again"})
    [failed, _] = await client.runs.list(id_)
    assert failed["status"] == "error"
    with pytest.raises(Exception, match="again"):
        await client.runs.wait(id_, "line", input=None)
    assert await client.runs.join(id_, failed["run_id"]) == told
    done = await client.runs.wait(id_, "line", input={"fail": ""})
    assert done["items"][-2:] == ["first", "second"]
    assert (await client.threads.get(id_))["error"] is None


async def test_a_question_is_answered(client):
    id_ = await thread(client)
    asked = await client.runs.wait(id_, "line", input={"items": [], "ask": ["sure?"]})
    [question] = asked["__interrupt__"]
    assert question["value"] == "sure?"
    found = await client.threads.get(id_)
    assert found["status"] == "interrupted"
    assert [question] in found["interrupts"].values()
    assert [r["status"] for r in await client.runs.list(id_)] == ["success"]
    done = await client.runs.wait(id_, "line", command={"resume": {question["id"]: "yes"}})
    assert done["items"] == ["first", "yes", "second"]
    assert (await client.threads.get(id_))["status"] == "idle"


async def test_commands_update_and_go(client):
    id_ = await thread(client)
    await client.runs.wait(id_, "line", input={"items": []})
    done = await client.runs.wait(id_, "line", command={"update": {"items": ["up"]}, "goto": "second"})
    assert done["items"] == ["first", "second", "up", "second"]
    done = await client.runs.wait(id_, "line", command={"goto": {"node": "second", "input": {"items": []}}})
    assert done["items"][-1] == "second"


async def test_breakpoints_and_old_checkpoints(client):
    id_ = await thread(client)
    stopped = await client.runs.wait(id_, "line", input={"items": []}, interrupt_before=["second"])
    assert stopped["items"] == ["first"]
    assert (await client.threads.get(id_))["status"] == "interrupted"
    await client.runs.wait(id_, "line", input=None)
    history = await client.threads.get_history(id_)
    at = next(s for s in history if s["next"] == ["second"])["checkpoint"]
    replayed = await client.runs.wait(id_, "line", input=None, checkpoint=at)
    assert replayed["items"] == ["first", "second"]
    again = await client.runs.wait(id_, "line", input=None, checkpoint_id=at["checkpoint_id"], interrupt_after="*")
    assert again["items"] == ["first", "second"]


async def test_config_and_context_come_from_the_assistant_and_the_run(client):
    assistant = await client.assistants.create("greeting", context={"name": "assistant's"})
    id_ = await thread(client)
    done = await client.runs.wait(id_, assistant["assistant_id"], input={"items": []})
    assert done["items"] == ["assistant's", "greeting"]
    done = await client.runs.wait(id_, assistant["assistant_id"], input={"items": []}, context={"name": "run's"})
    assert done["items"][-2:] == ["run's", "greeting"]
    tagged = await client.runs.wait(id_, "nested", input={"items": []}, config={"configurable": {"tag": "t"}})
    assert tagged["items"][-1] == "t"
    with pytest.raises(Exception, match="GraphRecursionError"):
        await client.runs.wait(None, "loop", input={"items": [], "steps": 50}, config={"recursion_limit": 5})


async def test_a_stateless_run_leaves_nothing(client):
    created = []
    done = await client.runs.wait(None, "line", input={"items": []}, on_run_created=created.append)
    assert done["items"] == ["first", "second"]
    thread_id = created[0]["thread_id"]
    for _ in range(100):
        try:
            await client.threads.get(thread_id)
        except NotFoundError:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the thread is still there")
    kept = []
    await client.runs.wait(None, "line", input={"items": []}, on_completion="keep", on_run_created=kept.append)
    assert (await client.threads.get(kept[0]["thread_id"]))["values"]["items"] == ["first", "second"]


async def test_a_stateless_run_fails_like_others(client):
    with pytest.raises(Exception, match="ValueError: boom"):
        await client.runs.wait(None, "line", input={"items": [], "fail": "boom"})


async def test_a_batch_is_made_at_once(client):
    made = await client.runs.create_batch(
        [{"assistant_id": "line", "input": {"items": [n]}, "on_completion": "keep"} for n in range(3)]
    )
    for n, run in enumerate(made):
        done = await client.runs.join(run["thread_id"], run["run_id"])
        assert done["items"] == [n, "first", "second"]
    with pytest.raises(NotFoundError):
        await client.runs.create_batch([{"assistant_id": "line"}, {"assistant_id": "nope"}])


async def test_a_batch_with_a_key_makes_each_of_its_runs_once(http):
    body = [{"assistant_id": "line", "input": {"items": [n]}, "on_completion": "keep"} for n in range(3)]
    headers = {"idempotency-key": str(uuid.uuid4())}
    first, again = [(await http.post("/runs/batch", json=body, headers=headers)).json() for _ in range(2)]
    assert len({run["run_id"] for run in first}) == 3
    assert [run["run_id"] for run in again] == [run["run_id"] for run in first]


async def test_a_run_can_wait_for_its_time(client):
    id_, began = await thread(client), time.monotonic()
    await client.runs.wait(id_, "line", input={"items": []}, after_seconds=1)
    assert 0.9 < time.monotonic() - began < 10


async def test_a_thread_is_made_if_it_is_to_be(client):
    id_ = str(uuid.uuid4())
    with pytest.raises(NotFoundError):
        await client.runs.create(id_, "line", input={"items": []})
    done = await client.runs.wait(id_, "line", input={"items": []}, if_not_exists="create")
    assert done["items"] == ["first", "second"]
    assert (await client.threads.get(id_))["metadata"]["graph_id"] == "line"


# -- more than one run a thread


async def test_a_second_run_waits_its_turn(client):
    id_ = await thread(client)
    runs = [await client.runs.create(id_, "line", input={"items": [n], "sleep": 0.1}) for n in range(4)]
    done = await client.runs.join(id_, runs[-1]["run_id"])
    assert [item for item in done["items"] if isinstance(item, int)] == [0, 1, 2, 3]
    assert {r["status"] for r in await client.runs.list(id_)} == {"success"}


async def test_a_second_run_can_be_refused(client):
    id_ = await thread(client)
    made = await client.runs.create(id_, "line", input={"items": [], "sleep": 1})
    with pytest.raises(ConflictError, match="already running a task"):
        await client.runs.create(id_, "line", input={"items": []}, multitask_strategy="reject")
    await client.runs.join(id_, made["run_id"])


async def test_a_second_run_can_interrupt_the_first(client):
    id_ = await thread(client)
    first = await client.runs.create(id_, "line", input={"items": ["one"], "sleep": 30})
    await asyncio.sleep(0.3)
    waiting = await client.runs.create(id_, "line", input={"items": ["two"]})
    done = await client.runs.wait(id_, "line", input={"items": ["three"], "sleep": 0}, multitask_strategy="interrupt")
    assert done["items"] == ["one", "first", "three", "first", "second"]
    assert (await ended(client, id_, first["run_id"]))["status"] == "interrupted"
    assert (await client.runs.get(id_, waiting["run_id"]))["status"] == "interrupted"


async def test_a_second_run_can_undo_the_first(client):
    id_ = await thread(client)
    await client.runs.wait(id_, "line", input={"items": ["zero"]})
    first = await client.runs.create(id_, "line", input={"items": ["one"], "sleep": 30})
    await asyncio.sleep(0.3)
    done = await client.runs.wait(id_, "line", input={"items": ["two"]}, multitask_strategy="rollback")
    assert done["items"] == ["zero", "first", "second", "two", "first", "second"]
    with pytest.raises(NotFoundError):
        await client.runs.get(id_, first["run_id"])
    assert all(s["metadata"]["run_id"] != first["run_id"] for s in await client.threads.get_history(id_, limit=100))


# -- stopping


async def test_a_run_is_cancelled(client):
    id_ = await thread(client)
    made = await client.runs.create(id_, "line", input={"items": [], "sleep": 30})
    await asyncio.sleep(0.3)
    await client.runs.cancel(id_, made["run_id"], wait=True)
    assert (await client.runs.get(id_, made["run_id"]))["status"] == "interrupted"
    assert (await client.threads.get(id_))["status"] == "interrupted"
    assert (await client.threads.get_state(id_))["next"] == ["second"]
    with pytest.raises(ConflictError):
        await client.runs.cancel(id_, made["run_id"])


async def test_a_run_is_cancelled_and_undone(client):
    id_ = await thread(client)
    made = await client.runs.create(id_, "line", input={"items": [], "sleep": 30})
    await asyncio.sleep(0.3)
    await client.runs.cancel(id_, made["run_id"], wait=True, action="rollback")
    with pytest.raises(NotFoundError):
        await client.runs.get(id_, made["run_id"])
    assert await client.threads.get_history(id_) == []
    assert (await client.threads.get(id_))["status"] == "idle"


async def test_a_run_that_waits_is_cancelled(client):
    id_ = await thread(client)
    first = await client.runs.create(id_, "line", input={"items": [], "sleep": 1})
    second = await client.runs.create(id_, "line", input={"items": ["never"]})
    await client.runs.cancel(id_, second["run_id"])
    done = await client.runs.join(id_, first["run_id"])
    assert "never" not in done["items"]
    assert (await client.runs.get(id_, second["run_id"]))["status"] == "interrupted"


async def test_many_runs_are_cancelled(client):
    id_ = await thread(client)
    runs = [await client.runs.create(id_, "line", input={"items": [], "sleep": 30}) for _ in range(3)]
    await asyncio.sleep(0.2)
    await client.runs.cancel_many(thread_id=id_, run_ids=[r["run_id"] for r in runs])
    for made in runs:
        assert (await ended(client, id_, made["run_id"]))["status"] == "interrupted"
    with pytest.raises(NotFoundError, match="No runs found to cancel"):
        await client.runs.cancel_many(thread_id=id_, run_ids=[runs[0]["run_id"]])
    with pytest.raises(UnprocessableEntityError):
        await client.runs.cancel_many()


async def test_a_run_is_deleted_also_while_it_runs(client):
    id_ = await thread(client)
    await client.runs.wait(id_, "line", input={"items": []})
    [done] = await client.runs.list(id_)
    await client.runs.delete(id_, done["run_id"])
    assert await client.runs.list(id_) == []
    assert (await client.threads.get_state(id_))["values"]["items"] == ["first", "second"]
    made = await client.runs.create(id_, "line", input={"items": [], "sleep": 30})
    await client.runs.delete(id_, made["run_id"])
    assert await client.runs.list(id_) == []


async def test_a_client_that_goes_takes_its_run_with_it_unless_it_said_otherwise(client, http):
    for policy, status in (("cancel", "interrupted"), ("continue", "success")):
        id_ = await thread(client)
        body = {"assistant_id": "line", "input": {"items": [], "sleep": 0.7}, "on_disconnect": policy}
        async with http.stream("POST", f"/threads/{id_}/runs/wait", json=body) as response:
            assert response.status_code == 200
            await asyncio.sleep(0.2)
        [run] = await client.runs.list(id_)
        assert (await ended(client, id_, run["run_id"]))["status"] == status


async def test_the_answer_begins_before_the_run_has_ended(client, http):
    id_ = await thread(client)
    body = {"assistant_id": "line", "input": {"items": [], "sleep": 1}}
    began = time.monotonic()
    async with http.stream("POST", f"/threads/{id_}/runs/wait", json=body) as response:
        assert time.monotonic() - began < 0.9
        place = response.headers["content-location"]
        assert place.startswith(f"/threads/{id_}/runs/")
        assert response.headers["location"] == f"{place}/join"


async def test_priority_comes_before_order(client, http):
    """All ten places are taken by runs that wait; of those that come then the most urgent is the first to get one."""
    blockers = [await client.runs.create(None, "line", input={"items": [], "sleep": 1.5}) for _ in range(10)]
    ids = [await thread(client) for _ in range(3)]
    runs = []
    for place, id_ in enumerate(ids):
        body = {"assistant_id": "line", "input": {"items": [], "sleep": 0.5}, "priority": place}
        runs.append((await http.post(f"/threads/{id_}/runs", json=body)).json())
    assert [r["status"] for r in runs] == ["pending"] * 3
    assert len(blockers) == 10
    for id_, made in zip(ids, runs, strict=True):
        await client.runs.join(id_, made["run_id"])


async def test_a_request_with_a_key_makes_one_run(client, http):
    id_, key = await thread(client), str(uuid.uuid4())
    headers = {"idempotency-key": key}
    body = {"assistant_id": "line", "input": {"items": [], "sleep": 0.3}}
    made = await asyncio.gather(
        *[http.post(f"/threads/{id_}/runs", json=body, headers=headers) for _ in range(5)],
        http.post(f"/threads/{id_}/runs/wait", json=body, headers=headers),
    )
    assert len({answer.json()["run_id"] for answer in made[:5]}) == 1
    assert made[5].json()["items"] == ["first", "second"]
    again = await http.post(f"/threads/{id_}/runs/wait", json=body, headers=headers)
    assert again.json()["items"] == ["first", "second"]
    assert len(await client.runs.list(id_)) == 1
    other = await http.post(f"/threads/{id_}/runs/wait", json=body, headers={"idempotency-key": f"{key}2"})
    assert other.json()["items"] == ["first", "second"] * 2
    both = [http.post("/runs/wait", json=body, headers=headers) for _ in range(2)]
    assert [answer.json()["items"] for answer in await asyncio.gather(*both)] == [["first", "second"]] * 2


async def test_mistakes_are_named(client, http):
    id_ = await thread(client)
    with pytest.raises(NotFoundError, match="no assistant 'nope'"):
        await client.runs.create(id_, "nope")
    with pytest.raises(UnprocessableEntityError, match="stream_mode"):
        await client.runs.create(id_, "line", stream_mode="colour")
    with pytest.raises(UnprocessableEntityError, match="command is empty"):
        await client.runs.create(id_, "line", command={"update": None, "goto": None} and {"graph": "__parent__"})
    answer = await http.post(f"/threads/{id_}/runs", json={"assistant_id": "line", "colour": "red"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "Object contains unknown field `colour`")
    answer = await http.post(f"/threads/{id_}/runs", json={"assistant_id": "line", "config": {"callbacks": []}})
    assert answer.status_code == 422
    with pytest.raises(APIStatusError):
        await client.runs.get(id_, str(uuid.uuid4()))
