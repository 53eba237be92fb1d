"""MCP, as the official client speaks it: every assistant is a tool."""

import json
import uuid

import httpx
import pytest
from mcp import Client, MCPError
from tests.server.serving import Served


@pytest.fixture(params=["auto", "legacy"])
def connect(server, request):
    """The official client; who enters it must be who leaves it."""
    return lambda: Client(f"{server.url}/mcp/", mode=request.param)


async def tools(mcp):
    return {tool.name: tool for tool in (await mcp.list_tools()).tools}


async def test_the_server_says_what_it_is(connect):
    async with connect() as mcp:
        assert mcp.server_info.name == "perdure"
        assert mcp.protocol_version == "2025-11-25"


async def test_every_assistant_is_a_tool_with_what_it_takes(connect, client):
    async with connect() as mcp:
        made = await client.assistants.create("line", name=f"my helper/{uuid.uuid4()}", description="helps")
        found = await tools(mcp)
        assert {"line", "agent", "greeting"} <= found.keys()
        assert found["greeting"].description == "says hello"
        assert found["agent"].input_schema["type"] == "object"
        assert "messages" in found["agent"].input_schema["properties"]
        mine = found[made["name"].replace(" ", "_").replace("/", "_")]
        assert (mine.title, mine.description) == (made["name"], "helps")
        await client.assistants.delete(made["assistant_id"])
        assert mine.name not in await tools(mcp)


async def test_assistants_of_one_name_are_different_tools(connect, client):
    async with connect() as mcp:
        made = [await client.assistants.create("line", name="twin", config={"tags": [n]}) for n in ("a", "b")]
        names = {"twin", f"twin-{made[1]['assistant_id'][:8]}"}
        assert names <= (await tools(mcp)).keys()
        for one in made:
            await client.assistants.delete(one["assistant_id"])


async def test_a_tool_is_called_and_answers_as_text_and_as_it_is(connect):
    async with connect() as mcp:
        answer = await mcp.call_tool("line", {"items": ["in"]})
        assert not answer.is_error
        assert answer.structured_content["items"] == ["in", "first", "second"]
        assert json.loads(answer.content[0].text) == answer.structured_content
        agent = await mcp.call_tool("agent", {"messages": [{"role": "user", "content": "rome"}]})
        assert agent.structured_content["messages"][-1]["content"] == "sunny-in-rome "


async def test_a_run_that_fails_is_a_tools_error(connect):
    async with connect() as mcp:
        answer = await mcp.call_tool("line", {"items": [], "fail": "boom"})
        assert answer.is_error
        assert answer.content[0].text == "ValueError: boom"


async def test_a_tool_that_isnt_there_is_the_callers_error(connect):
    async with connect() as mcp:
        with pytest.raises(MCPError, match="no tool 'nobody'"):
            await mcp.call_tool("nobody", {})


async def test_a_call_is_on_a_thread_of_its_own_that_goes_with_it(connect, client):
    async with connect() as mcp:
        mark = str(uuid.uuid4())
        await mcp.call_tool("line", {"items": [mark]})
        assert await client.threads.search(values={"items": [mark, "first", "second"]}) == []


async def test_the_letter_of_the_transport(http):
    assert (await http.get("/mcp/")).status_code == 405
    assert (await http.delete("/mcp/")).status_code == 404

    async def post(content, status=200):
        answer = await http.post("/mcp", content=content if isinstance(content, bytes) else json.dumps(content))
        assert answer.status_code == status
        return answer.json() if answer.content else None

    request = {"jsonrpc": "2.0", "id": "x", "method": "ping"}
    assert await post(request) == {"jsonrpc": "2.0", "id": "x", "result": {}}
    assert await post({"jsonrpc": "2.0", "method": "notifications/initialized"}, 202) is None
    assert (await post({**request, "method": "dance"}))["error"]["code"] == -32601
    assert (await post({**request, "method": "tools/call"}))["error"]["code"] == -32602
    assert (await post(b"{", 400))["error"]["code"] == -32700
    assert (await post({"id": 1}, 400))["error"]["code"] == -32600
    old = await post({**request, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}})
    assert old["result"]["protocolVersion"] == "2025-03-26"
    new = await post({**request, "method": "initialize", "params": {"protocolVersion": "2099-01-01"}})
    assert new["result"]["protocolVersion"] == "2025-11-25"
    called = await post({**request, "method": "tools/call", "params": {"name": "line", "arguments": {"items": []}}})
    assert called["result"]["structuredContent"]["items"] == ["first", "second"]


async def test_it_can_be_turned_off_and_keys_are_asked_for(own_database, tmp_path):
    keys = {"PERDURE_API_KEYS": "ann:s3cret"}
    with Served(tmp_path, own_database, config={"http": {"disable_a2a": True}}, environment=keys) as served:
        async with httpx.AsyncClient(base_url=served.url) as http:
            request = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            assert (await http.post("/mcp/", json=request)).status_code == 401
            assert (await http.post("/mcp/", json=request, headers={"x-api-key": "s3cret"})).status_code == 200
            assert (await http.post("/a2a/line", json=request, headers={"x-api-key": "s3cret"})).status_code == 404
