"""The public API under mypy --strict and pyright, as users' editors run them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISTAKES = [n for n, line in enumerate((HERE / "mistakes.py").read_text().splitlines(), 1) if "  # " in line]


def run(*command):
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=HERE, env={**os.environ}
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mypy():
    good = run("mypy", "--strict", "--config-file", os.devnull, "--no-incremental", "user_code.py")
    assert good.returncode == 0, good.stdout + good.stderr
    bad = run("mypy", "--strict", "--config-file", os.devnull, "--no-incremental", "mistakes.py")
    assert sorted({int(line.split(":")[1]) for line in bad.stdout.splitlines() if ": error:" in line}) == MISTAKES


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pyright():
    python = ("--pythonpath", sys.executable)
    good = run("pyright", *python, "--outputjson", "user_code.py")
    found = json.loads(good.stdout)["generalDiagnostics"]
    assert not found, found
    bad = json.loads(run("pyright", *python, "--outputjson", "mistakes.py").stdout)["generalDiagnostics"]
    assert sorted({d["range"]["start"]["line"] + 1 for d in bad}) == MISTAKES
