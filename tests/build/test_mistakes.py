"""What a build says when it can't be done, and what it leaves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.build.conftest import CONFIG, perdure, write_project

from perdure.build import wheels
from perdure.build.blobs import Blob
from perdure.build.errors import BuildError
from perdure.build.layouts import read_tag
from perdure.build.registry import Registry
from perdure.cli.app import start
from perdure.cli.exits import Exit

LIMITED = ("prlimit", "--fsize=3000000")


@pytest.fixture
def own(tmp_path) -> Path:
    return write_project(tmp_path / "agent")


@pytest.fixture
def said(monkeypatch, capsys) -> Callable[..., str]:
    """Build in a folder; return what is said. In this process, unless more is asked."""

    def run(own: Path, *arguments: str | Path, **more) -> str:
        before = sorted(own.rglob("*"))
        command = ["build", "-t", "agent:1", *map(str, arguments)]
        if more:
            told = perdure(*command, cwd=own, code=2, **more).stderr
        else:
            monkeypatch.chdir(own)
            monkeypatch.setattr(sys, "argv", ["perdure", *command])
            assert start() == Exit.USAGE
            told = capsys.readouterr().err
        assert "hint:" in told
        assert "Traceback" not in told
        assert sorted(own.rglob("*")) == before
        return told

    return run


def test_folder_without_a_configuration(said, tmp_path):
    assert "no perdure.json" in said(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--platform", "linux/s390x"], "no images are built for 'linux/s390x'"),
        (["--platform", "linux/amd64,linux/arm64", "--load"], "one platform"),
        (["--output", "tar"], "there is no output 'tar'"),
        (["-t", "My Agent"], "no name of an image"),
        (["--base", "./nowhere"], "there is no image layout and no archive ./nowhere"),
        (["--base", "."], "no image layout"),
        (["--base", "perdure.json"], "not an archive of an image"),
    ],
)
def test_options_that_cannot_be_done(said, own, tmp_path, arguments, text):
    assert text in said(own, "--cache", tmp_path / "cache", *arguments)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"dockerfile_lines": ["RUN true"]}, "dockerfile_lines: would have no effect"),
        ({"dependencies": ["../shared"]}, "dependencies: there is no folder"),
        ({"dependencies": [".."]}, "is outside of"),
        ({"source": {"kind": "uv"}}, "has no uv.lock"),
        ({"graphs": {"a": "./none.py:graph"}}, "there is no file ./none.py"),
    ],
)
def test_configurations_that_cannot_be_built(said, tmp_path, more, text):
    own = write_project(tmp_path / "agent", CONFIG | more)
    assert text in said(own, "--cache", tmp_path / "cache")


def test_without_uv(tmp_path, monkeypatch):
    # Another folder of Python, so that no uv is beside it.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"(?s)uv, not found.*perdure\[build\]"):
        wheels.find_uv()


def test_registry_that_is_not_there(tmp_path):
    with pytest.raises(BuildError, match=r"can't send to 127.0.0.1:1/agent:1"):
        Registry(read_tag("127.0.0.1:1/agent:1")).send(tmp_path, [], Blob("", "", 0))


def test_without_apt(said, own, tmp_path):
    told = said(own, "--cache", tmp_path / "cache", env={"PATH": str(tmp_path)})
    assert "needs apt-get" in told


def test_wheelhouse_that_lacks_a_package(said, own, cache, tmp_path):
    house = tmp_path / "house"
    house.mkdir()
    assert "has no wheels" in said(own, "--cache", cache, "--wheelhouse", house)
    (house / "other-1-py3-none-any.whl").touch()
    told = said(own, "--cache", cache, "--wheelhouse", house)
    assert "perdure vendor" in told


def test_package_without_a_wheel_for_the_platform(said, tmp_path, cache):
    house = tmp_path / "house"
    house.mkdir()
    (house / "only_windows-1.0-cp311-cp311-win_amd64.whl").touch()
    own = write_project(tmp_path / "agent", CONFIG | {"dependencies": ["only-windows"]})
    told = said(own, "--cache", cache, "--wheelhouse", house)
    assert "only-windows" in told
    assert "linux/" in told


def test_full_disk_leaves_nothing_and_keeps_what_was_there(said, own, cache, tmp_path):
    target = tmp_path / "image.tar"
    target.write_text("the last one")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    arguments = ["--cache", cache, "--output", f"oci-archive:{target}"]
    told = said(own, *arguments, env={"TMPDIR": str(scratch)}, prefix=LIMITED)
    assert "the disk is full" in told
    assert target.read_text() == "the last one"
    assert list(scratch.iterdir()) == []
    assert not list(tmp_path.glob(".perdure-*"))
