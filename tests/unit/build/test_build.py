"""Layers, names, projects and Dockerfiles, without a network and without tools."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

from perdure.build import dockerfile, image, layouts, project
from perdure.build.bases import Base
from perdure.build.blobs import Blobs
from perdure.build.errors import BuildError
from perdure.build.layers import Files
from perdure.build.registry import addressed
from perdure.build.wheels import Target
from perdure.server import health


def layer_of(folder, make):
    files = Files()
    make(files)
    blobs = Blobs(folder)
    layer = files.write(blobs, "test", 0)
    with tarfile.open(blobs.path(layer.blob.digest)) as tar:
        return layer, {each.name: each for each in tar}


def test_layer_is_the_same_whatever_the_order_and_the_times(tmp_path):
    (tmp_path / "x").write_text("x")

    def one(files):
        files.add_file("b/c", tmp_path / "x")
        files.add_file("b.d", b"d", 0o755)

    def other(files):
        os.utime(tmp_path / "x", (1, 1))
        files.add_file("b.d", b"d", 0o755)
        files.add_file("b/c", tmp_path / "x")

    first, entries = layer_of(tmp_path / "1", one)
    second, _ = layer_of(tmp_path / "2", other)
    assert first == second
    assert list(entries) == ["b", "b/c", "b.d"]
    assert {(each.uid, each.gid, each.uname, each.mtime) for each in entries.values()} == {(0, 0, "", 0)}
    assert entries["b.d"].mode == 0o755


def test_layer_takes_away_and_never_follows_a_link(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s3cret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")

    def make(files):
        files.add_tree(tmp_path / "in", "app")
        files.remove("usr/bin/pip")
        files.remove("opt/perdure/")

    _, entries = layer_of(tmp_path / "out", make)
    assert entries["app/link"].issym()
    assert {"usr/bin/.wh.pip", "opt/perdure/.wh..wh..opq"} <= set(entries)


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        ("agent", "agent", "latest"),
        ("my-agent:1", "my-agent", "1"),
        ("127.0.0.1:5000/team/agent:v1.2", "127.0.0.1:5000/team/agent", "v1.2"),
        ("registry.example:5000/agent", "registry.example:5000/agent", "latest"),
    ],
)
def test_names_of_images(text, name, tag):
    assert layouts.read_tag(text) == (name, tag)


@pytest.mark.parametrize("text", ["", ":1", "Agent:1", "agent:", "agent:-x", "a b", "/agent", "agent//x"])
def test_names_that_are_none(text):
    with pytest.raises(BuildError, match="no name of an image"):
        layouts.read_tag(text)


def test_wheels_are_chosen_for_what_the_base_has():
    assert Target("linux/arm64", "3.12", "manylinux_2_36").uv == "aarch64-manylinux_2_36"
    assert Target("linux/amd64", "3.12", "manylinux_2_30").uv == "x86_64-manylinux_2_28"
    assert Target("linux/amd64", "3.12", "musl").uv == "x86_64-unknown-linux-musl"
    pip = Target("linux/amd64", "3.12", "manylinux_2_28").pip
    assert pip[0] == "manylinux_2_28_x86_64"
    assert "manylinux2014_x86_64" in pip


def read(folder, config):
    (folder / "perdure.json").write_text(json.dumps(config))
    return project.read(folder / "perdure.json", config, for_dockerfile=True)


def test_needs_of_a_project_are_its_lock_else_its_project_else_its_requirements(tmp_path):
    for name in ("locked", "declared", "listed"):
        (tmp_path / name).mkdir()
    (tmp_path / "locked" / "uv.lock").touch()
    (tmp_path / "locked" / "pyproject.toml").touch()
    (tmp_path / "declared" / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["a>=1"]\n')
    (tmp_path / "declared" / "requirements.txt").touch()
    (tmp_path / "listed" / "requirements.txt").touch()
    found = read(tmp_path, {"graphs": {}, "dependencies": ["./locked", "./declared", "./listed", "b==2"]})
    assert found.locks == ((tmp_path / "locked", None),)
    assert found.requirements == ("a>=1", "b==2")
    assert found.files == (tmp_path / "listed" / "requirements.txt",)


def test_files_that_go_into_an_image(tmp_path):
    (tmp_path / ".dockerignore").write_text("# notes\n/data\n**/*.csv\n!keep.csv\ndocs/*.md\n")
    wants = read(tmp_path, {"graphs": {}}).wants
    assert all(wants(path) for path in ("agent.py", "keep.csv", "docs/a/x.md", "envs/x", "a/data/x"))
    assert not any(wants(path) for path in ("data", "data/x", "a/b.csv", "docs/x.md", ".env", "a/.env.local", ".git"))
    assert not wants("a/__pycache__")


def test_dockerfile_says_what_the_image_says(tmp_path):
    found = read(tmp_path, {"graphs": {}, "env": ".env", "dependencies": ["x>=1"], "python_version": "3.13"})
    text = dockerfile.write(found, ["RUN true"], None, wheelhouse=False)
    for name, value in image.ENVIRONMENT.items():
        assert f'{name}="{value}"' in text
    lines = text.splitlines()
    assert lines.count("FROM python:3.13-slim") == 1
    assert f"USER {image.USER}:{image.USER}" in lines
    assert f"ENTRYPOINT {json.dumps(list(image.COMMAND))}" in lines
    assert "RUN true" in lines
    assert "'x>=1'" in text
    assert ".env" not in text
    assert "**/.env\n" in dockerfile.write_ignored(found)


def test_health_asks_where_the_server_is(tmp_path):
    (tmp_path / "perdure.json").write_text('{"graphs": {}, "http": {"mount_prefix": "/api"}}')
    told = {"PERDURE_CONFIG": str(tmp_path / "perdure.json"), "PERDURE_PORT": "8000"}
    assert health.address(told) == "http://127.0.0.1:8000/api/ok"
    assert health.address({**told, "PERDURE_SERVES": "0"}) is None


def test_moment_of_an_image():
    assert image.moment_of({}) == 0
    assert image.moment_of({"SOURCE_DATE_EPOCH": "1700000000"}) == 1700000000
    with pytest.raises(BuildError, match="not a number of seconds"):
        image.moment_of({"SOURCE_DATE_EPOCH": "yesterday"})


def test_python_version_that_the_base_has_not(tmp_path):
    found = read(tmp_path, {"graphs": {}, "python_version": "3.19"})
    base = Base("theirs", "", (), {}, "/usr/bin/python3.12", "3.12", "musl")
    wanted = image.Wanted("agent", "1", "linux/amd64", tmp_path)
    with pytest.raises(BuildError, match=r"python_version is 3\.19, and theirs has 3\.12"):
        image.build(found, base, wanted, Blobs(tmp_path), print)


def test_what_a_build_made_does_not_go_into_the_next(tmp_path):
    found = read(tmp_path, {"graphs": {}}).without(tmp_path / "out.tar", tmp_path.parent / "elsewhere")
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").touch()
    assert not any(found.wants(path) for path in ("out.tar", "layout", "dist", "wheelhouse"))
    assert found.wants("elsewhere")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("python", "registry-1.docker.io/library/python"),
        ("team/agent", "registry-1.docker.io/team/agent"),
        ("docker.io/team/agent", "registry-1.docker.io/team/agent"),
        ("localhost/agent", "localhost/agent"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
        ("registry.example/agent", "registry.example/agent"),
    ],
)
def test_names_without_a_registry_mean_what_docker_means(name, address):
    assert addressed(name) == address
