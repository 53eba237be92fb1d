"""`make run`: the examples on SQLite behind a server, with the console; without a terminal, too."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """The address that `make run` prints."""
    folder = tmp_path_factory.mktemp("run")
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [shutil.which("make"), "run", f"ARGS=--port 0 --no-reload --db sqlite:///{folder / 'run.db'}"],
            cwd=ROOT,
            env={**os.environ, "LICENCE_REVIEW_LOG": str(folder / "reviewed")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield address_in(log, process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def address_in(log: Path, process: subprocess.Popen) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"console: (http://127\.0\.0\.1:\d+/)", log.read_text()):
            for _ in range(200):
                try:
                    httpx.get(found[1] + "ok").raise_for_status()
                except httpx.HTTPError:
                    time.sleep(0.05)
                else:
                    return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_prints_where_the_console_is(console):
    page = httpx.get(console)
    assert page.status_code == 200
    assert "perdure console" in page.text


def test_serves_both_examples(console):
    with httpx.Client(base_url=console, timeout=60) as http:
        assistants = http.post("/assistants/search", json={}).json()
        assert {one["name"] for one in assistants} == {"licence_review", "chat_agent"}
        assert all(one["description"] for one in assistants)
        review = http.post("/runs/wait", json={"assistant_id": "licence_review", "input": {}}).json()
        assert "perdure" in review["packages"]
        assert {finding["name"] for finding in review["findings"]} == set(review["packages"])


def test_the_chat_agent_needs_no_model(console):
    with httpx.Client(base_url=console, timeout=60) as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        messages = [{"role": "user", "content": "what is 6 * 7, and which date is it? Make a note"}]
        asked = {
            "assistant_id": "chat_agent",
            "input": {"messages": messages},
            "stream_mode": ["messages-tuple", "tasks"],
        }
        done = http.post(f"/threads/{thread}/runs/wait", json=asked).json()
        (question,) = done["__interrupt__"]
        assert question["value"]["allow"] == "write_note"
        answer = {"assistant_id": "chat_agent", "command": {"resume": {question["id"]: False}}}
        said = http.post(f"/threads/{thread}/runs/wait", json=answer).json()["messages"][-1]["content"]
        assert re.fullmatch(r"Here you are: 42; \d{4}-\d\d-\d\d; the user refused\.", said)
