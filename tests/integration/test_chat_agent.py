"""The chat agent: over HTTP, with tools, with consent, and across restarts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.types import Command

EXAMPLE = Path(__file__).parents[2] / "examples/chat_agent"
CONFIG = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def agent(monkeypatch, tmp_path):
    """The example's modules, imported as its `main.py` imports them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    import graph
    import models

    yield type("Agent", (), {"graph": graph.graph, "Context": graph.Context, "models": models})
    for name in ("graph", "models", "tools"):
        del sys.modules[name]


def call(number: int, name: str, **arguments) -> dict:
    return {
        "id": str(number),
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def says(content: str | None = None, *calls: dict) -> dict:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {})}


def user(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def results(state: dict) -> dict[str, str]:
    return {m["tool_call_id"]: m["content"] for m in state["messages"] if m["role"] == "tool"}


def test_tools_run_in_parallel_and_mistakes_go_to_the_model(agent):
    calls = [
        call(1, "calculate", expression="2 * (3 + 4) - -1"),
        call(2, "calculate", expression="__import__('os')"),
        call(3, "calculate", expression="1 / 0"),
        call(4, "nothing"),
        call(5, "today", unknown=1),
    ]
    model = agent.models.Scripted([says(None, *calls), says("done")])
    compiled = agent.graph.compile(checkpointer=InMemorySaver())
    state = compiled.invoke(user("go"), CONFIG, context=agent.Context(model))
    answers = results(state)
    assert answers["1"] == "15"
    assert answers["2"].startswith("error: not arithmetic")
    assert answers["3"].startswith("error: division")
    assert answers["4"] == "error: there is no tool nothing"
    assert answers["5"].startswith("error: today()")
    assert state["messages"][-1]["content"] == "done"
    assert len(model.heard[1]) == 2 + len(calls)


@pytest.mark.parametrize(("allowed", "told"), [(True, "wrote notes/Tea-time.md"), (False, "the user refused")])
def test_consent_is_asked_in_one_process_and_given_in_another(agent, tmp_path, allowed, told):
    note = call(1, "write_note", title="Tea time", text="at five")
    with SqliteSaver.from_conn_string("chat.db") as saver:
        compiled = agent.graph.compile(checkpointer=saver)
        context = agent.Context(agent.models.Scripted([says(None, note)]))
        compiled.invoke(user("write it down"), CONFIG, context=context)
    assert not (tmp_path / "notes").exists()
    with SqliteSaver.from_conn_string("chat.db") as saver:
        compiled = agent.graph.compile(checkpointer=saver)
        (question,) = compiled.get_state(CONFIG).interrupts
        assert question.value["allow"] == "write_note"
        context = agent.Context(agent.models.Scripted([says("as you wish")]))
        state = compiled.invoke(Command(resume=allowed), CONFIG, context=context)
    assert results(state) == {"1": told}
    assert (tmp_path / "notes/Tea-time.md").exists() is allowed


@pytest.fixture
def endpoint():
    """An OpenAI-compatible server on loopback that fails once and then answers."""
    requests: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append({"path": self.path, "key": self.headers["Authorization"], **json.loads(body)})
            self.send_response(503 if len(requests) == 1 else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": says("hello")}]}).encode())

        def log_message(self, *args):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", requests
        server.shutdown()
        thread.join()


def test_openai_compatible_endpoint_with_one_failure(agent, endpoint):
    base_url, requests = endpoint
    model = agent.models.OpenAICompatible(base_url, "some-model", "secret")
    state = agent.graph.compile().invoke(user("hi"), context=agent.Context(model))
    model.close()
    assert state["messages"][-1] == says("hello")
    assert [request["path"] for request in requests] == ["/v1/chat/completions"] * 2
    assert requests[1]["key"] == "Bearer secret"
    assert requests[1]["model"] == "some-model"
    assert {tool["function"]["name"] for tool in requests[1]["tools"]} == {"calculate", "today", "write_note"}


def test_terminal_chat_goes_on_in_the_same_thread(tmp_path):
    def chat(text: str) -> str:
        return subprocess.run(
            [sys.executable, EXAMPLE / "main.py", "--scripted"],
            cwd=tmp_path,
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first = chat("what is six times seven?\n")
    assert "thread chat: 0 messages" in first
    assert "-> calculate" in first
    assert "It is 42" in first
    assert "thread chat: 4 messages" in chat("")
