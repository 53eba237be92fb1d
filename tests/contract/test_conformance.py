"""The suite for third parties: one command, a report, and a level that a saver has earned."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure.checkpoint.conformance import Failure, crashing, sealed
from perdure.checkpoint.conformance.opening import load
from perdure.checkpoint.conformance.report import examine
from perdure.errors import UsageError

DOCS = Path(__file__).parents[2] / "docs/adding-a-saver.md"

SAVERS = """
import asyncio
import time
from perdure.checkpoint.base import ANY_HEAD
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.sqlite import SqliteSaver

def memory(path):
    return InMemorySaver()

def plain(path):
    return SqliteSaver.from_conn_string(f"{path}/x.db")

class Forgetful(SqliteSaver):
    "Acknowledges what it hasn't stored."
    def put(self, config, checkpoint, metadata, new_versions):
        if metadata.get("step") == 30:
            return {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}
        return super().put(config, checkpoint, metadata, new_versions)

def forgetful(path):
    return Forgetful.from_conn_string(f"{path}/x.db")

class Careless(SqliteSaver):
    "Takes a serializer, and stores without it."
    def __init__(self, *args, serde=None, **kwargs):
        super().__init__(*args, **kwargs)

def careless(path, serde=None):
    return Careless.from_conn_string(f"{path}/x.db", serde=serde)

class Unguarded(InMemorySaver):
    "Doesn't look at the head."
    def commit(self, prepared):
        time.sleep(0.001)
        return super().commit([one._replace(expected_head=ANY_HEAD) for one in prepared])

    async def acommit(self, prepared):
        await asyncio.sleep(0.001)
        return await super().acommit([one._replace(expected_head=ANY_HEAD) for one in prepared])

def unguarded(path):
    return Unguarded()
"""


def command(folder: Path, *words: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": ""}
    asked = [sys.executable, "-m", "perdure.checkpoint.conformance", *words]
    return subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_example_of_the_page_earns_the_highest_level(tmp_path: Path) -> None:
    page = DOCS.read_text()
    (code,) = re.findall(r"```python\n(# my_saver.py\n.*?)```", page, re.DOTALL)
    (shown,) = re.findall(r"```console\n\$ python -m perdure\S+ (my_saver:make)\n\.\.\.\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_saver.py").write_text(code)
    done = command(tmp_path, shown[0], "--json", "report.json")
    assert done.stdout.endswith(shown[1]), done.stdout + done.stderr
    assert done.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["level"] == "durable"
    assert {group["name"] for group in report["groups"]} >= {"writing", "together", "crash", "encryption"}
    assert all(group["passed"] and not group["failed"] for group in report["groups"])


@pytest.fixture
def savers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "other_savers.py").write_text(SAVERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "other_savers", raising=False)
    return "other_savers"


def test_a_level_is_what_was_shown(savers: str) -> None:
    memory = examine(f"{savers}:memory")
    assert (memory.level, memory.has_failed) == ("contract", False)
    assert {group.name for group in memory.groups if group.absent} == {"leases", "crash", "encryption"}
    plain = examine(f"{savers}:plain")
    assert (plain.level, plain.has_failed) == ("guarded", False)
    assert [group.name for group in plain.groups if group.absent] == ["encryption"]


def test_what_is_not_true_of_a_saver_is_found(savers: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"acknowledged|checkpoints that are there"):
        crashing.survive(f"{savers}:forgetful", str(tmp_path))
    with pytest.raises(Failure, match=r"expected an error|as it is"):
        sealed.check(load(f"{savers}:careless"), str(tmp_path))
    report = examine(f"{savers}:unguarded")
    assert (report.level, report.has_failed) == ("none", True)
    (together,) = [group.failed for group in report.groups if group.name == "together"]
    assert {one.case for one in together} == {"of_callers_that_commit_on_one_head_one_wins"}
    assert "one line of parents" in together[0].error


@pytest.mark.parametrize("spec", ["nothing", "no.such.module:make", "json:nothing", "json:decoder"])
def test_what_is_no_function_is_told(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(spec))):
        examine(spec)
    done = command(tmp_path, spec)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
