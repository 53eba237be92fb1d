"""A2A, as the official client speaks it in both of its versions: runs are tasks, threads are contexts."""

import json
import uuid

import httpx
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import CancelTaskRequest, GetTaskRequest, ListTasksRequest, Message, Part, Role, SendMessageRequest
from a2a.types import TaskState as State
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError


@pytest.fixture(params=["1.0", "0.3"])
async def agent(server, request):
    """A client of the agent of an assistant."""
    made = []

    async def connect(assistant_id, *, streaming=True):
        http = httpx.AsyncClient(timeout=20)
        resolver = A2ACardResolver(http, server.url, f"/.well-known/agent-card.json?assistant_id={assistant_id}")
        card = await resolver.get_agent_card()
        wanted = [one for one in card.supported_interfaces if one.protocol_version == request.param]
        assert wanted
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(wanted)
        client = ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)
        made.append((client, http))
        return client

    yield connect
    for client, http in made:
        await client.close()
        await http.aclose()


def message(text, context_id="", task_id=""):
    told = Message(
        message_id=str(uuid.uuid4()),
        role=Role.ROLE_USER,
        parts=[Part(text=text)],
        context_id=context_id,
        task_id=task_id,
    )
    return SendMessageRequest(message=told)


async def send(client, *what):
    return [response async for response in client.send_message(message(*what))]


async def test_the_card_says_what_an_assistant_is(http):
    card = (await http.get("/.well-known/agent-card.json?assistant_id=greeting")).json()
    assert (card["name"], card["description"]) == ("greeting", "says hello")
    assert card["capabilities"]["streaming"] is True
    assert (await http.get("/.well-known/agent-card.json")).status_code == 422
    assert (await http.get("/.well-known/agent-card.json?assistant_id=nobody")).status_code == 422
    assert (await http.get(f"/.well-known/agent-card.json?assistant_id={uuid.uuid4()}")).status_code == 404


async def test_a_message_is_answered_by_a_task_that_is_done(agent, client):
    peer = await agent("agent", streaming=False)
    [response] = await send(peer, "rome")
    task = response.task
    assert task.status.state == State.TASK_STATE_COMPLETED
    assert task.artifacts[0].parts[0].text == "sunny-in-rome "
    run = await client.runs.get(task.context_id, task.id)
    assert run["status"] == "success"
    again = await peer.get_task(GetTaskRequest(id=task.id))
    assert again.artifacts[0].parts[0].text == "sunny-in-rome "
    [response] = await send(peer, "paris", task.context_id)
    assert response.task.context_id == task.context_id
    assert len((await client.threads.get_state(task.context_id))["values"]["messages"]) == 8
    older = await peer.get_task(GetTaskRequest(id=task.id))
    assert older.artifacts[0].parts[0].text == "sunny-in-rome "


async def test_an_answer_streams_piece_by_piece(agent):
    peer = await agent("agent")
    responses = await send(peer, "rome paris")
    kinds = [response.WhichOneof("payload") for response in responses]
    assert kinds[0] == "task"
    assert kinds[-1] == "status_update"
    assert responses[-1].status_update.status.state == State.TASK_STATE_COMPLETED
    updates = [r.artifact_update for r in responses if r.WhichOneof("payload") == "artifact_update"]
    assert [update.artifact.parts[0].text for update in updates] == ["sunny-in-rome ", "sunny-in-paris "]
    assert [update.append for update in updates] == [False, True]


async def test_an_answer_that_no_model_streams_is_told_too(agent):
    peer = await agent("slow")
    responses = await send(peer, "hello")
    updates = [r.artifact_update for r in responses if r.WhichOneof("payload") == "artifact_update"]
    assert "".join(update.artifact.parts[0].text for update in updates) == "heard hello"


