"""The long proof of images: `make image`. Needs the tools of tests/build/containers.py, a network, and some minutes.

Builds a project for both platforms twice, each time with nothing in the cache, and compares; then kills a container in
the middle of runs, and looks for steps that ran twice and for answers that were lost; then brings a project up by
Docker's Compose, with Podman in Docker's place.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from langgraph_sdk import get_client
from tests.build import containers
from tests.build.conftest import perdure, write_project

KEY = "k3y"


def build_twice(folder: Path) -> list[str]:
    """Build from nothing, twice; return what differs."""
    digests = []
    for number in range(2):
        project = write_project(folder / str(number) / "agent")
        begin = time.monotonic()
        command = ["build", "-t", "agent:1", "--platform", "linux/amd64,linux/arm64", "--json"]
        done = perdure(
            *command, "--cache", folder / str(number) / "cache", "-o", f"oci-dir:{folder / 'layout'}", cwd=project
        )
        told = json.loads(done.stdout)
        digests.append(told["digest"])
        sizes = ", ".join(f"{each['platform']} {each['bytes'] / 1e6:.1f} MB" for each in told["images"])
        print(f"built in {time.monotonic() - begin:.1f} s: {told['digest']} ({sizes})")
    return [] if digests[0] == digests[1] else [f"two builds differ: {digests}"]


async def kill_often(folder: Path, kills: int) -> list[str]:
    """Kill a container in the middle of runs; return what was lost or ran twice."""
    broken = []
    volume = folder / "volume"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    podman = containers.Podman(folder / "podman")
    environment = {"PERDURE_API_KEYS": KEY, "PERDURE_LEASE_SECONDS": "1", "PERDURE_POLL_SECONDS": "0.1"}
    with containers.Container(podman, f"oci:{folder / 'layout'}:1", volume, environment) as container:
        starts = []
        for number in range(kills):
            (volume / "go").unlink(missing_ok=True)
            (volume / "calls").unlink(missing_ok=True)
            async with get_client(url=container.url, api_key=KEY) as client:
                thread = await client.threads.create()
                run = await client.runs.create(thread["thread_id"], "working", input={})
                await asyncio.to_thread(containers.wait_for, volume / "calls", "slow")
                container.kill()
                (volume / "go").touch()
                starts.append(container.start())
                await client.runs.join(thread["thread_id"], run["run_id"])
                state = await client.threads.get_state(thread["thread_id"])
            done, calls = state["values"]["done"], (volume / "calls").read_text().split()
            if done[-1] != "slow" or calls != ["first", "slow", "slow"]:
                broken.append(f"kill {number}: {done}, {calls}")
        print(f"{kills} kills; from the engine's start to /ok: {min(starts):.2f} to {max(starts):.2f} s")
    podman("system", "reset", "--force")
    return broken


def compose(folder: Path) -> list[str]:
    """Bring a project up by Docker's Compose on Podman's service; return what went wrong.

    On SQLite, for there is no image of Postgres without a network. Without systemd Podman checks nobody's health, so
    nothing here waits for that.
    """
    project = write_project(folder / "composed")
    podman = containers.Podman(folder / "podman")
    settings = folder / "podman" / "containers.conf"
    limits = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
    settings.write_text(f'{limits}{settings.read_text()}[network]\nnetwork_backend = "cni"\n')
    tools = folder / "tools"
    tools.mkdir()
    (tools / "docker-compose").symlink_to(Path(sys.executable).with_name("docker-compose"))
    address = f"unix://{folder / 'podman.sock'}"
    environment = {**podman.environment, "DOCKER_HOST": address, "PATH": f"{tools}:{os.environ['PATH']}"}
    environment["PERDURE_API_KEYS"] = KEY
    port = containers.free_port()
    service = subprocess.Popen(["podman", "system", "service", "--time=0", address], env=podman.environment)
    try:
        archive = folder / "composed.tar"
        perdure("build", "-t", "composed:latest", "-o", f"docker-archive:{archive}", cwd=project)
        podman("load", "--input", str(archive))
        variables = folder / "variables.env"
        variables.write_text(f"PERDURE_API_KEYS={KEY}\n")
        words = [
            "--image",
            "localhost/composed:latest",
            "--database",
            "sqlite:////data/perdure.db",
            "--port",
            str(port),
        ]
        perdure("up", "--engine", "docker", *words, "--env-file", variables, cwd=project, env=environment)
        asyncio.run(ask(f"http://127.0.0.1:{port}"))
        shown = perdure("ps", cwd=project, env=environment).stdout
        perdure("down", "--volumes", cwd=project, env=environment)
        print(f"Compose on Podman: {len(shown.splitlines()) - 1} containers, a run that asked and was answered")
        return [] if "worker" in shown and "api" in shown else [shown]
    finally:
        service.terminate()
        service.wait()
        podman("system", "reset", "--force")


async def ask(url: str) -> None:
    """Wait for a server, then have a run ask, and answer it."""
    async with get_client(url=url, api_key=KEY) as client:
        for _ in range(100):
            with contextlib.suppress(httpx.HTTPError):
                thread = await client.threads.create()
                break
            await asyncio.sleep(0.2)
        await client.runs.wait(thread["thread_id"], "asking", input={})
        done = await client.runs.wait(thread["thread_id"], "asking", command={"resume": "yes"})
        assert done["answer"] == "yes"


def main() -> int:
    """Prove it; return 1 if anything broke."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    found = options.parse_args()
    containers.require()
    with tempfile.TemporaryDirectory() as name:
        broken = build_twice(Path(name)) + asyncio.run(kill_often(Path(name), found.kills)) + compose(Path(name))
    print("\n".join(broken) or "nothing broke")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
