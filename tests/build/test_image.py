"""Images as others see them: the same twice, small, without tools, and they serve."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from langgraph_sdk import get_client
from langgraph_sdk.errors import AuthenticationError
from tests.build.composed import Composed, make_postgres, step_through
from tests.build.conftest import perdure
from tests.build.containers import Container, OwnRegistry, Podman, wait_for

from perdure.build import layouts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LARGEST = 90e6
KEY = "k3y"


def call(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def manifest_of(layout: Path) -> dict:
    index = json.loads((layout / "index.json").read_text())
    return json.loads(blob(layout, index["manifests"][0]["digest"]).read_text())


def names_of(layout: Path) -> dict[str, tarfile.TarInfo]:
    found = {}
    for layer in manifest_of(layout)["layers"]:
        with tarfile.open(blob(layout, layer["digest"])) as tar:
            found |= {member.name: member for member in tar}
    return found


def test_same_project_is_the_same_image_elsewhere_from_an_index_and_in_an_engine(
    project, built, cache, podman, tmp_path
):
    copy = shutil.copytree(project, tmp_path / "other" / "agent", copy_function=shutil.copyfile)
    for noted in cache.glob("layer-*.json"):  # nothing of the last time's packages is used
        noted.unlink()
    command = [
        "build",
        "-t",
        "agent:1",
        "-t",
        "team/agent:2",
        "--label",
        "team=tea",
        "--cache",
        cache,
        "--load",
        "--json",
    ]
    environment = {**podman.environment, "TMPDIR": str(tmp_path)}
    done = perdure(*command, "-o", "oci-dir", cwd=copy, env=environment)
    told = json.loads(done.stdout)
    assert told["digest"] == json.loads((built / "index.json").read_text())["manifests"][0]["digest"]
    assert {path.name for path in tmp_path.iterdir()} == {"other"}  # nothing in between is left
    assert (copy / "dist" / "agent-1" / "index.json").is_file()

    assert "localhost/team/agent" in podman("images", "--format", "{{.Repository}}")
    told = json.loads(podman("inspect", "localhost/team/agent:2"))[0]
    assert told["User"] == "65532:65532"
    assert told["Healthcheck"]["Test"][-1] == "perdure.server.health"
    switches = ("--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    name = podman("create", *switches, "localhost/team/agent:2")
    podman("start", name)
    assert podman("wait", name) == "2"  # without keys it lets nobody in
    podman("rm", name)


def test_image_is_small_and_has_layers_for_what_changes_at_different_times(built):
    layers = manifest_of(built)["layers"]
    assert len(layers) == 4
    assert sum(layer["size"] for layer in layers) < LARGEST
    assert layers[-1]["size"] < 100_000  # a new version of the application is this


def test_nothing_in_the_image_installs_compiles_or_is_a_shell(built):
    names = names_of(built)
    programs = {Path(name).name for name in names if "/bin/" in f"/{name}" and "/site-packages/" not in name}
    assert not programs & {"sh", "bash", "dash", "busybox", "pip", "pip3", "uv", "apt-get", "dpkg", "gcc", "cc", "perl"}
    packages = {Path(name).name for name in names if Path(name).parent.name in {"site-packages", "dist-packages"}}
    assert "perdure" in packages
    assert not packages & {"pip", "setuptools", "wheel"}
    assert not [name for name in names if "ensurepip" in name]
    assert not [name for name, member in names.items() if member.mode & 0o6000]  # set-user-id
    assert not [name for name, member in names.items() if member.isreg() and member.mode & 0o022]


def test_secrets_and_rubbish_stay_out(built):
    names = names_of(built)
    assert "app/code/graphs.py" in names
    assert not [name for name in names if name.startswith(("app/.env", "app/.git"))]
    for layer in manifest_of(built)["layers"][-1:]:
        assert b"s3cret" not in blob(built, layer["digest"]).read_bytes()
        with tarfile.open(blob(built, layer["digest"])) as tar:
            assert not any(b"s3cret" in tar.extractfile(each).read() for each in tar if each.isreg())


def test_bill_of_materials_is_valid_and_names_what_is_there(built, tmp_path):
    layer = manifest_of(built)["layers"][-1]
    with tarfile.open(blob(built, layer["digest"])) as tar:
        bill = tar.extractfile("usr/share/perdure/sbom.cdx.json").read().decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    found = {each["name"]: each for each in json.loads(bill)["components"]}
    assert found["libc6"]["purl"].startswith("pkg:deb/debian/libc6@")
    assert found["license-expression"]["purl"].startswith("pkg:pypi/license-expression@30")
    assert {"perdure", "uvicorn", "psycopg", "libssl3"} <= set(found)


def test_other_tools_read_the_layout(built):
    told = json.loads(call("skopeo", "inspect", f"oci:{built}:latest"))
    assert told["Labels"]["team"] == "tea"
    assert told["Labels"]["org.opencontainers.image.title"] == "agent"
    assert len(json.loads(call("umoci", "stat", "--json", "--image", f"{built}:1"))["history"]) == 4


async def test_container_serves_and_a_killed_run_is_finished_by_the_next(built, podman: Podman, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    environment = {"PERDURE_API_KEYS": KEY, "PERDURE_LEASE_SECONDS": "1", "PERDURE_POLL_SECONDS": "0.2"}
    async with contextlib.AsyncExitStack() as stack:
        container = stack.enter_context(Container(podman, f"oci:{built}:1", volume, environment))
        stack.push_async_callback((client := get_client(url=container.url, api_key=KEY)).aclose)
        asked = await client.threads.create()
        await client.runs.wait(asked["thread_id"], "asking", input={})
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "working", input={})
        calls = volume / "calls"
        await asyncio.to_thread(wait_for, calls, "slow")
        assert calls.stat().st_uid == 65532
        assert "healthy" in podman("exec", container.id, "/opt/perdure/bin/python", "-c", WELL)
        container.kill()
        assert container.state["ExitCode"] == 137
        (volume / "go").touch()
        assert container.start() < 10
        await client.runs.join(thread["thread_id"], run["run_id"])
        state = await client.threads.get_state(thread["thread_id"])
        assert state["values"]["done"] == ["MIT AND Apache-2.0", "slow"]
        assert calls.read_text().split() == ["first", "first", "slow", "slow"]  # `first` once a thread
        state = await client.threads.get_state(asked["thread_id"])
        assert state["next"] == ["ask"]
        done = await client.runs.wait(asked["thread_id"], "asking", command={"resume": "yes"})
        assert done["answer"] == "yes"
        stranger = await stack.enter_async_context(get_client(url=container.url, api_key="other"))
        with pytest.raises(AuthenticationError):
            await stranger.threads.create()


WELL = """
import os, subprocess, sys
assert os.getuid() == 65532 and "TOKEN" not in os.environ
try:
    open("/app/x", "w")
