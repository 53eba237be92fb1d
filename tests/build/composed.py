"""A project brought up by `perdure up --engine podman`, with a Postgres image of the tests' own.

The image that the Compose file names is in a registry that nobody may be able to reach: what has its name here is the
Postgres of the tests' wheel, pgvector included, on the tests' own image. Like the official one it makes a cluster of
POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB in the volume, if there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.errors import APIError
from tests.build.conftest import perdure
from tests.build.containers import Podman, free_port
from tests.servers.postgres import binaries

from perdure.up.compose import POSTGRES_IMAGE

KEY = "k3y"
STEPS = 8
ENTRY = """
import os, subprocess

data, user = os.environ["PGDATA"], os.environ.get("POSTGRES_USER", "postgres")
name = os.environ.get("POSTGRES_DB", user)
if not os.path.exists(f"{data}/PG_VERSION"):
    with open("/dev/shm/password", "w") as file:
        file.write(os.environ["POSTGRES_PASSWORD"])
    made = ["initdb", "-D", data, "-U", user, "--pwfile=/dev/shm/password", "--locale=C", "--encoding=UTF8"]
    subprocess.run([*made, "--auth-host=scram-sha-256", "--auth-local=trust"], check=True)
    os.unlink("/dev/shm/password")
    with open(f"{data}/pg_hba.conf", "a") as file:
        file.write("host all all all scram-sha-256\\n")
    command = f'CREATE DATABASE "{name}"'.encode()
    subprocess.run(["postgres", "--single", "-D", data, "postgres"], input=command, check=True)
own = ["-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"]
os.execvp("postgres", ["postgres", "-D", data, *own])
"""
DOCKERFILE = """
FROM {base}
COPY --chown=0:0 sh /bin/sh
COPY --chown=0:0 passwd /etc/passwd
COPY --chown=0:0 entry.py /entry.py
COPY --chown=0:0 postgres /opt/bundle/postgres
COPY --chown=0:0 libraries /opt/{libraries}
COPY --chown=999:999 data /var/lib/postgresql/data
USER 999:999
ENV PGDATA=/var/lib/postgresql/data PATH=/opt/bundle/postgres/bin:/opt/perdure/bin
ENTRYPOINT ["python", "/entry.py"]
CMD []
STOPSIGNAL SIGINT
"""


def make_postgres(podman: Podman, base: str, folder: Path, name: str = POSTGRES_IMAGE) -> None:
    """Make the image that the Compose file names.

    Args:
        podman: The engine that gets it.
        base: An image with a Python.
        folder: An empty folder.
        name: The image's name.
    """
    install = binaries().parent
    libraries = next(install.parents[1].glob("*pgserver*.libs"))
    shutil.copytree(install, folder / "postgres", ignore=shutil.ignore_patterns("*.a", "include"))
    shutil.copytree(libraries, folder / "libraries")
    shutil.copy("/bin/sh", folder / "sh")  # initdb starts its programs by a shell
    (folder / "passwd").write_text("postgres:x:999:999::/:/usr/sbin/nologin\n")
    (folder / "entry.py").write_text(ENTRY)
    (folder / "data").mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base, libraries=libraries.name))
    podman("build", "--quiet", "--format", "docker", "--pull=never", "--tag", name, str(folder))


class Beating(threading.Thread):
    """Does what systemd's timers do where there is a systemd: has the health of all containers checked.

    Args:
        podman: Their engine.
    """

    def __init__(self, podman: Podman) -> None:
        super().__init__()
        self.podman = podman
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.5):
            with contextlib.suppress(AssertionError):  # a container may be gone
                for name in self.podman("ps", "--quiet").split():
                    subprocess.run(
                        ["podman", "healthcheck", "run", name], env=self.podman.environment, capture_output=True
                    )


class Composed:
    """A project, its deployment in containers, and what keeps their health checked; a context manager.

    Args:
        podman: The engine; it has the images already.
        project: The project's folder.
    """

    def __init__(self, podman: Podman, project: Path) -> None:
        self.podman = podman
        self.project = project
        self.port = free_port()
        tools = Path(sys.executable).parent  # Compose is a package of the tests'
        self.environment = {**podman.environment, "PATH": f"{tools}:{os.environ['PATH']}"}
        self._beating = Beating(podman)

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(AssertionError):
            self("down", "--volumes")
        self._beating.is_over.set()
        self._beating.join()

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        done = perdure(*arguments, cwd=self.project, env=self.environment, code=code)
        return done.stdout + done.stderr

    def up(self, *arguments: str | Path) -> None:
        """Bring it up, and wait until all is healthy."""
        variables = self.project.parent / "variables.env"
        variables.write_text(f"PERDURE_API_KEYS=me:{KEY}\nPERDURE_LEASE_SECONDS=1\nPERDURE_POLL_SECONDS=0.2\n")
        words = ["up", "--engine", "podman", "--port", str(self.port), "--env-file", variables, "--wait"]
        self(*words, *arguments)

    def kill(self, services: Sequence[str]) -> None:
        """Kill the first container of each service, as the kernel does."""
        names = [f"{self.project.name}-{service}-1" for service in services]
        for pid in self.podman("inspect", "--format", "{{.State.Pid}}", *names).split():
            os.kill(int(pid), signal.SIGKILL)

    def running(self) -> dict[str, str]:
        """Return the containers that run, with when each was started."""
        rows = self.podman("ps", "--format", "{{.Names}} {{.StartedAt}}").splitlines()
        return dict(row.split(" ", 1) for row in rows)


async def step_through(url: str, midway: Callable[[], Any]) -> list[str]:
    """Run a graph of steps; have something done in its middle. Return which process did each step."""
    async with get_client(url=url, api_key=KEY) as client:
        thread = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread, "stepping", input={"left": STEPS})
        deadline = time.monotonic() + 30
        while len((await client.threads.get_state(thread))["values"].get("done", ())) < 3:
            assert time.monotonic() < deadline
        midway()
        told = {"status": "pending"}
        while told["status"] in {"pending", "running"}:
            assert time.monotonic() < deadline, told
            with contextlib.suppress(httpx.HTTPError, APIError):  # who asks may be killed too
                told = await client.runs.get(thread, run["run_id"])
            await asyncio.sleep(0.1)
        assert told["status"] == "success"
        done: list[str] = (await client.threads.get_state(thread))["values"]["done"]
    assert [line.split()[0] for line in done] == [str(number) for number in range(STEPS)]
    return [line.split()[-1] for line in done]
