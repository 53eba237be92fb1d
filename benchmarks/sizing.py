"""The inputs of the sizing model in docs/scaling.md, measured: what a step costs in bytes, WAL and round trips.

python -m benchmarks.sizing [--threads 100] [--bytes 2000]

Threads of 20 and of 300 steps run on a Postgres of their own, with fsync on; each step appends a message.
"""

import argparse
import hashlib
import operator
from typing import Annotated, Any, NamedTuple

import psycopg
from tests.servers.postgres import Server
from typing_extensions import TypedDict

from perdure.checkpoint.postgres import PostgresSaver
from perdure.database.postgres.connecting import Link
from perdure.graph import END, START, StateGraph

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "max_wal_size": "4GB"}
A_DAY = 1_000_000
STEPS = 20


class State(TypedDict):
    items: Annotated[list, operator.add]


class Measured(NamedTuple):
    """What one kind of thread costs: a step in bytes and round trips, and what is left of a thread after `prune`."""

    changed: float
    stored: float
    wal: float
    trips: float
    pruned: float


def text(seed: str, size: int) -> str:
    """Return hexadecimal text, 4 bits a character."""
    blocks = (hashlib.sha256(f"{seed} {n}".encode()).hexdigest() for n in range(size // 64 + 1))
    return "".join(blocks)[:size]


def graph_on(saver: Any, steps: int, size: int) -> Any:
    def step(state: State, config: Any) -> dict[str, Any]:
        seed = f"{config['configurable']['thread_id']} {len(state['items'])}"
        return {"items": [{"role": "user", "content": text(seed, size)}]}

    builder = StateGraph(State).add_node("step", step).add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: END if len(state["items"]) >= steps else "step")
    return builder.compile(checkpointer=saver)


def ask(url: str, sql: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql).fetchone()[0]


def stored(url: str) -> int:
    """Return the bytes of all tables and indexes."""
    sizes = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200"
    return int(ask(url, sizes))


def wal(url: str) -> int:
    return int(ask(url, "SELECT pg_current_wal_insert_lsn() - '0/0'"))


def measure(threads: int, steps: int, size: int) -> Measured:
    trips = 0
    execute = Link.execute

    def counting(self: Link, batch: Any) -> Any:
        nonlocal trips
        trips += 1
        return execute(self, batch)

    with Server(DURABLE) as server, PostgresSaver.from_conn_string(server.url()) as saver:
        url = server.url()
        graph = graph_on(saver, steps, size)
        graph.invoke({"items": []}, {"configurable": {"thread_id": "warm-up"}, "recursion_limit": steps + 10})
        before, wal_before = stored(url), wal(url)
        Link.execute = counting  # type: ignore[method-assign]
        try:
            for n in range(threads):
                config = {"configurable": {"thread_id": f"t{n}"}, "recursion_limit": steps + 10}
                graph.invoke({"items": []}, config, durability="sync")
        finally:
            Link.execute = execute  # type: ignore[method-assign]
        count = threads * steps
        bytes_a_step, wal_a_step = (stored(url) - before) / count, (wal(url) - wal_before) / count
        saver.prune([f"t{n}" for n in range(threads)])
        with psycopg.connect(url, autocommit=True) as connection:
            for table in ("checkpoints", "pieces", "writes", "namespaces"):
                connection.execute(f"VACUUM FULL perdure_{table}")
        return Measured(size, bytes_a_step, wal_a_step, trips / count, (stored(url) - before) / threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=200, help="of 20 steps; a fifteenth as many of 300")
    parser.add_argument("--bytes", type=int, default=2000, help="that each step appends")
    given = parser.parse_args()
    print(
        "| steps a thread | stored, a step | of what changed | WAL, a step | of what changed | round trips | pruned |"
    )
    print("|---|---|---|---|---|---|---|")
    found = {}
    for steps, threads in ((STEPS, given.threads), (300, max(1, given.threads // 15))):
        found[steps] = one = measure(threads, steps, given.bytes)
        ratios = f"{one.stored / one.changed:.2f} | {one.wal:,.0f} B | {one.wal / one.changed:.2f} | {one.trips:.2f}"
        print(f"| {steps} | {one.stored:,.0f} B | {ratios} | {one.pruned:,.0f} B |")
    one = found[STEPS]
    a_day = A_DAY * STEPS
    print(f"\n{A_DAY:,} threads a day, each of {STEPS} steps: {a_day / 86_400:,.0f} steps a second")
    print(
        f"new in tables and indexes {a_day * one.stored / 1e9:,.0f} GB a day, WAL {a_day * one.wal / 1e9:,.0f} GB a day"
    )
    print(f"after `prune`: {A_DAY * one.pruned / 1e9:,.0f} GB for each day")


if __name__ == "__main__":
    main()