except OSError:
    sys.exit(print("healthy") or subprocess.call([sys.executable, "-m", "perdure.server.health"]))
"""


async def test_containers_of_postgres_worker_and_api_are_brought_up_killed_and_taken_down(
    project, built, podman: Podman, tmp_path
):
    podman("pull", "--quiet", f"oci:{built}:1")
    podman("tag", podman("images", "--quiet", "--filter", "dangling=false").split()[0], "composed:1")
    (tmp_path / "postgres").mkdir()
    make_postgres(podman, "localhost/composed:1", tmp_path / "postgres")
    folder = shutil.copytree(project, tmp_path / "composed")
    volumes = podman("volume", "ls", "--quiet")  # of other tests
    with Composed(podman, folder) as composed:
        composed.up("--image", "localhost/composed:1")
        began = composed.running()
        assert set(began) == {"composed-postgres-1", "composed-worker-1", "composed-api-1"}
        shown = composed("ps")
        assert all(name in shown for name in began)
        did = await step_through(f"http://127.0.0.1:{composed.port}", lambda: composed.kill(["postgres", "worker"]))
        assert len(set(did)) == 2  # a second worker went on, after the step that the first one had last finished
        now = composed.running()
        assert {name for name in began if now[name] != began[name]} == {"composed-postgres-1", "composed-worker-1"}
        assert "working on postgres:5432/perdure" in composed("logs", "worker")
        composed("down", "--volumes")
    assert podman("ps", "--all", "--quiet", "--filter", "name=composed") == ""
    assert podman("volume", "ls", "--quiet") == volumes


def test_registry_gets_it_and_gives_it_as_a_base(project, cache, wheelhouse, built, podman, tmp_path):
    with OwnRegistry(tmp_path / "registry") as registry:
        tag = f"{registry.name}/team/agent:1"
        command = ["build", "--cache", cache, "--wheelhouse", wheelhouse, "--json"]
        pushed = json.loads(perdure(*command, "-t", tag, "--push", cwd=project).stdout)
        seen = json.loads(call("skopeo", "inspect", "--tls-verify=false", f"docker://{tag}"))
        assert seen["Digest"] == pushed["digest"]
        layout = tmp_path / "on-top"
        by_digest = f"{registry.name}/team/agent@{pushed['digest']}"
        command = [*command, "-t", "top:1", "--base", by_digest, "-o", f"oci-dir:{layout}"]
        perdure(*command, cwd=project)
        missing = perdure(*command[:-4], "--base", f"{registry.name}/team/none:1", cwd=project, code=2)
        assert "answers 404" in missing.stderr
    switches = ("--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--read-only")
    assert podman("run", "--rm", *switches, f"oci:{layout}:1", "--version").startswith("perdure 0.")
    below, above = manifest_of(built), manifest_of(layout)
    assert len(above["layers"]) == 6
    assert above["layers"][:3] == below["layers"][:3]
    assert above["annotations"]["org.opencontainers.image.base.digest"] == pushed["digest"]


def test_damaged_base_is_noticed(project, built, tmp_path):
    copy = tmp_path / "layout"
    (copy / "blobs").mkdir(parents=True)
    (copy / "blobs" / "sha256").mkdir()
    (copy / "index.json").write_bytes((built / "index.json").read_bytes())
    for path in (built / "blobs" / "sha256").iterdir():
        os.link(path, copy / "blobs" / "sha256" / path.name)
    manifest = json.loads((built / "index.json").read_text())["manifests"][0]["digest"].partition(":")[2]
    first = json.loads((built / "blobs" / "sha256" / manifest).read_text())["layers"][0]["digest"].partition(":")[2]
    damaged = bytearray((built / "blobs" / "sha256" / first).read_bytes())
    damaged[1000] ^= 1
    (copy / "blobs" / "sha256" / first).unlink()
    (copy / "blobs" / "sha256" / first).write_bytes(damaged)
    command = ["build", "-t", "agent:1", "--cache", tmp_path / "cache", "--base", f"{copy}:1"]
    assert "is damaged" in perdure(*command, cwd=project, code=2).stderr


def test_bundle_is_built_moved_and_run_without_a_network(project, cache, wheelhouse, built, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    perdure("bundle", "key", here / "key", cwd=here)
    words = ["-t", "agent:1", "--sign-key", here / "key", "--cache", cache, "--wheelhouse", wheelhouse, "--json"]
    command = ["bundle", "create", *words, "-o", here / "bundle.tar"]
    told = json.loads(perdure(*command, cwd=project, prefix=("unshare", "--net")).stdout)
    there.mkdir()
    for name in ("bundle.tar", "key.pub"):
        shutil.move(here / name, there / name)
    assert "agent:1" in perdure("bundle", "verify", "bundle.tar", "--public-key", "key.pub", cwd=there).stdout
    alone = ["unshare", "--net", sys.executable, "-m", "tests.build.airgapped", str(there)]
    done = subprocess.run(alone, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done without a network\n"
    images, main = layouts.read(there / "place" / "image")
    assert told["digest"] == main.digest
    assert [layer.blob for layer in images[0].layers] == [layer.blob for layer in layouts.read(built)[0][0].layers]
