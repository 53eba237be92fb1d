"""`perdure dev`, `perdure serve`, `perdure validate`, as people type them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from langgraph_sdk import get_client
from tests.server.serving import PROJECT, Served


def perdure(folder, *arguments):
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200"}
    command = [sys.executable, "-m", "perdure.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project.py").write_text(PROJECT.read_text())
    (tmp_path / "perdure.json").write_text('{"graphs": {"line": "./project.py:graph"}}')
    return tmp_path


def test_validate_says_that_it_is_good_or_what_isnt(project):
    done = perdure(project, "validate")
    assert (done.returncode, done.stdout.strip()) == (0, f"{project / 'perdure.json'}: good; graphs: line")
    assert json.loads(perdure(project, "validate", "--json").stdout)["graphs"] == ["line"]
    for graph, said in (
        ("./project.py:grph", "did you mean 'graph'"),
        ("./project.py:GIVEN", "has no 'GIVEN'"),
        ("./project.py:State", "not a graph"),
        ("nowhere.at.all:graph", "there is no module nowhere"),
    ):
        (project / "perdure.json").write_text(json.dumps({"graphs": {"line": graph}}))
        done = perdure(project, "validate")
        assert done.returncode == 2, graph
        assert "graphs.line" in done.stderr
        assert said in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    (project / "project.py").write_text("1 / 0\n")
    (project / "perdure.json").write_text('{"graphs": {"line": "./project.py:graph"}}')
    done = perdure(project, "validate")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert perdure(project, "validate", "--no-import").returncode == 0


def change(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_the_examples_can_be_served():
    examples = PROJECT.parents[2] / "examples"
    done = perdure(examples, "validate")
    assert (done.returncode, done.stderr) == (0, "")


async def test_dev_starts_anew_when_the_code_changes_and_keeps_what_was_stored(tmp_path):
    with Served(tmp_path, "sqlite:///kept.db", command="dev") as served:
        client = get_client(url=served.url)
        thread = await client.threads.create()
        id_ = thread["thread_id"]
        assert (await client.runs.wait(id_, "line", input={"items": []}))["items"] == ["first", "second"]
        change(tmp_path / "project.py", '{"items": ["first"]}', '{"items": ["changed"]}')
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                done = await client.runs.wait(id_, "line", input={"items": []})
            except httpx.HTTPError:
                continue
            if "changed" in done["items"]:
                break
            await asyncio.sleep(0.2)
        assert done["items"][:2] == ["first", "second"]
        assert done["items"][-2:] == ["changed", "second"]
        page = {"origin": "http://localhost:3000"}
        async with httpx.AsyncClient(base_url=served.url, headers=page) as http:
            answer = await http.post("/threads", json={})
            assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        await client.aclose()


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_several_processes_serve_one_address_and_one_that_dies_is_replaced(tmp_path):
    database = f"sqlite:///{tmp_path / 'x.db'}"
    with Served(tmp_path, database, arguments=("--workers", "2")) as served:
        first = children_of(served.process.pid)
        assert len(first) == 2
        os.kill(int(first[0]), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            now = children_of(served.process.pid)
            if len(now) == 2 and first[0] not in now:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("nobody took its place")
        client = get_client(url=served.url)
        runs = [client.runs.wait(None, "line", input={"items": [n]}) for n in range(6)]
        assert [r["items"][0] for r in await asyncio.gather(*runs)] == list(range(6))
        await client.aclose()
        assert served.stop() == 0


def test_a_port_that_is_taken_is_named(project, server):
    port = server.url.rpartition(":")[2]
    done = perdure(project, "serve", "--port", port)
    assert done.returncode == 2
    assert f"can't listen at 127.0.0.1:{port}" in done.stderr
