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
        yield {"PgBouncer": pooler.url(url), "Postgres": url, "SQLite": f"sqlite:///{folder}/bench.db"}


def main() -> int:
    print(f"| | load average | {' | '.join(ROWS)} |\n|{'---|' * (len(ROWS) + 2)}")
    errors = 0.0
    with databases() as urls, Valkey() as valkey:
        for name, url in urls.items():
            own = "NOTIFY" if name == "Postgres" else "polling"
            for wire, variables in ((own, {}), ("Valkey", {"REDIS_URI": valkey.url})):
                figures: Figures = one(partial(contenders.split, database=url, **variables))
                cells = [f"{figures[row]:.1f}" for row in ("load average before", *ROWS)]
                print(f"| {name}, {wire} | {' | '.join(cells)} |", flush=True)
                errors += figures["errors"]
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
