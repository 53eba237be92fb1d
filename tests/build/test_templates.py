"""Each template runs as it is made, on a server, without a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client
from tests.build.conftest import perdure
from tests.server.serving import Served

from perdure.build.errors import BuildError
from perdure.build.starting import TEMPLATES, Template, start


async def runs(folder: Path, *inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Serve a project and run it with each input on one thread; return what each run returns."""
    with Served(folder, f"sqlite:///{folder / 'own.db'}") as served:
        client = get_client(url=served.url)
        thread = await client.threads.create()
        done = [await client.runs.wait(thread["thread_id"], "agent", **each) for each in inputs]
        await client.aclose()
    return done


@pytest.fixture
def made(tmp_path, request) -> Path:
    folder = tmp_path / "mine"
    perdure("new", folder, "--template", request.param, cwd=tmp_path)
    assert {"agent.py", "perdure.json", "README.md", ".gitignore"} <= {path.name for path in folder.iterdir()}
    return folder


@pytest.mark.parametrize("made", ["chat"], indirect=True)
async def test_chat_remembers(made):
    say = [{"input": {"messages": [{"role": "user", "content": text}]}} for text in ("hello", "again")]
    first, second = await runs(made, *say)
    assert first["messages"][-1]["content"] == "You said: hello (message 1 of this thread)"
    assert second["messages"][-1]["content"] == "You said: again (message 2 of this thread)"


@pytest.mark.parametrize("made", ["review"], indirect=True)
async def test_review_waits_for_a_person(made):
    answers = [{"command": {"resume": answer}} for answer in ("a word on milk", True)]
    first, second, third = await runs(made, {"input": {"topic": "tea"}}, *answers)
    assert first["__interrupt__"][0]["value"]["draft"] == "On tea."
    assert second["__interrupt__"][0]["value"]["draft"] == "On tea. Now with: a word on milk."
    assert third["published"] == "On tea. Now with: a word on milk."


@pytest.mark.parametrize("made", ["rag"], indirect=True)
async def test_rag_answers_from_its_documents(made):
    questions = ("What outlives a thread, such as facts about a user?", "Which stops and asks a person, an interrupt?")
    first, second = await runs(made, *({"input": {"question": question}} for question in questions))
    assert first["answer"].startswith("A store keeps what outlives a thread")
    assert second["answer"].startswith("An interrupt stops a run")
    assert first["answer"].endswith("(perdure.md)")


@pytest.mark.parametrize("made", ["pipeline"], indirect=True)
async def test_pipeline_does_each_item(made):
    (done,) = await runs(made, {"input": {"items": ["one", "two words", "three words here"]}})
    assert done["report"] == {"items": 3, "words": 6}


def test_every_template_says_how_it_is_run():
    for template in Template:
        folder = TEMPLATES / template
        assert "perdure dev" in (folder / "README.md").read_text()
        assert "agent" in json.loads((folder / "perdure.json").read_text())["graphs"]


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    start(tmp_path / "mine", Template.CHAT)  # an empty folder is taken
    (tmp_path / "mine" / "agent.py").write_text("mine")
    with pytest.raises(BuildError, match="is there already"):
        start(tmp_path / "mine", Template.CHAT)
    assert (tmp_path / "mine" / "agent.py").read_text() == "mine"
    with pytest.raises(BuildError, match="no name for a project"):
        start(tmp_path / "-x", Template.CHAT)
