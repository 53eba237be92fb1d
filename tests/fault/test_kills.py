"""SIGKILL at every storage statement and at random: nothing acknowledged is lost, nothing finished runs again."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.fault.shapes import SHAPES

ROOT = Path(__file__).parents[2]


def campaign(*arguments):
    """Run in a process of its own: it forks, which needs a process without threads."""
    command = [sys.executable, "-m", "tests.fault.campaign", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 broken promises" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", SHAPES)
def test_at_every_statement(shape):
    campaign(shape)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_statements_of_async_runs(shape, durability):
    campaign(shape, "--colour", "async", "--durability", durability, "--stride", "7")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_random_times(shape, colour):
    campaign(shape, "--colour", colour, "--durability", "async", "--kills", "20")
