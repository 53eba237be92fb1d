"""The long proof of images: `make image`. Needs the tools of tests/build/containers.py, a network, and some minutes.

Builds a project for both platforms twice, each time with nothing in the cache, and compares; then kills a container in
the middle of runs, and looks for steps that ran twice and for answers that were lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> int:
    """Prove it; return 1 if anything broke."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    found = options.parse_args()
    containers.require()
    with tempfile.TemporaryDirectory() as name:
        broken = build_twice(Path(name)) + asyncio.run(kill_often(Path(name), found.kills))
    print("\n".join(broken) or "nothing broke")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
