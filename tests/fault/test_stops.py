"""A holder that sleeps beyond its lease (SIGSTOP, SIGCONT): another goes on, and its own commits are refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fault.shapes import SHAPES

ROOT = Path(__file__).parents[2]


def stop(*arguments):
    """Run in a process of its own: it forks, which needs a process without threads. Return the outcomes."""
    command = [sys.executable, "-m", "tests.fault.stops", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " 0 broken promises" in done.stdout
    assert not done.stderr
    return {name: int(many) for name, many in re.findall(r"'([^']+)': (\d+)", done.stdout)}


COLOURS = ("sync", "async")  # each shape in both: in one on SQLite, in the other on Postgres


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("shape", "colour"), [(shape, COLOURS[n % 2 - 1]) for n, shape in enumerate(SHAPES)])
def test_at_each_word(shape, colour):
    outcomes = stop(shape, "--colour", colour, "--durability", colour)
    assert outcomes.get("refused", 0) + outcomes.get("gave up", 0) >= 5


@pytest.mark.timeout(300)
def test_at_some_statements():
    outcomes = stop("siblings", "--at", "statements", "--stride", "5")
    assert any("in a transaction" in outcome for outcome in outcomes)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("shape", "colour"), [(shape, COLOURS[n % 2]) for n, shape in enumerate(SHAPES)])
def test_on_postgres(postgres, monkeypatch, shape, colour):
    monkeypatch.setenv("PERDURE_TEST_POSTGRES", postgres)
    at_words = stop(shape, "--colour", colour, "--durability", colour, "--store", "postgresql")
    at_statements = stop(shape, "--colour", colour, "--store", "postgresql", "--at", "statements", "--stride", "7")
    assert at_words.get("refused", 0) >= 3
    assert at_statements.get("refused", 0) >= 1
