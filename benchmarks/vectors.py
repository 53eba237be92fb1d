"""How long a search by meaning takes, and how much of what is nearest it finds: each way to find it, on the same items.

python -m benchmarks.vectors [--items 10000] [--dims 384]

"In Python" is what every store does without an extension: it compares the query with every vector of the namespace.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.postgres import Server

from perdure.store.base import BaseStore, PutOp
from perdure.store.memory import InMemoryStore
from perdure.store.postgres import PostgresStore
from perdure.store.sqlite import SqliteStore

NAMESPACE = ("docs",)
LIMIT = 10
AT_ONCE = 500


class Embedding:
    """Vectors around some hundred topics, as texts have them: without topics nothing would be near to anything."""

    def __init__(self, dims: int) -> None:
        rng = random.Random(0)
        self.topics = [[rng.gauss(0, 1) for _ in range(dims)] for _ in range(100)]

    def __call__(self, texts: list[str]) -> list[list[float]]:
        return [self.one(text) for text in texts]

    def one(self, text: str) -> list[float]:
        rng = random.Random(text)
        return [x + rng.gauss(0, 0.5) for x in rng.choice(self.topics)]


@contextmanager
def in_python(path: Path, index: Any) -> Iterator[BaseStore]:
    sys.modules["sqlite_vec"] = None  # type: ignore[assignment]  # as if it weren't installed
    try:
        with SqliteStore.from_conn_string(str(path), index=index) as store:
            store.setup()
            yield store
    finally:
        del sys.modules["sqlite_vec"]


def ways(folder: Path, url: str, index: Any) -> dict[str, Any]:
    """Return the ways to find what is nearest, the exact one first; those of one database share its items."""
    on_postgres = {name: {**index, "ann_index_config": {"kind": name}} for name in ("flat", "ivfflat", "hnsw")}
    path = folder / "store.db"
    return {
        "memory, in Python": lambda: InMemoryStore(index=index),
        "sqlite, in Python": lambda: in_python(path, index),
        "sqlite, sqlite-vec": lambda: SqliteStore.from_conn_string(str(path), index=index),
        "postgres, in Python": lambda: PostgresStore.from_conn_string(url, index=index),
        **{
            f"postgres, {name}": lambda config=config: PostgresStore.from_conn_string(url, index=config)
            for name, config in on_postgres.items()
        },
    }


def fill(store: BaseStore, texts: list[str]) -> None:
    for at in range(0, len(texts), AT_ONCE):
        store.batch([PutOp(NAMESPACE, text, {"text": text}) for text in texts[at : at + AT_ONCE]])


def searched(store: BaseStore, queries: list[str]) -> tuple[float, list[set[str]]]:
    """Return the median of the searches' milliseconds, and what they found."""
    store.search(NAMESPACE, query=queries[0], limit=LIMIT)  # tables, plans, pages
    times, found = [], []
    for query in queries:
        began = time.perf_counter()
        hits = store.search(NAMESPACE, query=query, limit=LIMIT)
        times.append(time.perf_counter() - began)
        found.append({hit.key for hit in hits})
    return statistics.median(times) * 1e3, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dims", type=int, default=384)
    given = parser.parse_args()
    texts = [f"text {n}" for n in range(given.items)]
    queries = [f"query {n}" for n in range(9)]
    index = {"dims": given.dims, "embed": Embedding(given.dims), "fields": ["text"]}
    print(f"{given.items} items of {given.dims} dimensions, the nearest {LIMIT}; the median of {len(queries)} searches")
    exact: list[set[str]] = []
    in_python_ms: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(Server({}))
        filled = set()
        for name, opening in ways(folder, server.url(), index).items():
            with ExitStack() as own:
                store = opening()
                store = own.enter_context(store) if hasattr(store, "__enter__") else store
                database = name.partition(",")[0]
                if database not in filled:
                    filled.add(database)
                    fill(store, texts)
                took, found = searched(store, queries)
            exact = exact or found
            recall = sum(len(a & b) for a, b in zip(found, exact, strict=True)) / (LIMIT * len(queries))
            in_python_ms.setdefault(database, took)
            print(
                f"{name:>22} {took:>9.2f} ms {in_python_ms[database] / took:>7.1f} x  {recall:>6.1%} found", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
