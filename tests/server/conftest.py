"""A live server on each database, and the real client of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from tests.server.besieged import Besieged
from tests.server.serving import PROJECT, Served


@pytest.fixture(scope="session", autouse=True)
def conforming() -> Iterator[None]:
    """Hold every answer that is read at once against the description of the API."""
    from tests.server.conforming import check

    send, asend = httpx.Client.send, httpx.AsyncClient.send

    def sent(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        response = send(self, request, **options)
        if not options.get("stream"):
            check(response)
        return response

    async def asent(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        response = await asend(self, request, **options)
        if not options.get("stream"):
            check(response)
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", sent)
        patch.setattr(httpx.AsyncClient, "send", asent)
        yield


IS_SIEGE = bool(os.environ.get("PERDURE_SIEGE"))


@pytest.fixture(scope="session", params=["postgres"] if IS_SIEGE else ["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that a session's tests share: each test makes threads of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('server') / 'server.db'}"
        return
    postgres: str = request.getfixturevalue("postgres")
    name = f"server_{os.getpid()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{postgres.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served | Besieged]:
    """A server for tests that don't hurt it."""
    config = {"webhooks": {"url": {"disable_loopback": False}, "secret": "LG_WEBHOOK_SECRET"}}
    environment = {"LG_WEBHOOK_SECRET": "s3cret"}
    folder = tmp_path_factory.mktemp("project")
    kind = Besieged if IS_SIEGE else Served
    with kind(folder, database_url, config=config, environment=environment) as served:
        yield served


@pytest.fixture
async def client(server: Served) -> AsyncIterator[LangGraphClient]:
    """The SDK's client."""
    made = get_client(url=server.url)
    yield made
    await made.aclose()


@pytest.fixture
async def http(server: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client, for what the SDK doesn't show."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as made:
        yield made


@pytest.fixture
def own_database(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database for one test."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'own.db'}"
    found: str = request.getfixturevalue("database")
    return found


@pytest.fixture(scope="session")
def guarded(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose users are kept apart, on the session's database: what others have left there is there too."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "guarded.py").write_text(PROJECT.with_name("guarded.py").read_text())
    with Served(folder, database_url, config={"auth": {"path": "./guarded.py:auth"}}) as served:
        yield served


@pytest.fixture
async def users(guarded: Served) -> AsyncIterator[list[LangGraphClient]]:
    """Alice, Bob, and one who may only read."""
    clients = [get_client(url=guarded.url, headers={"authorization": f"Bearer {who}"}) for who in "abr"]
    yield clients
    for client in clients:
        await client.aclose()
