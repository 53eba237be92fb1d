"""A copy of a SQLite file elsewhere, kept up by Litestream: what a machine that is lost leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from perdure.up import yamltext
from perdure.up.deployment import Deployment, Folder, write_private
from perdure.up.errors import DeploymentError

INSTALL: Final = "pip install 'perdure[replica]', or install litestream"
EXAMPLE: Final = (
    "s3://bucket/prefix, s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1, file:///mnt/copy"
)
_INTERVAL: Final = "1s"
_SETTINGS: Final = ("endpoint", "region")


def program() -> str:
    """Return where Litestream is: beside this Python, or on the PATH.

    Raises:
        DeploymentError: It is nowhere.
    """
    beside = Path(sys.executable).with_name("litestream")
    found = str(beside) if beside.is_file() else shutil.which("litestream")
    if found is None:
        raise DeploymentError("--replica needs Litestream, not installed here", hint=INSTALL)
    return found


def check(database: str, url: str) -> None:
    """Check that a database can have a replica there.

    Raises:
        DeploymentError: It can't; or Litestream isn't installed.
    """
    if not database.startswith("sqlite:"):
        raise DeploymentError("--replica is for SQLite", hint="Postgres has replicas and backups of its own")
    settings(url)
    program()


def settings(url: str) -> dict[str, Any]:
    """Return what Litestream is told of a replica.

    Raises:
        DeploymentError: The URL isn't understood.
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    if parts.scheme == "file" and not parts.netloc and parts.path and not given:
        return {"type": "file", "path": parts.path, "sync-interval": _INTERVAL}
    if parts.scheme != "s3" or not parts.netloc or given.keys() - set(_SETTINGS):
        raise DeploymentError(f"--replica: {url!r} is no place for a replica", hint=EXAMPLE)
    where: dict[str, Any] = {"type": "s3", "bucket": parts.netloc, "path": parts.path.strip("/") or "perdure"}
    endpoint = given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        where |= {"endpoint": endpoint, "force-path-style": True}
    region = given.get("region") or os.environ.get("AWS_REGION")
    return {**where, **({"region": region} if region else {}), "sync-interval": _INTERVAL}


def write(folder: Folder, deployment: Deployment) -> Path:
    """Write Litestream's configuration; return where it is. Credentials stay in the environment."""
    told = {"dbs": [{"path": str(path_of(deployment)), "replica": settings(deployment.replica)}]}
    place = folder.path / "litestream.yml"
    write_private(place, yamltext.write(told).encode())
    return place


def environment(deployment: Deployment) -> dict[str, str]:
    """Return Litestream's variables. It fails with `AWS_CA_BUNDLE`; Go's own name for that is `SSL_CERT_FILE`."""
    told = os.environ | deployment.variables
    if bundle := told.pop("AWS_CA_BUNDLE", None):
        told.setdefault("SSL_CERT_FILE", bundle)
    return told


def path_of(deployment: Deployment) -> Path:
    """Return the database's file."""
    from perdure.checkpoint.registry import sqlite_path

    return Path(sqlite_path(deployment.database))


def restore(folder: Folder, deployment: Deployment) -> bool:
    """Bring the database back from its replica, if it isn't here and is there; return whether that was so.

    Raises:
        DeploymentError: The replica can't be read. Nothing is begun beside it then.
    """
    path = path_of(deployment)
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [program(), "restore", "-config", str(write(folder, deployment)), "-if-replica-exists", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(deployment))  # noqa: S603
    if done.returncode:
        raise DeploymentError(f"the replica can't be restored: {(done.stderr or done.stdout).strip()[-500:]}")
    return path.exists()
