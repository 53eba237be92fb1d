"""The servers that are measured, and how each is started: a folder with the graph, a command, variables.

A peer lives in an environment of its own, made here when it is first asked for: it is run, nothing else.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120.0


class Running(NamedTuple):
    """A server that is up.

    Attributes:
        start: Milliseconds from its start until `/ok` answered.
    """

    url: str
    pid: int
    start: float

    @property
    def rss(self) -> float:
        """Megabytes that it and its child processes have in memory."""
        return sum(_rss(pid) for pid in _family(self.pid))

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it and its children used; on a busy machine they tell more than those of the wall."""
        return sum(_cpu(pid) for pid in _family(self.pid))


@contextmanager
def started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], port: int | None
) -> Iterator[Running]:
    """Start a server in a group of its own; wait for its `/ok`, or if it has no port for its word that it works."""
    url = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        while not (_is_ok(url) if port else "working on" in (folder / "log").read_text()):
            if server.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise RuntimeError(f"{' '.join(command)} doesn't start:\n{(folder / 'log').read_text()[-4000:]}")
            time.sleep(0.005)
        yield Running(url, server.pid, (time.perf_counter() - began) * 1e3)
    except BaseException:
        print(f"its log ends so:\n{(folder / 'log').read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # what it has left behind


@contextmanager
def perdure(folder: Path, database: str, *arguments: str, **environment: str) -> Iterator[Running]:
    """Start this package's server."""
    _write_project(folder, "perdure.json", {})
    port = free_port()
    command = [sys.executable, "-m", "perdure.cli", "serve", "--db", database, "--port", str(port), *arguments]
    with started(command, folder, environment, port) as running:
        yield running


@contextmanager
def split(folder: Path, database: str, **environment: str) -> Iterator[Running]:
    """Start two processes of this package's server: one only answers, one only runs."""
    _write_project(folder / "worker", "perdure.json", {})
    command = [sys.executable, "-m", "perdure.cli", "serve", "--db", database, "--no-api"]
    with (
        perdure(folder / "api", database, "--jobs", "0", **environment) as running,
        started(command, folder / "worker", environment, None),
    ):
        yield running


@contextmanager
def langgraph_dev(folder: Path, environments: Path) -> Iterator[Running]:
    """Start `langgraph dev`, as it is told to be used: in memory."""
    packages = ["langgraph-cli[inmem]==0.4.40", "langgraph==1.2.22"]
    place = _environment(environments / "langgraph", sys.executable, packages)
    _write_project(folder, "langgraph.json", {"dependencies": ["."]})
    port = free_port()
    command = [f"{place}/bin/langgraph", "dev", "--port", str(port), "--no-browser", "--no-reload"]
    variables = {"PACKAGE": "langgraph", "LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
    with started(command, folder, variables, port) as running:
        yield running


@contextmanager
def aegra(folder: Path, environments: Path) -> Iterator[Running]:
    """Start Aegra on a Postgres of its own."""
    from tests.servers.postgres import Server

    place = _environment(environments / "aegra", _newer_python(), ["aegra-api==0.11.0", "aegra-cli==0.11.0"])
    _write_project(folder, "aegra.json", {})
    port = free_port()
    command = [f"{place}/bin/aegra", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with ExitStack() as stack:
        variables = {"PACKAGE": "langgraph", "AUTH_TYPE": "noop", "LANGSMITH_TRACING": "false"}
        variables["DATABASE_URL"] = stack.enter_context(Server({})).url()
        yield stack.enter_context(started(command, folder, variables, port))


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_project(folder: Path, name: str, more: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "served.py").write_text(Path(__file__).with_name("served.py").read_text())
    (folder / name).write_text(json.dumps({"graphs": {"agent": "./served.py:graph"}, **more}))


def _environment(place: Path, python: str, packages: Sequence[str]) -> Path:
    """Return an environment with packages, made anew if they have changed."""
    stamp = place / ".packages"
    wanted = "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, str(place)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", f"{place}/bin/python", *packages], check=True)
        stamp.write_text(wanted)
    return place


def _newer_python() -> str:
    """Return a Python of 3.12 or later: a shim of pyenv counts only if it starts."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [sys.executable, "python3.12", "python3.13", *sorted(map(str, pyenv.glob("3.1[2-9]*/bin/python")))]
    for candidate in candidates:
        asking = [shutil.which(candidate) or "false", "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
        if subprocess.run(asking, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return asking[0]
    raise RuntimeError(f"Aegra needs Python 3.12 or later; of {', '.join(candidates)} none is")


def _is_ok(url: str) -> bool:
    for path in ("/ok", "/health"):
        try:
            with urllib.request.urlopen(f"{url}{path}", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            continue
        except OSError:
            return False
    return False


def _family(pid: int) -> list[int]:
    """Return a process and those that descend from it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, ())
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    except OSError:
        return 0.0
    return int(fields[0]) / 1024 if fields else 0.0
