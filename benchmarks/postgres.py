"""What is measured on Postgres: each workload on a server of its own, with fsync and synchronous_commit on."""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any

import psycopg
from tests.servers.postgres import Server

from benchmarks import graphs
from benchmarks.watch import Figures, Watch, reads, resident

_DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "max_wal_size": "4GB"}
_ROUNDS = 3


@contextmanager
def _saver(package: str, url: str) -> Iterator[Any]:
    with import_module(f"{package}.checkpoint.postgres").PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        yield saver


@asynccontextmanager
async def _async_saver(package: str, url: str) -> AsyncIterator[Any]:
    cls = import_module(f"{package}.checkpoint.postgres.aio").AsyncPostgresSaver
    async with cls.from_conn_string(url) as saver:
        await (saver.asetup if package == "perdure" else saver.setup)()
        yield saver


def chain(package: str, k: int) -> Figures:
    """Run the chain; then read it back, and measure the process and the tables."""
    with Server(_DURABLE) as server, _saver(package, server.url()) as saver:
        graph = graphs.chain(package, k, saver)
        graph.invoke({"items": [], "n": k - 20}, graphs.config("warm-up", k), durability="sync")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            before = _stored(connection)
            with Watch() as watch:
                graph.invoke({"items": [], "n": 0}, graphs.config("measured", k), durability="sync")
            used = resident()
            stored = _stored(connection) - before
        payload = sum(len(json.dumps(graphs.message(n))) for n in range(k))
        return {**watch.per(k), **reads(graph), "resident": used, "stored": stored / payload}


def chain_of_own(package: str, k: int) -> Figures:
    """Run the chain, on perdure alone: the other side would write hundreds of megabytes."""
    return chain(package, k) if package == "perdure" else {"stored": float("nan")}


def _stored(connection: Any) -> int:
    """Return the bytes of all tables and their indexes."""
    tables = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200"
    return int(connection.execute(tables).fetchone()[0])


def async_threads(package: str, threads: int, k: int) -> Figures:
    async def run(url: str) -> Watch:
        async with _async_saver(package, url) as saver:
            graph = graphs.chain(package, k, saver)
            start = {"items": [], "n": 0}
            await graph.ainvoke(start, graphs.config("warm-up", k), durability="sync")
            with Watch() as watch:
                configs = [graphs.config(f"t{n}", k) for n in range(threads)]
                await asyncio.gather(*(graph.ainvoke(start, c, durability="sync") for c in configs))
            return watch

    with Server(_DURABLE) as server:
        return asyncio.run(run(server.url())).per(threads * k)


def raw_floor(package: str, k: int) -> Figures:
    """Run a counter, and then the bare driver with the very statements that this run made."""
    if package != "perdure":
        return {"wall": float("nan"), "cpu": float("nan"), "raw": float("nan")}
    with Server(_DURABLE) as server:
        batches: list[Any] = []
        _count(server.url(_database(server, "record")), k, batches)
        own, raw = [], []
        for n in range(_ROUNDS):
            own.append(_count(server.url(_database(server, f"own{n}")), k))
            raw.append(_replay(server.url(_database(server, f"raw{n}")), batches))
    middle = sorted(own, key=lambda watch: watch.wall)[_ROUNDS // 2]
    trips = len(batches) / k
    return {**middle.per(k), "raw": statistics.median(raw) / k, "trips": trips}


def _database(server: Server, name: str) -> str:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return name


def _count(url: str, k: int, batches: list[Any] | None = None) -> Watch:
    """Run the counter; keep the batches of the measured run, if asked to."""
    from perdure.database.postgres.connecting import Link

    with _saver("perdure", url) as saver:
        graph = graphs.counter("perdure", k, saver)
        graph.invoke({"n": k - 20}, graphs.config("warm-up", k), durability="sync")
        original = Link.execute

        def execute(self: Link, batch: Any) -> Any:
            batches.append(list(batch))
            return original(self, batch)

        if batches is not None:
            Link.execute = execute
        try:
            with Watch() as watch:
                graph.invoke({"n": 0}, graphs.config("measured", k), durability="sync")
        finally:
            Link.execute = original
    return watch


def _replay(url: str, batches: list[Any]) -> float:
    """Run batches on a connection of psycopg, and nothing around them; warmed up as the other side is."""
    from perdure.database.postgres.connecting import Link

    with _saver("perdure", url) as saver:
        graph = graphs.counter("perdure", 20, saver)
        graph.invoke({"n": 0}, graphs.config("warm-up", 20), durability="sync")
    with psycopg.connect(url, autocommit=True, prepare_threshold=3) as connection:
        link = Link(connection)
        with Watch() as watch:
            stored = sum(any(rows) for batch in batches for rows in link.execute(batch))
    assert stored >= len(batches) * 0.9, "the replay stored nothing"
    return watch.wall
