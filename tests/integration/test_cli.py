"""The command line as people use it: a process, its output, its exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

GRAPH = """
import operator, os
from dataclasses import dataclass
from typing import Annotated, TypedDict
from perdure.graph import START, StateGraph
from perdure.types import interrupt

@dataclass
class Note:
    text: str

class State(TypedDict, total=False):
    notes: Annotated[list[Note], operator.add]
    go: bool

def first(state):
    return {"notes": [Note("first")]}

async def ask(state):
    if os.environ.get("FAIL"):
        raise ValueError("the node's own failure")
    return {"go": interrupt({"question": "go on?"})}

def last(state):
    return {"notes": [Note("last")]}

graph = StateGraph(State).add_sequence([first, ask, last]).add_edge(START, "first")

def one(state):
    return {"notes": [Note(str(interrupt("one?")))]}

def two(state):
    return {"notes": [Note(str(interrupt("two?")))]}

both = (
    StateGraph(State).add_node(one).add_node(two).add_edge(START, "one").add_edge(START, "two")
)
"""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def perdure(tmp_path):
    (tmp_path / "flow.py").write_text(GRAPH)

    def call(*arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [Path(sys.executable).with_name("perdure"), *arguments],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return call


@pytest.fixture
def asked(perdure):
    """A database with the thread `t`, which waits for an answer."""
    perdure("run", "flow.py:graph", "--input", "{}", "--thread", "t", code=4)
    # From here on the database has to be enough for commands that only read.
    return perdure


def told(done: subprocess.CompletedProcess):
    return json.loads(done.stdout)


def test_run_ask_resume(perdure):
    waiting = perdure("run", "flow.py:graph", "--input", "{}", "--thread", "t", code=4)
    assert "go on?" in waiting.stdout
    hint = re.search(r"perdure (resume .*) --answer JSON", waiting.stderr)
    assert hint is not None
    done = perdure(*hint[1].split(), "--answer", "true")
    assert told(done) == {"notes": [{"text": "first"}, {"text": "last"}], "go": True}


def test_run_without_a_thread_makes_one(perdure):
    result = told(perdure("run", "flow.py:graph", "--input", "{}", "--json", code=4))
    assert [thread["thread_id"] for thread in told(perdure("threads", "--json"))] == [result["thread_id"]]
    assert result["next"] == ["ask"]
    assert [item["value"] for item in result["interrupts"]] == [{"question": "go on?"}]


def test_several_questions_are_answered_by_id(perdure):
    result = told(perdure("run", "flow.py:both", "--input", "{}", "--thread", "t", "--json", code=4))
    ids = {item["value"]: item["id"] for item in result["interrupts"]}
    refused = perdure("resume", "flow.py:both", "--thread", "t", "--answer", "1", code=2)
    assert ids["one?"] in refused.stderr
    assert ids["two?"] in refused.stderr
    half = perdure("resume", "flow.py:both", "--thread", "t", "--answer-for", f"{ids['one?']}=1", "--json", code=4)
    assert [item["id"] for item in told(half)["interrupts"]] == [ids["two?"]]
    done = perdure("resume", "flow.py:both", "--thread", "t", "--answer-for", f"{ids['two?']}=2")
    assert told(done)["notes"] == [{"text": "1"}, {"text": "2"}]


def test_failure_shows_the_nodes_frames_and_how_to_go_on(perdure):
    failed = perdure("run", "flow.py:graph", "--input", "{}", "--thread", "t", code=1, FAIL="1")
    assert "the node's own failure" in failed.stderr
    assert "flow.py" in failed.stderr
    assert "site-packages" not in failed.stderr
    assert "perdure resume flow.py:graph --thread t" in failed.stderr
    assert told(perdure("state", "t", "--json"))["status"] == "failed"
    assert told(perdure("resume", "flow.py:graph", "--thread", "t", "--json", code=4))["next"] == ["ask"]


def test_reading_needs_no_code_of_the_graph(asked, tmp_path):
    (tmp_path / "flow.py").unlink()
    state = told(asked("state", "t", "--json"))
    assert state["status"] == "waiting"
    assert state["next"] == ["ask"]
    assert state["interrupts"][0]["value"] == {"question": "go on?"}
    assert state["values"]["notes"][0] == {"text": "first"}
    assert "first" in asked("state", "t").stdout


def test_history_show_and_diff(asked):
    history = told(asked("history", "t", "--json"))
    assert [row["step"] for row in history] == [1, 0, -1]
    assert history[0]["updated_channels"] == ["notes"]
    newest = history[0]["checkpoint_id"]
    assert newest in asked("history", "t").stdout
    for ref in (newest, "t", f"t@{newest}", "t@~0"):
        assert told(asked("show", ref, "--json"))["checkpoint_id"] == newest
    changes = told(asked("diff", "t@~1", "t", "--json"))
    assert changes["notes"]["after"][0] == {"text": "first"}
    assert '+    "text": "first"' in asked("diff", "t@~1", "t").stdout


def test_limits(asked):
    assert len(told(asked("history", "t", "--limit", "2", "--json"))) == 2
    asked("run", "flow.py:graph", "--input", "{}", "--thread", "u", code=4)
    assert "--after t" in asked("threads", "--limit", "1").stderr
    assert [row["thread_id"] for row in told(asked("threads", "--after", "t", "--json"))] == ["u"]


def test_fork_into_a_new_thread_goes_its_own_way(asked):
    made = asked("fork", "t", "--to", "copy").stdout.strip()
    assert made.startswith("copy@")
    asked("resume", "flow.py:graph", "--thread", "copy", code=4)
    done = asked("resume", "flow.py:graph", "--thread", "copy", "--answer", "true")
    assert [note["text"] for note in told(done)["notes"]] == ["first", "last"]
    assert told(asked("state", "t", "--json"))["status"] == "waiting"
    assert "exists already" in asked("fork", "t", "--to", "copy", code=2).stderr


def test_fork_in_its_thread_makes_a_new_head(asked):
    asked("resume", "flow.py:graph", "--thread", "t", "--answer", "true")
    old = told(asked("history", "t", "--json"))[2]
    made = told(asked("fork", f"t@{old['checkpoint_id']}", "--json"))
    assert made["parent_checkpoint_id"] == old["checkpoint_id"]
    assert made["source"] == "fork"
    assert told(asked("state", "t", "--json"))["next"] == ["ask"]


def test_fork_with_an_update_goes_through_the_reducers(asked):
    asked("fork", "t", "--graph", "flow.py:graph", "--update", '{"go": false}', "--as-node", "ask")
    state = told(asked("state", "t", "--json"))
    assert state["values"]["go"] is False
    assert state["next"] == ["last"]
    assert "--graph" in asked("fork", "t", "--update", "{}", code=2).stderr


def test_delete_asks_or_needs_yes(asked):
    assert "--yes" in asked("delete", "t", code=2).stderr
    asked("delete", "t", "--yes")
    assert told(asked("threads", "--json")) == []
    assert "no threads" in asked("state", "t", code=3).stderr


def test_drawing(perdure):
    mermaid = perdure("graph", "flow.py:graph", "--format", "mermaid").stdout
    assert "first --> ask" in mermaid
    assert "first" in perdure("graph", "flow.py:graph").stdout
    assert {node["id"] for node in told(perdure("graph", "flow.py:graph", "--json"))["nodes"]} >= {
        "first",
        "ask",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["state", "tt"], 3, "there is 't'"),
        (["show", "1f00"], 3, "no checkpoint or thread '1f00'"),
        (["show", "t@~9"], 3, "has 3 checkpoints"),
        (["state", "t", "--db", "nowhere.db"], 3, "no database nowhere.db"),
        (["state", "t", "--db", "nope://x"], 2, "nope"),
        (["run", "flow.py:graph"], 2, "needs an input"),
        (["run", "flow.py:graph", "--input", "{"], 2, "is not JSON"),
        (["run", "flow.py:grph", "--input", "{}"], 2, "did you mean 'graph'"),
        (["resume", "flow.py:graph", "--thread", "nope"], 3, "no thread 'nope'"),
        (["resume", "flow.py:graph", "--thread", "t", "--answer-for", "x=1"], 2, "open: "),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(asked, arguments, code, told):
    done = asked(*arguments, code=code)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_other_database_by_environment_and_option(perdure, tmp_path):
    perdure("run", "flow.py:graph", "--input", "{}", "--thread", "e", code=4, PERDURE_DB="env.db")
    perdure("run", "flow.py:graph", "--input", "{}", "--thread", "o", "--db", "sqlite:///option.db", code=4)
    assert [row["thread_id"] for row in told(perdure("threads", "--db", "env.db", "--json"))] == ["e"]
    assert [row["thread_id"] for row in told(perdure("threads", "--json", PERDURE_DB="option.db"))] == ["o"]
    assert not (tmp_path / "perdure.db").exists()


def test_version_and_help(perdure):
    assert perdure("--version").stdout.startswith("perdure 0.")
    assert "Exit codes" in perdure("--help").stdout
    for command, default in (("serve", "2024"), ("threads", "perdure.db"), ("fork", "the same")):
        shown = " ".join(re.findall(r"[^│\s]+", perdure(command, "--help").stdout))
        assert f"[default: {default}]" in shown


def test_resume_all(perdure):
    perdure("run", "flow.py:graph", "--input", "{}", "--thread", "broken", code=1, FAIL="yes")
    assert json.loads(perdure("resume", "flow.py:graph", "--all", "--json").stdout) == []
    told = json.loads(perdure("resume", "flow.py:graph", "--all", "--failed", "--json").stdout)
    assert told == [{"thread_id": "broken", "status": "waits for an answer", "error": None}]
    assert "0 threads were taken up" in perdure("resume", "flow.py:graph", "--all").stderr
    assert "--all" in perdure("resume", "flow.py:graph", code=2).stderr
    assert "are for one" in perdure("resume", "flow.py:graph", "--all", "--thread", "x", code=2).stderr
    assert "goes with --all" in perdure("resume", "flow.py:graph", "--thread", "x", "--failed", code=2).stderr
