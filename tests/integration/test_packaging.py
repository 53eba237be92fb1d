"""The wheel and the sdist install into an empty environment and work there."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_PACKAGES = 6
UV = Path(sys.executable).with_name("uv")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def call(*command: str | Path, code: int = 0, **kwargs) -> subprocess.CompletedProcess:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    # No isolation: hatchling is in the environment of the tests, so building needs no network.
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def empty(wheel, tmp_path_factory) -> Path:
    """The `bin` folder of an environment with nothing but the wheel and what it needs."""
    env = tmp_path_factory.mktemp("empty") / "venv"
    call(UV, "venv", "--quiet", "--python", sys.executable, env)
    call(UV, "pip", "install", "--quiet", "--python", env / "bin/python", wheel)
    return env / "bin"


def test_wheel_holds_the_package_its_types_and_its_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if is_shipped(path)}
    assert "perdure/py.typed" in source
    assert source <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def is_shipped(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_sdist_holds_tests_and_documentation(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "mkdocs.yml", "docs/index.md"} <= names
    assert "tests/integration/test_packaging.py" in names


def test_sdist_installs(dist, tmp_path):
    sdist = next(dist.glob("*.tar.gz"))
    call(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    call(UV, "pip", "install", "--quiet", "--python", tmp_path / "venv/bin/python", sdist)
    assert call(tmp_path / "venv/bin/perdure", "--version").stdout.startswith("perdure 0.")


def test_core_install_is_small(empty):
    listed = call(UV, "pip", "list", "--quiet", "--format", "freeze", "--python", empty / "python").stdout
    packages = listed.split()
    assert any(name.startswith("perdure") for name in packages)
    assert len(packages) <= MAX_PACKAGES, packages


def test_version_without_the_cli_extra(empty):
    assert call(empty / "perdure", "--version").stdout.startswith("perdure 0.")


def test_command_without_the_cli_extra_says_what_to_install(empty):
    done = call(empty / "perdure", "threads", code=2)
    assert "pip install 'perdure[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_command_with_only_the_cli_extra_does_its_work_or_says_what_is_missing(wheel, tmp_path):
    call(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    call(UV, "pip", "install", "--quiet", "--python", tmp_path / "venv/bin/python", f"{wheel}[cli]")
    listing = "from perdure.cli.app import app; import typer.main as m; print(*m.get_command(app).commands)"
    commands = call(tmp_path / "venv/bin/python", "-c", listing).stdout.split()
    assert {"threads", "serve", "build", "bundle", "up", "upgrade", "k8s", "migrate", "doctor"} <= set(commands)
    for command in commands:
        done = subprocess.run(
            [tmp_path / "venv/bin/perdure", command], capture_output=True, text=True, cwd=tmp_path, timeout=60
        )
        assert done.returncode in {0, 1, 2, 3}, (command, done.returncode)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        assert "ModuleNotFoundError" not in done.stderr, (command, done.stderr)


def test_graph_runs_without_any_extra(empty, tmp_path):
    script = tmp_path / "tiny.py"
    script.write_text(
        "from typing import TypedDict\n"
        "from perdure.graph import StateGraph, START\n"
        "from perdure.checkpoint.sqlite import SqliteSaver\n"
        "class State(TypedDict):\n"
        "    n: int\n"
        "with SqliteSaver.from_conn_string('tiny.db') as saver:\n"
        "    builder = StateGraph(State).add_node('add', lambda s: {'n': s['n'] + 1})\n"
        "    graph = builder.add_edge(START, 'add')\n"
        "    done = graph.compile(checkpointer=saver).invoke({'n': 1}, {'configurable': {'thread_id': 't'}})\n"
        "    print(done['n'])\n"
    )
    assert call(empty / "python", script, cwd=tmp_path).stdout == "2\n"
