"""What the edge may do to an image on SQLite: its power fails, and whole machines are lost with their volumes."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

from langgraph_sdk import get_client
from tests.build.composed import KEY
from tests.build.containers import Container, Podman, wait_for
from tests.servers.seaweed import BUCKET, ENVIRONMENT, Seaweed

TESTS = Path(__file__).parents[1]
# The image's own Python, SQLite and perdure; of this machine only the tests, and last of all what these import.
POWER = """
import asyncio, runpy, sys, types
sys.path[:0] = ["/proof"]
sys.path.append("/proof/packages")
import apsw, perdure
assert all(each.__file__.startswith("/opt/perdure/") for each in (apsw, perdure))
sys.modules["async_timeout"] = types.SimpleNamespace(timeout=asyncio.timeout)  # redis wants it before 3.11.3
runpy.run_module("tests.fault.power", run_name="__main__")
"""
SAFE = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")


def open_volume(folder: Path) -> Path:
    """Make a folder that the image's user may write to."""
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def lose_power(folder: Path, *arguments: str) -> list[str]:
    """Lose the power at every moment of runs of the image's own SQLite; return what broke.

    Args:
        folder: Where the image's layout is, as `layout`.
        arguments: Of tests.fault.power.
    """
    podman = Podman(folder / "podman")
    mounts = [
        f"{open_volume(folder / 'power')}:/data",
        f"{TESTS}:/proof/tests:ro",
        f"{sysconfig.get_path('purelib')}:/proof/packages:ro",
    ]
    command = ["podman", "run", "--rm", "--network", "none", *SAFE, "--env", "TMPDIR=/data", "--workdir", "/data"]
    command += [word for mount in mounts for word in ("--volume", mount)]
    command += ["--entrypoint", "python", f"oci:{folder / 'layout'}:1", "-c", POWER]
    arguments = arguments or ("chain", "fan_out", "--parts", "0.2")
    done = subprocess.run([*command, *arguments], env=podman.environment, capture_output=True, text=True, timeout=600)
    told = done.stdout.strip().splitlines() or [""]
    print(f"in the image: {told[-1]}")
    return [] if done.returncode == 0 and "0 broken" in told[-1] else [f"{done.stdout}{done.stderr}"[-3000:]]


class Replicated:
    """A machine at the edge: a volume, a container that serves from it, and Litestream in another of the same image.

    Args:
        folder: Where its volume is to be.
        podman: The engine.
        image: The image; it has Litestream in it, as a package of the project.
        store: The object store.
    """

    def __init__(self, folder: Path, podman: Podman, image: str, store: Seaweed) -> None:
        self.volume = open_volume(folder)
        self.podman = podman
        self.image = image
        endpoint = f"http://127.0.0.1:{store.ports[0]}"
        place = {"type": "s3", "bucket": BUCKET, "path": "edge", "endpoint": endpoint, "force-path-style": True}
        settings = {"dbs": [{"path": "/data/perdure.db", "replica": {**place, "sync-interval": "1s"}}]}
        (self.volume / "litestream.yml").write_text(json.dumps(settings))  # JSON is YAML
        environment = {"PERDURE_API_KEYS": KEY, "PERDURE_LEASE_SECONDS": "1", "PERDURE_POLL_SECONDS": "0.2"}
        self.api = Container(podman, image, self.volume, environment)

    def litestream(self, command: str, *arguments: str, detach: bool = False) -> str:
        """Run Litestream beside the server, on the same volume."""
        variables = [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
        place = ["--network", "host", *SAFE, "--volume", f"{self.volume}:/data", *variables]
        how = ["--detach"] if detach else ["--rm"]
        words = ["--entrypoint", "litestream", self.image, command, "-config", "/data/litestream.yml", *arguments]
        return self.podman("run", *how, *place, *words)

    def start(self) -> None:
        """Begin with the copy, if there is one; then serve, and keep the copy up."""
        self.litestream("restore", "-if-replica-exists", "-if-db-not-exists", "/data/perdure.db")
        self.api.start()
        self.replica = self.litestream("replicate", detach=True)

    def lose(self) -> None:
        """Kill all of it at once, and delete the volume."""
        self.podman("kill", self.api.id, self.replica)
        self.podman("rm", "--force", self.api.id, self.replica)
        shutil.rmtree(self.volume)


async def lose_machines(folder: Path, losses: int) -> list[str]:
    """Lose machines in the middle of a run, and have it finished by the next; return what was lost or ran twice."""
    podman = Podman(folder / "podman")
    image = f"oci:{folder / 'layout'}:1"
    broken = []
    with Seaweed() as store:
        kept: list[str] = []
        backs = []
        machine = Replicated(folder / "machine-0", podman, image, store)
        machine.start()
        for number in range(losses):
            async with get_client(url=machine.api.url, api_key=KEY) as client:
                asked = (await client.threads.create())["thread_id"]
                await client.runs.wait(asked, "asking", input={})
                kept.append(asked)
                thread = (await client.threads.create())["thread_id"]
                run = (await client.runs.create(thread, "working", input={}))["run_id"]
                await asyncio.to_thread(wait_for, machine.volume / "calls", "slow")
            await asyncio.sleep(3)  # three times as long as the copy is behind
            machine.lose()
            begin = time.monotonic()
            machine = Replicated(folder / f"machine-{number + 1}", podman, image, store)
            (machine.volume / "go").touch()
            machine.start()
            backs.append(time.monotonic() - begin)
            async with get_client(url=machine.api.url, api_key=KEY) as client:
                await client.runs.join(thread, run)
                done = (await client.threads.get_state(thread))["values"]["done"]
                calls = (machine.volume / "calls").read_text().split()
                if done[-1] != "slow" or calls != ["slow"]:  # what was finished on the lost machine isn't done again
                    broken.append(f"loss {number}: {done}, {calls}")
                found = {each: (await client.threads.get_state(each))["next"] for each in kept}
                broken += [f"loss {number}: {each} is gone" for each, then in found.items() if then != ["ask"]]
            (machine.volume / "go").unlink()
            (machine.volume / "calls").unlink()
        machine.lose()
    podman("system", "reset", "--force")
    print(f"{losses} machines lost with their volumes; back after {min(backs):.1f} to {max(backs):.1f} s")
    return broken
