"""What hints are worth where one process answers and another one runs: none (polling), NOTIFY, a Valkey.

python -m benchmarks.hints
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Server
from tests.servers.valkey import Valkey

from benchmarks import contenders
from benchmarks.server import Figures, one

ROWS = ("runs/wait p50", "runs/wait p95", "SSE first event p50", "16 clients", "server CPU a run", "errors")


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Lend the URLs of each kind of database."""
    with tempfile.TemporaryDirectory() as folder, Server({}) as server, PgBouncer(server.url()) as pooler:
        url = server.url()
        yield {"SQLite": f"sqlite:///{folder}/bench.db", "Postgres": url, "PgBouncer": pooler.url(url)}


def main() -> int:
    found: dict[str, Figures] = {}
    with databases() as urls, Valkey() as valkey:
        for name, url in urls.items():
            own = "NOTIFY" if name == "Postgres" else "polling"
            found[f"{name}, {own}"] = one(partial(contenders.split, database=url))
            found[f"{name}, Valkey"] = one(partial(contenders.split, database=url, REDIS_URI=valkey.url))
    print(f"| | load average | {' | '.join(ROWS)} |\n|{'---|' * (len(ROWS) + 2)}")
    for name, figures in found.items():
        cells = [f"{figures[row]:.1f}" for row in ("load average before", *ROWS)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return int(any(figures["errors"] for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main())
