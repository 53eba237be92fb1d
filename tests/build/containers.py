"""Containers of the tests' own: Podman, on folders of its own, and a registry on the loopback interface."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import httpx
from tests.servers.postgres import ServerMissing

TOOLS = ("podman", "runc", "skopeo", "umoci", "docker-registry", "apt-get", "dpkg-deb", "unshare", "iptables")
NETWORKS = ("netavark", "aardvark-dns")
"""What joins containers and tells them each other's names, in Podman's own folder."""
HINT = "apt-get install podman netavark aardvark-dns iptables runc skopeo umoci docker-registry"


def require() -> None:
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/lib/podman:/usr/libexec/podman"
    missing = [name for name in (*TOOLS, *NETWORKS) if not shutil.which(name, path=path)]
    if missing:
        raise ServerMissing(f"tests of images need {', '.join(missing)}: {HINT}")
    if os.geteuid() != 0:
        raise ServerMissing("tests of images run containers, which needs root here")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(file: Path, word: str) -> None:
    """Wait until a word is in a file."""
    deadline = time.monotonic() + 30
    while not file.is_file() or word not in file.read_text():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{word!r} doesn't come into {file}")
        time.sleep(0.02)


class Podman:
    """An engine whose images and containers are below one folder.

    Args:
        folder: Which.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        storage = {"driver": "overlay", "graphroot": str(folder / "root"), "runroot": str(folder / "run")}
        lines = ["[storage]", *(f'{name} = "{value}"' for name, value in storage.items())]
        (folder / "storage.conf").write_text("\n".join(lines) + "\n")
        # Locks of its own too: the usual ones are shared by all engines of the machine, whatever their folders.
        engine = {"lock_type": "file", "tmp_dir": str(folder / "tmp"), "cgroup_manager": "cgroupfs", "runtime": "runc"}
        lines = ["[containers]", 'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]']
        lines += ["[engine]", *(f'{name} = "{value}"' for name, value in engine.items())]
        lines += ["[network]", 'network_backend = "netavark"', f'network_config_dir = "{folder / "networks"}"']
        (folder / "containers.conf").write_text("\n".join(lines) + "\n")
        self.environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
        }

    def __call__(self, *arguments: str) -> str:
        command = ["podman", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class Container:
    """A container of an image that serves; a context manager.

    Its root is read-only, without a place for temporary files; it has no capability, and one volume.

    Args:
        podman: The engine.
        image: The image.
        volume: A folder that is `/data`.
        environment: More variables.
    """

    def __init__(self, podman: Podman, image: str, volume: Path, environment: dict[str, str]) -> None:
        self.podman = podman
        self.image = image
        self.volume = volume
        self.environment = environment
        self.port = free_port()
        self.id = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.podman("rm", "--force", "--time", "0", self.id)

    def start(self) -> float:
        """Start it, anew if it ran before; return the seconds until it is well."""
        begin = time.monotonic()
        if self.id:
            self.podman("start", self.id)
        else:
            switches = ["--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
            switches += [
                "--read-only",
                "--read-only-tmpfs=false",
                "--cap-drop",
                "all",
                "--security-opt",
                "no-new-privileges",
            ]
            switches += ["--volume", f"{self.volume}:/data"]
            for name, value in {**self.environment, "PERDURE_PORT": str(self.port)}.items():
                switches += ["--env", f"{name}={value}"]
            self.id = self.podman("run", "--detach", *switches, self.image)
        deadline = begin + 20
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/ok", timeout=1).status_code == 200:
                    return time.monotonic() - begin
            except httpx.HTTPError:
                time.sleep(0.02)
        raise RuntimeError(f"the container doesn't serve:\n{self.podman('logs', self.id)}")

    def kill(self) -> None:
        os.kill(self.state["Pid"], signal.SIGKILL)
        self.podman("wait", self.id)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.podman("inspect", self.id))[0]["State"]
        return state


class OwnRegistry:
    """A registry; a context manager.

    Args:
        folder: Where its images are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        storage = {"filesystem": {"rootdirectory": str(self.folder)}}
        config = {"version": 0.1, "storage": storage, "http": {"addr": self.name}, "log": {"level": "error"}}
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", self.folder / "config.yml"], stdout=log, stderr=log
            )
        for _ in range(200):
            if self._answers():
                return self
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.name}/v2/").status_code == 200
        except httpx.HTTPError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