async def test_a_question_is_asked_and_answered(agent):
    peer = await agent("asking", streaming=False)
    [response] = await send(peer, "go")
    task = response.task
    assert task.status.state == State.TASK_STATE_INPUT_REQUIRED
    assert task.status.message.parts[0].text == "sure?"
    [response] = await send(peer, "yes", task.context_id, task.id)
    assert response.task.status.state == State.TASK_STATE_COMPLETED
    assert response.task.artifacts[0].parts[0].text == "you said yes"


async def test_a_task_that_fails_says_why(agent):
    peer = await agent("agent", streaming=False)
    [response] = await send(peer, "fail")
    assert response.task.status.state == State.TASK_STATE_FAILED
    assert response.task.status.message.parts[0].text == "RuntimeError: the model is down"
    peer = await agent("agent")
    assert (await send(peer, "fail"))[-1].status_update.status.state == State.TASK_STATE_FAILED


async def test_tasks_are_listed_cancelled_and_not_found(agent):
    peer = await agent("slow", streaming=False)
    request = message("wait")
    request.configuration.return_immediately = True
    [response] = [one async for one in peer.send_message(request)]
    task = response.task
    assert task.status.state in (State.TASK_STATE_SUBMITTED, State.TASK_STATE_WORKING)
    gone = await peer.cancel_task(CancelTaskRequest(id=task.id))
    assert gone.status.state == State.TASK_STATE_CANCELED
    with pytest.raises(TaskNotCancelableError):
        await peer.cancel_task(CancelTaskRequest(id=task.id))
    with pytest.raises(TaskNotFoundError):
        await peer.get_task(GetTaskRequest(id=str(uuid.uuid4())))


async def test_tasks_are_listed_by_context(agent, request):
    if "0.3" in request.node.callspec.id:
        return  # that client has no such method
    peer = await agent("chat", streaming=False)
    [first] = await send(peer, "one")
    [second] = await send(peer, "two", first.task.context_id)
    found = await peer.list_tasks(ListTasksRequest(context_id=first.task.context_id, page_size=1))
    assert [task.id for task in found.tasks] == [second.task.id]
    rest = await peer.list_tasks(
        ListTasksRequest(context_id=first.task.context_id, page_size=1, page_token=found.next_page_token)
    )
    assert [task.id for task in rest.tasks] == [first.task.id]


async def test_the_letter_of_the_protocol(http):
    async def post(method, params=None, assistant="chat"):
        request = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params or {}}
        answer = await http.post(f"/a2a/{assistant}", json=request)
        assert answer.status_code == 200
        return answer.json()

    told = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}, {"kind": "data", "data": [1]}]}
    done = (await post("message/send", {"message": told}))["result"]
    assert (done["kind"], done["status"]["state"]) == ("task", "completed")
    assert done["artifacts"][0]["parts"] == [{"kind": "text", "text": "you said hi\n[1]"}]
    assert (await post("message/send", {"message": told}, "line"))["error"]["code"] == -32602
    assert (await post("message/send", {"message": {**told, "contextId": "x"}}))["error"]["code"] == -32602
    assert (await post("message/send", {}))["error"]["code"] == -32602
    assert (await post("dance"))["error"]["code"] == -32601
    assert (await post("tasks/get", {"id": "x"}))["error"]["code"] == -32001
    assert (await post("tasks/pushNotificationConfig/set"))["error"]["code"] == -32003
    assert (await http.post("/a2a/chat", content=b"{")).json()["error"]["code"] == -32700
    request = {"jsonrpc": "2.0", "id": 5, "method": "message/stream", "params": {"message": told}}
    answer = await http.post("/a2a/chat", json=request)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:])["result"] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [event["kind"] for event in events] == ["task", "artifact-update", "status-update"]
    assert events[-1]["final"] is True
    again = {"jsonrpc": "2.0", "id": 6, "method": "tasks/resubscribe", "params": {"id": events[0]["id"]}}
    lines = (await http.post("/a2a/chat", json=again)).text.splitlines()
    last = [json.loads(line[6:])["result"] for line in lines if line.startswith("data: ")][-1]
    assert (last["kind"], last["status"]["state"]) == ("status-update", "completed")
