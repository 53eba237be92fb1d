"""A server of Azure's blobs of the tests' own: Azurite, Microsoft's emulator, from npm, on a free port of the loopback
interface. It keeps nothing on disk.

python -m tests.servers.azurite        installs it, for tests that come later
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Self
from urllib.request import Request, urlopen

from tests.servers.postgres import ServerMissing

VERSION = "3.33.0"  # the last that runs on the Node.js of Debian 12
ACCOUNT = "devstoreaccount1"
# The key that all emulators have, see https://learn.microsoft.com/azure/storage/common/storage-use-azurite
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ENVIRONMENT = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
CONTAINER = "perdure-tests"

_numbers = itertools.count()
_FOLDER = Path(sys.prefix) / "azurite"


def program() -> Path:
    """Return the server's program, installed into the virtual environment by whoever comes first.

    Raises:
        ServerMissing: There is no Node.js, or the registry doesn't answer.
    """
    if shutil.which("npm") is None:
        raise ServerMissing("no Azure to test with: apt-get install nodejs npm")
    _FOLDER.mkdir(exist_ok=True)
    done = _FOLDER / f"installed-{VERSION}"
    with (_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            command += ["--omit=optional", "--prefix", str(_FOLDER), f"azurite@{VERSION}"]
            installed = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if installed.returncode:
                raise ServerMissing(f"no Azure to test with: {installed.stderr}")
            done.touch()
    return _FOLDER / "node_modules/azurite/dist/src/blob/main.js"


class Azurite:
    """A server with one container; a context manager."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, port: int | None = None) -> str:
        """How to connect, to an empty prefix."""
        prefix = f"{os.getpid()}-{next(_numbers)}"
        return f"azure://{CONTAINER}/{prefix}?endpoint=http://127.0.0.1:{port or self.port}/{ACCOUNT}"

    def __enter__(self) -> Self:
        options = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--inMemoryPersistence", "--silent"]
        # The client is newer than the server.
        command = ["node", str(program()), *options, "--skipApiVersionCheck", "--disableProductStyleUrl"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._make_container()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)

    def _make_container(self) -> None:
        date = formatdate(usegmt=True)
        version = "2021-08-06"
        signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n"
        signed += f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
        headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{signature}"}
        url = f"http://127.0.0.1:{self.port}/{ACCOUNT}/{CONTAINER}?restype=container"
        with urlopen(Request(url, method="PUT", headers=headers), timeout=5):
            pass


if __name__ == "__main__":
    program()
