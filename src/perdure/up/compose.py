"""A deployment as a Compose file (the Compose specification), and what is done with one."""

from __future__ import annotations

import re
import secrets
import subprocess
from typing import Any, Final

from perdure.build.image import DATA, HEALTH, PORT
from perdure.up import programs, yamltext
from perdure.up.deployment import EMBEDDED, Deployment, Engine, Folder, write_private
from perdure.up.errors import DeploymentError

POSTGRES_IMAGE: Final = "docker.io/pgvector/pgvector:pg17"
SECRETS: Final = "secrets.env"
WAITING: Final = ("--wait", "--wait-timeout", "180")
"""Seconds; under Podman health checks are made by systemd's timers, so without it they never say anything."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@,%+=-]*")
_SAFE: Final[dict[str, Any]] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "restart": "unless-stopped",
}
_MORE: Final = 15
"""Seconds more than the grace before a container is killed."""


def write(deployment: Deployment) -> str:
    """Return a Compose file: a database, a job that migrates it, workers, the API."""
    services: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    own: dict[str, Any] = {"image": deployment.image, "env_file": [SECRETS]}
    if _is_sqlite(deployment):
        volumes["data"] = {}
        own["volumes"] = [f"data:{DATA}"]
    else:
        own["tmpfs"] = [f"{DATA}:mode=1777"]  # the image says it is a volume: each container would leave one behind
    if deployment.database == EMBEDDED:
        volumes["postgres"] = {}
        services["postgres"] = _postgres(deployment.postgres_image or POSTGRES_IMAGE)
    migrating = {"depends_on": {"postgres": {"condition": "service_healthy"}}} if "postgres" in services else {}
    services["migrate"] = {**own, "command": ["setup"], **_SAFE, "restart": "no", **migrating}
    grace = f"{int(deployment.grace + _MORE)}s"
    running = {
        **own,
        **_SAFE,
        "command": ["serve"],
        "stop_grace_period": grace,
        "depends_on": {**migrating.get("depends_on", {}), "migrate": {"condition": "service_completed_successfully"}},
    }
    told = {"BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": f"{deployment.grace:g}"}
    if deployment.workers:
        services["worker"] = {
            **running,
            "environment": {**told, "PERDURE_SERVES": "0", "PERDURE_JOBS": str(deployment.jobs)},
            "healthcheck": {"disable": True},  # it answers nobody; when its loops break, it ends, and is restarted
            "deploy": {"replicas": deployment.workers},
        }
    host = f"[{deployment.host}]" if ":" in deployment.host else deployment.host
    insecure = {"PERDURE_INSECURE": "1"} if deployment.insecure else {}
    services["api"] = {
        **running,
        "environment": {**told, **insecure, "PERDURE_JOBS": str(deployment.api_jobs)},
        "ports": [f"{host}:{deployment.port}:{PORT}"],
        "healthcheck": {
            "test": ["CMD", *HEALTH],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "20s",
        },
    }
    whole: dict[str, Any] = {"name": deployment.project, "services": services}
    return yamltext.write({**whole, "volumes": volumes} if volumes else whole)


def _postgres(image: str) -> dict[str, Any]:
    return {
        "image": image,
        "env_file": [SECRETS],
        "environment": {"POSTGRES_USER": "perdure", "POSTGRES_DB": "perdure"},
        "volumes": ["postgres:/var/lib/postgresql/data"],
        "shm_size": "256m",
        "restart": "unless-stopped",
        "stop_grace_period": "60s",
        "healthcheck": {
            "test": ["CMD", "pg_isready", "-U", "perdure", "-d", "perdure"],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
        },
    }


def _is_sqlite(deployment: Deployment) -> bool:
    return deployment.database.startswith("sqlite:")


def write_secrets(folder: Folder, deployment: Deployment) -> str | None:
    """Write the variables that are secret, for their owner only; return a key for the API that had to be made up.

    The password of the database stays as it is once it has been made.
    """
    path = folder.path / SECRETS
    old = dict(re.findall(r"(?m)^(\w+)='?(.*?)'?$", path.read_text(encoding="utf-8"))) if path.exists() else {}
    told = dict(deployment.variables)
    if deployment.database == EMBEDDED:
        password = old.get("POSTGRES_PASSWORD") or secrets.token_urlsafe(24)
        told["POSTGRES_PASSWORD"] = password
        told["DATABASE_URI"] = f"postgresql://perdure:{password}@postgres:5432/perdure"
    elif not _is_sqlite(deployment):
        told["DATABASE_URI"] = deployment.database
    made = None
    if "PERDURE_API_KEYS" not in told and not deployment.insecure:
        given = old.get("PERDURE_API_KEYS")
        made = None if given else secrets.token_urlsafe(24)
        told["PERDURE_API_KEYS"] = given or f"up:{made}"
    lines = [f"{name}={_quoted(name, value)}\n" for name, value in told.items()]
    write_private(path, "".join(lines).encode())
    return made


def _quoted(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if "'" in value or "\n" in value:
        raise DeploymentError(f"{name}: a value with a quote or a line break can't be given to Compose")
    return f"'{value}'"


class Compose:
    """The program that runs a deployment's Compose file.

    Args:
        folder: The deployment's.
        engine: Its engine.

    Raises:
        DeploymentError: It isn't here.
    """

    def __init__(self, folder: Folder, engine: Engine) -> None:
        found = programs.find(engine)
        if found is None:
            raise DeploymentError(
                f"there is no working Compose for {engine} here",
                hint=f"it takes {engine} and Docker's Compose (2 or newer, `docker-compose`); "
                "--engine processes needs no containers; --print prints the Compose file",
            )
        self._engine = engine
        self._command = [*found, "-f", str(folder.compose)]

    def __call__(self, *arguments: str) -> None:
        """Run a command of it; its output is the person's.

        Raises:
            DeploymentError: It fails.
        """
        command = [*self._command, *arguments]
        with programs.reached(self._engine) as environment:
            done = subprocess.run(command, env=environment, check=False)  # noqa: S603
        if done.returncode:
            raise DeploymentError(f"`{' '.join(command)}` ended with {done.returncode}")

    def upgrade(self, deployment: Deployment) -> None:
        """Replace what runs: tables, workers, the API last. A container is stopped before the next one is started.

        The database's container stays as it is.
        """
        if deployment.database == EMBEDDED:
            self("up", "--detach", "--no-recreate", *WAITING, "postgres")
        self("up", "--detach", "--no-deps", "--force-recreate", "migrate")
        self("wait", "migrate")  # `run --rm` forgets, on Podman, how it ended
        for service in (["worker"] if deployment.workers else []) + ["api"]:
            self("up", "--detach", "--no-deps", *WAITING, service)
