"""Fixtures of real servers. A missing one is a failure in CI and a skip on a person's machine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import azurite
from tests.servers.pgbouncer import PgBouncer
from tests.servers.pgbouncer import binary as pgbouncer_binary
from tests.servers.postgres import Server, ServerMissing, binaries
from tests.servers.seaweed import ENVIRONMENT, Seaweed
from tests.servers.seaweed import binary as seaweed_binary
from tests.servers.shared import Lodger
from tests.servers.valkey import Valkey
from tests.servers.valkey import binary as valkey_binary

_numbers = itertools.count()


def _require(find: Callable[[], object]) -> None:
    try:
        find()
    except ServerMissing as missing:
        if os.environ.get("PERDURE_CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that all tests share."""
    _require(binaries)
    own: Path = tmp_path_factory.getbasetemp()
    lodger = Lodger(own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own)
    yield lodger.url
    lodger.close()


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of an empty database on the shared server."""
    import psycopg

    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        yield f"{postgres.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def pgbouncer(postgres: str) -> Iterator[PgBouncer]:
    """A pooler in transaction mode before the shared server, for this process's tests."""
    _require(pgbouncer_binary)
    with PgBouncer(postgres) as pooler:
        yield pooler


@pytest.fixture
def pooled_database(pgbouncer: PgBouncer, database: str) -> Iterator[str]:
    """The URL of an empty database behind a pooler."""
    yield pgbouncer.url(database)
    pgbouncer.let_go(database)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A Valkey for this process's tests."""
    _require(valkey_binary)
    with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """An S3 server for this process's tests."""
    _require(seaweed_binary)
    with Seaweed() as server:
        yield server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of the tests' servers, where clients look for them."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(seaweed: Seaweed, aws: None) -> str:
    """The URL of an empty place on the S3 server."""
    return seaweed.url()


@pytest.fixture(scope="session")
def azure_server() -> Iterator[azurite.Azurite]:
    """A server of Azure's blobs for this process's tests."""
    _require(azurite.program)
    with azurite.Azurite() as server:
        yield server


@pytest.fixture
def container(azure_server: azurite.Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty place on the server of Azure's blobs."""
    for name, value in azurite.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return azure_server.url()


@pytest.fixture
def empty_valkey(valkey: Valkey) -> Valkey:
    """The Valkey of this process's tests, with nothing in it."""
    valkey.ask("FLUSHALL")
    return valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey that the test may kill; it keeps what it has acknowledged."""
    _require(valkey_binary)
    with Valkey(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server that the test may kill."""
    _require(binaries)
    with Server() as server:
        yield server


@pytest.fixture
def own_pgbouncer(own_postgres: Server) -> Iterator[PgBouncer]:
    """A pooler that the test may kill, before a server that it may kill."""
    _require(pgbouncer_binary)
    with PgBouncer(own_postgres.url(), {"query_wait_timeout": "0.3"}) as pooler:
        yield pooler
