"""A project, its wheels and its image, built once for all tests of images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.build import containers
from tests.servers.fixtures import _require

from perdure.build.wheels import find_uv

CODE = """
import operator, os, time
from typing import Annotated, TypedDict
from license_expression import get_spdx_licensing
from perdure.graph import START, StateGraph
from perdure.types import interrupt

class State(TypedDict, total=False):
    done: Annotated[list[str], operator.add]
    answer: str
    left: int

STARTED = time.time()
FOLDER = os.environ.get("NOTES", "/data")

def note(line):
    with open(f"{FOLDER}/calls", "a") as file:
        file.write(line + "\\n")

def first(state):
    note("first")
    return {"done": [str(get_spdx_licensing().parse("mit and apache-2.0"))]}

def slow(state):
    note("slow")
    if not os.path.exists(f"{FOLDER}/go"):
        time.sleep(60)
    return {"done": ["slow"]}

def ask(state):
    return {"answer": interrupt("go on?")}

def step(state):
    time.sleep(0.3)
    return {"done": [f"{len(state.get('done', []))} by {STARTED}"], "left": state["left"] - 1}

stepping = StateGraph(State).add_node("step", step).add_edge(START, "step")
stepping = stepping.add_conditional_edges("step", lambda state: "step" if state["left"] else "__end__").compile()
working = StateGraph(State).add_sequence([first, slow]).add_edge(START, "first").compile()
asking = StateGraph(State).add_sequence([first, ask]).add_edge(START, "first").compile()
"""
PYPROJECT = """
[project]
name = "agent"
version = "1"
requires-python = ">=3.11"
dependencies = ["license-expression>=30.4"]
"""
CONFIG = {
    "graphs": {
        "working": "./code/graphs.py:working",
        "asking": "./code/graphs.py:asking",
        "stepping": "./code/graphs.py:stepping",
    },
    "dependencies": [".", "license-expression>=30.4"],
    "env": ".env",
}


def write_project(folder: Path, config: dict[str, Any] = CONFIG) -> Path:
    """Write a project; return its folder."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "graphs.py").write_text(CODE)
    (folder / "perdure.json").write_text(json.dumps(config))
    (folder / ".env").write_text("TOKEN=s3cret\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("s3cret")
    return folder


def perdure(
    *arguments: str | Path, cwd: Path, code: int = 0, env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [*prefix, sys.executable, "-m", "perdure.cli", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "400", **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def tools() -> None:
    _require(containers.require)


@pytest.fixture(scope="session")
def cache(tools: None, pytestconfig: pytest.Config) -> Path:
    """Debian's packages and the layers of them, kept from run to run."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("perdure-build")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a lock."""
    folder = write_project(tmp_path_factory.mktemp("project") / "agent", CONFIG | {"dependencies": ["."]})
    (folder / "pyproject.toml").write_text(PYPROJECT)
    subprocess.run([find_uv(), "lock", "--quiet", "--project", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def wheelhouse(project: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels") / "house"
    perdure("vendor", folder, "--cache", cache, cwd=project)
    return folder


@pytest.fixture(scope="session")
def built(project: Path, cache: Path, wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout of the project's image, built without a network."""
    layout = tmp_path_factory.mktemp("image") / "layout"
    command = ["build", "-t", "agent:1", "-t", "agent:latest", "--cache", cache, "--wheelhouse", wheelhouse]
    perdure(*command, "-o", f"oci-dir:{layout}", "--label", "team=tea", cwd=project, prefix=("unshare", "--net"))
    return layout


@pytest.fixture(scope="session")
def podman(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[containers.Podman]:
    made = containers.Podman(tmp_path_factory.mktemp("podman"))
    yield made
    made("system", "reset", "--force")
