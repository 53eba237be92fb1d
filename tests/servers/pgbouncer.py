"""A PgBouncer of the tests' own, in transaction mode, on a free port of the loopback interface, before a Postgres.

As root it runs under the uid of `nobody`, for PgBouncer refuses to run as root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg
from tests.servers.postgres import NOBODY, ServerMissing, free_port

_CONFIG = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    # Fewer connections than the tests' callers have, so that each call may get another one.
    "default_pool_size": "4",
    "max_client_conn": "500",
    "server_idle_timeout": "20",
    "server_login_retry": "0.2",
    "log_connections": "0",
    "log_disconnections": "0",
}


def binary() -> str:
    """Return the program's path.

    Raises:
        ServerMissing: It isn't installed.
    """
    found = shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
    if found is None:
        raise ServerMissing("no PgBouncer to test with: on Debian, apt-get install pgbouncer")
    return found


class PgBouncer:
    """A pooler before a server; a context manager.

    Args:
        server: The URL of one of the server's databases; the others are reached as well.
        settings: Of PgBouncer, besides those of `_CONFIG`.
    """

    def __init__(self, server: str, settings: Mapping[str, str] | None = None) -> None:
        self._server = urlsplit(server)
        self._settings = {**_CONFIG, **(settings or {})}
        self._folder = Path(tempfile.mkdtemp(prefix="perdure-pgbouncer-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        self.port = free_port()

    def __enter__(self) -> Self:
        try:
            self._write()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def url(self, server: str) -> str:
        """Return how to reach a database of the server through the pooler, given its URL."""
        return urlsplit(server)._replace(netloc=self._netloc).geturl()

    def let_go(self, server: str) -> None:
        """Close the connections to a database, and wait until the server has noticed: so it can be dropped at once."""
        with psycopg.connect(server, autocommit=True) as connection:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
            while connection.execute(f"SELECT 1 {others}").fetchone():
                time.sleep(0.002)

    @property
    def _netloc(self) -> str:
        return f"{self._server.username}:{self._server.password}@127.0.0.1:{self.port}"

    def _write(self) -> None:
        users = self._folder / "users.txt"
        users.write_text(f'"{self._server.username}" "{self._server.password}"\n')
        settings = {**self._settings, "listen_port": str(self.port), "auth_file": str(users)}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        databases = f"[databases]\n* = host={self._server.hostname} port={self._server.port}\n"
        (self._folder / "pgbouncer.ini").write_text(f"{databases}[pgbouncer]\n" + "\n".join(lines) + "\n")
        if self._as:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)

    def start(self, *, answers: bool = True) -> None:
        """Start it and wait until it answers, which it does only if it reaches its server."""
        with (self._folder / "log").open("ab") as log:
            command = [binary(), str(self._folder / "pgbouncer.ini")]
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self._as)
        deadline = time.monotonic() + 20
        while answers and not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer doesn't start:\n{(self._folder / 'log').read_text()[-3000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(self._server.geturl()), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again: all its clients lose their connections."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Kill it and delete its files."""
        self.stop()
        shutil.rmtree(self._folder)
