"""All savers pass LangGraph's own conformance suite, all eight capabilities."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.postgres.aio import AsyncPostgresSaver
from perdure.checkpoint.redis import RedisSaver
from perdure.checkpoint.redis.aio import AsyncRedisSaver
from perdure.checkpoint.s3 import S3Saver
from perdure.checkpoint.s3.aio import AsyncS3Saver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.checkpoint.sqlite.aio import AsyncSqliteSaver

conformance = pytest.importorskip("langgraph.checkpoint.conformance")

CAPABILITIES = {
    "put",
    "put_writes",
    "get_tuple",
    "list",
    "delete_thread",
    "delete_for_runs",
    "copy_thread",
    "prune",
}


KINDS = ["memory", "sqlite", "aio", "postgres", "postgres-aio", "pgbouncer", "redis", "redis-aio", "s3", "s3-aio"]
ADAPTED = ["memory", "sqlite", "postgres"]
"""Also asked as LangGraph's graphs see them."""


@pytest.mark.parametrize("kind", KINDS)
async def test_all_capabilities_pass(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("database") if "postgres" in kind else ""
    url = request.getfixturevalue("pooled_database") if kind == "pgbouncer" else url
    url = request.getfixturevalue("empty_valkey").url if "redis" in kind else url
    url = request.getfixturevalue("bucket") if kind.startswith("s3") else url
    opened = 0

    async def make() -> AsyncIterator[BaseCheckpointSaver[Any]]:
        nonlocal opened
        opened += 1
        path = str(tmp_path / f"{opened}.db")
        if kind == "memory":
            yield InMemorySaver()
        elif kind == "sqlite":
            with SqliteSaver.from_conn_string(path, synchronous="NORMAL") as saver:
                yield saver
        elif kind in {"postgres", "pgbouncer"}:
            with PostgresSaver.from_conn_string(url, schema=f"s{opened}") as saver:
                yield saver
        elif kind == "postgres-aio":
            async with AsyncPostgresSaver.from_conn_string(url, schema=f"s{opened}") as saver:
                yield saver
        elif kind == "redis":
            with RedisSaver.from_conn_string(url, prefix=f"s{opened}:") as saver:
                yield saver
        elif kind == "redis-aio":
            async with AsyncRedisSaver.from_conn_string(url, prefix=f"s{opened}:") as saver:
                yield saver
        elif kind == "s3":
            with S3Saver.from_conn_string(url.replace("?", f"/{opened}?")) as saver:
                yield saver
        elif kind == "s3-aio":
            async with AsyncS3Saver.from_conn_string(url.replace("?", f"/{opened}?")) as saver:
                yield saver
        else:
            async with AsyncSqliteSaver.from_conn_string(path, synchronous="NORMAL") as saver:
                yield saver

    await validate(kind, make)


async def validate(name: str, make: Callable[[], AsyncIterator[Any]]) -> None:
    from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer

    report = await conformance.validate(RegisteredCheckpointer(name, make))
    failures = [f for result in report.results.values() for f in result.failures]
    assert failures == []
    assert {name for name, result in report.results.items() if result.passed} == CAPABILITIES


@pytest.mark.parametrize("kind", ADAPTED)
async def test_all_capabilities_pass_as_its_own_graphs_see_them(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from perdure.interop.langgraph import to_langgraph

    url = request.getfixturevalue("database") if kind == "postgres" else ""
    opened = 0

    async def make() -> AsyncIterator[Any]:
        nonlocal opened
        opened += 1
        if kind == "memory":
            yield to_langgraph(InMemorySaver())
        elif kind == "sqlite":
            with SqliteSaver.from_conn_string(str(tmp_path / f"{opened}.db"), synchronous="NORMAL") as saver:
                yield to_langgraph(saver)
        else:
            with PostgresSaver.from_conn_string(url, schema=f"s{opened}") as saver:
                yield to_langgraph(saver)

    await validate(f"{kind} for LangGraph", make)
