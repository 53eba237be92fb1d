"""Figures of runs for Prometheus; importing this needs prometheus-client (`pip install 'perdure[prometheus]'`).

Nothing is sent or served by perdure: the program shows its registry as it likes, for example by
`prometheus_client.start_http_server`.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ImportError as missing:
    raise ImportError(
        "perdure.interop.prometheus needs prometheus-client: pip install 'perdure[prometheus]'", name=missing.name
    ) from missing

from perdure.interop.watching import SUPERSTEP, Watcher

__all__ = ["Figures", "instrument"]

G = TypeVar("G")

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Figures(Watcher):
    """Counts runs, and measures supersteps and operations of the storage; one for any number of graphs.

    - `perdure_graph_runs_total`, by `graph` and `outcome`: graphs that nodes call are counted too;
    - `perdure_superstep_seconds`, by `graph`: from the begin of a superstep's tasks to the end of the last one;
    - `perdure_storage_seconds`, by `operation`: `load`, `store`, `cache get`, `cache set`, as a run waits for them.

    Args:
        registry: Where the figures are kept.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._runs = Counter(
            "perdure_graph_runs", "Runs of graphs that have ended", ["graph", "outcome"], registry=registry
        )
        self._supersteps = Histogram(
            "perdure_superstep_seconds", "Time of supersteps", ["graph"], buckets=_SECONDS, registry=registry
        )
        self._storage = Histogram(
            "perdure_storage_seconds", "Time of a run's storage operations", ["operation"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip

    def begins(self, run: Any, name: str) -> Any:
        return self._supersteps.labels(name)

    def ends(self, within: Any, name: str, outcome: str, error: BaseException | None) -> None:
        self._runs.labels(name, outcome).inc()

    def answered(self, within: Any, kind: str, asked: Any, seconds: float, error: BaseException | None) -> None:
        figures = within if kind == SUPERSTEP else self._storage.labels(kind)
        figures.observe(seconds)


def instrument(graph: G, figures: Figures) -> G:
    """Return a copy of a graph whose runs are counted and measured.

    Args:
        graph: A compiled graph or workflow. Graphs that its nodes call are measured too.
        figures: Where; one for all graphs of a program, for a registry has each name once.
    """
    return graph.copy({"observer": figures})  # type: ignore[attr-defined,no-any-return]
