"""Profiles the steps of one workload: where a step's time goes, by function.

python -m benchmarks.profile_step chain-memory --package perdure --k 300
"""

import argparse
import cProfile
import pstats
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import graphs


@contextmanager
def prepared(workload: str, package: str, k: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Build a workload's graph and its input."""
    kind, _, storage = workload.partition("-")
    build = getattr(graphs, kind)
    start = {"items": [], "n": 0} if kind == "chain" else {"n": 0}
    if storage == "sqlite":
        with (
            tempfile.TemporaryDirectory() as folder,
            graphs.sqlite_saver(package, str(Path(folder) / "profile.db"), "NORMAL") as saver,
        ):
            yield build(package, k, saver), start
    else:
        yield build(package, k, graphs.memory_saver(package) if storage == "memory" else None), start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    kinds = [f"{kind}{storage}" for kind in ("chain", "counter") for storage in ("", "-memory", "-sqlite")]
    parser.add_argument("workload", choices=kinds)
    parser.add_argument("--package", default="perdure")
    parser.add_argument("--k", type=int, default=300)
    parser.add_argument("--lines", type=int, default=35)
    given = parser.parse_args()
    with prepared(given.workload, given.package, given.k) as (graph, start):
        options = {"durability": "sync"} if graph.checkpointer else {}
        graph.invoke(start, graphs.config("warm-up", given.k), **options)
        profile = cProfile.Profile()
        profile.enable()
        graph.invoke(start, graphs.config("measured", given.k), **options)
        profile.disable()
    stats = pstats.Stats(profile)
    print(f"{given.workload} on {given.package}, {given.k} steps; times in seconds for all steps, under the profiler")
    stats.sort_stats("tottime").print_stats(given.lines)


if __name__ == "__main__":
    main()
