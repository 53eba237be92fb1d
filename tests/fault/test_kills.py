"""SIGKILL at every storage statement and at random: nothing acknowledged is lost, nothing finished runs again."""

import re
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
    return int(re.search(r"([\d,]+) kills in", done.stdout)[1].replace(",", ""))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", SHAPES)
def test_at_every_statement(shape):
    assert campaign(shape, "--colour", "sync", "--durability", "sync", "--every") >= 100


@pytest.mark.timeout(300)
def test_all_shapes_colours_and_durabilities():
    assert campaign("--kills", "210") >= 210


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", [("--every", "--stride", "29"), ("--kills", "56")], ids=["at statements", "at random"])
def test_on_postgres(postgres, monkeypatch, way):
    """All shapes, colours and durabilities; each at other ones of its statements. `make crash` does all of them."""
    monkeypatch.setenv("PERDURE_TEST_POSTGRES", postgres)
    assert campaign("--store", "postgresql", *way) >= 56


@pytest.mark.timeout(300)
def test_on_redis(valkey):
    """One way, at each of its commands. `python -m tests.fault.campaign --store redis --every` does all of them."""
    assert campaign("chain", "--store", "redis", "--colour", "sync", "--durability", "sync", "--every") >= 30


def test_on_s3(seaweed, aws, monkeypatch):
    """Some of all requests of one shape; `python -m tests.fault.campaign --store s3 --every` does all of them."""
    monkeypatch.setenv("PERDURE_TEST_S3", seaweed.url())
    assert campaign("siblings", "--store", "s3", "--every", "--stride", "11") >= 18
