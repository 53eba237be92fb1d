"""The licence review: killed at any moment it goes on, and does no finished package twice."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.cli.jsonable import to_jsonable

EXAMPLE = Path(__file__).parents[2] / "examples/licence_review/main.py"
LICENCES = ["MIT", "Apache-2.0", "LGPL-2.1-only", "MIT OR GPL-3.0-only"]
NEED_A_PERSON = {"strict-one": "GPL-3.0-only", "vague-one": "BSD", "silent-one": ""}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder with the metadata of 60 packages, three of which need a person's decision."""
    folder = tmp_path / "site"
    known = {f"package-{n:02}": LICENCES[n % len(LICENCES)] for n in range(57)}
    for name, licence in {**known, **NEED_A_PERSON}.items():
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        line = f"License: {licence}\n" if licence else ""
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{line}\n")
    return folder


SLOW_DISK = """
import importlib.metadata, time
read = importlib.metadata.PathDistribution.read_text
def read_slowly(self, name):
    time.sleep(0.005)
    return read(self, name)
importlib.metadata.PathDistribution.read_text = read_slowly
"""


@pytest.fixture
def slow_disk(tmp_path) -> dict[str, str]:
    """Make reading a package take its time, so that a kill can come in between."""
    folder = tmp_path / "slow"
    folder.mkdir()
    folder.joinpath("sitecustomize.py").write_text(SLOW_DISK)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def start(tmp_path, site):
    def start(*arguments: str, env: dict[str, str] | None = None, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, EXAMPLE, "--path", site, *arguments],
            cwd=tmp_path,
            env={**os.environ, "LICENCE_REVIEW_LOG": str(tmp_path / "log"), **(env or {})},
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, **kwargs},
        )

    return start


def executions(folder: Path, pid: int | None = None) -> list[str]:
    log = folder / "log"
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [name for started_by, name in lines if pid is None or int(started_by) == pid]


def durable(folder: Path) -> set[str]:
    """The packages whose findings are on disk, as the database alone tells it."""
    database = folder / "out/licences.db"
    if not database.exists():
        return set()
    with open_saver(str(database), serde=JsonPlusSerializer(unknown="data")) as saver:
        found = [saver.get_tuple({"configurable": {"thread_id": thread}}) for thread in saver.threads()]
    stored = [t.checkpoint["channel_values"].get("findings", []) for t in found]
    stored += [value for t in found for _, channel, value in t.pending_writes if channel == "findings"]
    return {item["name"] for item in to_jsonable(list(chain.from_iterable(stored)))}


def test_asks_a_person_and_writes_both_reports(start, tmp_path, site):
    out, _ = (first := start()).communicate()
    assert first.returncode == 0
    assert "--answer '*=accept'" in out
    assert all(name in out for name in NEED_A_PERSON)
    command = next(line.strip() for line in out.splitlines() if line.startswith("  ") and "--answer" in line)
    partial = command.replace("'*=accept'", "strict-one=reject")
    assert "strict-one:" not in shell(partial, tmp_path)
    assert "60 packages reviewed" in shell(command, tmp_path)
    markdown = (tmp_path / "out/licences.md").read_text()
    assert "60 packages: 43 permissive, 14 weak copyleft, 1 strong copyleft, 2 unclear." in markdown
    assert "| strict-one | 1.0 | GPL-3.0-only | strong copyleft | reject |" in markdown
    assert "| silent-one | 1.0 | nothing | unclear | accept |" in markdown
    assert '<tr class="reject"><td>strict-one</td>' in (tmp_path / "out/licences.html").read_text()


def shell(command: str, cwd: Path) -> str:
    return subprocess.run(
        command, shell=True, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout


def test_asks_at_a_terminal(start, tmp_path):
    ours, theirs = pty.openpty()
    process = start(stdin=theirs)
    os.write(ours, b"a\nnonsense\nr\naccept\n")
    out, _ = process.communicate()
    os.close(ours)
    os.close(theirs)
    assert "60 packages reviewed" in out
    decisions = [line.split("|")[-2].strip() for line in (tmp_path / "out/licences.md").read_text().splitlines()[6:]]
    assert Counter(decisions) == {"": 57, "accept": 2, "reject": 1}


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_goes_on_and_does_no_package_twice(start, slow_disk, tmp_path, seed):
    moments = random.Random(seed)
    kills, kept = 0, []
    for _ in range(40):
        finished_before = durable(tmp_path)
        kept.append(len(finished_before))
        process = start(env=slow_disk)
        target = len(executions(tmp_path)) + moments.randint(1, 12)
        while process.poll() is None and len(executions(tmp_path)) < target:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert not finished_before & set(executions(tmp_path, process.pid)), "a finished package ran again"
        if process.returncode == 0:
            break
    out, _ = (last := start("--answer", "*=accept")).communicate()
    assert kills > 1
    assert any(0 < count < 60 for count in kept), "no kill came while packages were being read"
    assert last.returncode == 0
    assert "60 packages reviewed" in out
    rows = [line.split("|")[1].strip() for line in (tmp_path / "out/licences.md").read_text().splitlines()[6:]]
    assert len(rows) == len(set(rows)) == 60
