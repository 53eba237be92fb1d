"""One server for all workers of a test session, stopped when the last of them is gone, however it went.

A *guard*, a process of its own, starts the server and waits for an exclusive lock on a file of which every user holds
a shared one. The system drops the locks of the dead, so that nobody has to say goodbye.

    python -m tests.servers.shared FOLDER
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tests.servers.postgres import Server

_REPOSITORY = Path(__file__).parents[2]


class Lodger:
    """A user of the shared server; lets go of it when closed, or dead.

    Args:
        folder: Shared by all users of one server.

    Attributes:
        url: How to connect to the server's first database.
    """

    def __init__(self, folder: Path) -> None:
        with _locked(folder / "entry.lock", fcntl.LOCK_EX):
            # While a guard is stopping its server this waits; then there is no server any more.
            self._lock = _locked(folder / "users.lock", fcntl.LOCK_SH)
            if not (folder / "server.json").exists():
                _start_guard(folder)
            self.url: str = json.loads((folder / "server.json").read_text())["url"]

    def close(self) -> None:
        """Let go of the server."""
        self._lock.close()


def _locked(path: Path, how: int) -> TextIO:
    file = path.open("w")
    fcntl.flock(file, how)
    return file


def _start_guard(folder: Path) -> None:
    log = folder / "guard.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "tests.servers.shared", str(folder)]
        guard = subprocess.Popen(command, cwd=_REPOSITORY, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (folder / "server.json").exists():
        if guard.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the shared Postgres doesn't start:\n{log.read_text()}")
        time.sleep(0.02)
    # It outlives this process, and isn't waited for.
    guard.returncode = 0


def main(folder: Path) -> None:
    """Keep a server until nobody uses it any more."""
    ready, half = folder / "server.json", folder / "server.json.half"
    with Server() as server:
        about: dict[str, Any] = {"url": server.url(), "pid": os.getpid()}
        half.write_text(json.dumps(about))
        half.rename(ready)
        with _locked(folder / "users.lock", fcntl.LOCK_EX), suppress(FileNotFoundError):
            ready.unlink()  # unless pytest has removed the folder


if __name__ == "__main__":
    main(Path(sys.argv[1]))
