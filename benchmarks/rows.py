"""The table: which figure of which workload each gate looks at, and what it must be."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A gate.

    `judge` is "faster" (reference / own, at least), "at most" or "at least" (own figure). `own` is the figure that is
    judged where it isn't the one shown on both sides.
    """

    name: str
    workload: str
    figure: str = "wall"
    judge: str = "faster"
    must: float | None = None
    aim: float | None = None
    unit: str = "ms"
    own: Callable[[dict[str, float]], float] | None = None


def _share_of_raw(figures: dict[str, float]) -> float:
    return figures["raw"] / figures["wall"]


def _against_latest(figures: dict[str, float]) -> float:
    return figures["old"] / figures["latest from the store"]


def _against_allowed(figures: dict[str, float]) -> float:
    return figures["added"] / figures["allowed"]


_EDITS = {
    "append": "append 1 KB",
    "window": "window of 50",
    "trim": "trim from the front",
    "middle": "replace in the middle",
    "keys": "one of 1,000 keys",
    "string": "string that grows by 40 B",
    "int": "int",
    "mutate": "change an old item and append",
}

ROWS = [
    Row("import graph + memory saver", "import", judge="at most", must=0.150, aim=0.060),
    Row("modules imported", "import", "modules", judge="at most", unit=""),
    Row("packages in the core install", "packages", "packages", judge="at most", must=6, unit=""),
    Row("step without a saver (chain, k=300)", "no saver", must=15, aim=30),
    Row("step of a counter, memory saver (k=300)", "counter memory", must=15, aim=25),
    Row("step, memory saver (chain, k=300)", "chain memory", must=6, aim=12),
    Row("step, SQLite FULL (chain, k=300)", "sqlite full 300", must=2),
    Row("step, SQLite FULL (chain, k=1000)", "sqlite full 1000", must=4),
    Row("step, SQLite NORMAL (chain, k=300)", "sqlite normal 300", must=8, aim=15),
    Row("step, SQLite NORMAL (chain, k=1000)", "sqlite normal 1000", must=10, aim=20),
    Row("share of the raw driver, FULL (counter)", "raw full", judge="at least", must=0.6, aim=0.85, own=_share_of_raw),
    Row("share of the raw driver, NORMAL (counter)", "raw normal", judge="at least", own=_share_of_raw),
    Row("commits a step (counter)", "raw full", "commits", judge="at most", must=1.05, unit=""),
    Row("64 async threads x 20 steps, SQLite FULL", "async threads", must=15, aim=30),
    Row("step, Postgres (chain, k=300)", "postgres 300", must=4),
    Row("round trips a step, Postgres (counter)", "postgres raw", "trips", judge="at most", must=1.05, unit=""),
    Row(
        "share of the raw driver, Postgres (counter)",
        "postgres raw",
        judge="at least",
        must=0.6,
        aim=0.85,
        own=_share_of_raw,
    ),
    Row("64 async threads x 20 steps, Postgres", "postgres async threads", must=8, aim=20),
    Row("stored / payload bytes, Postgres (chain, k=1000)", "postgres 1000", "stored", "at most", 2.5, 1.3, unit="x"),
    Row("task of a fan-out of 200, memory saver", "fan-out", must=15, aim=30),
    Row("stored / payload bytes (chain, k=1000)", "sqlite normal 1000", "stored", "at most", 2.5, 1.3, unit="x"),
    Row("stored / payload, LangGraph's graph on perdure (k=300)", "adapted", "stored", "at most", unit="x"),
    Row("step, LangGraph's graph on perdure's SQLite (k=300)", "adapted"),
    *[
        Row(f"{what}: of 5x changed + 2 KB", f"edit {kind}", "added", "at most", 1, None, "B", _against_allowed)
        for kind, what in _EDITS.items()
    ],
    *[Row(f"encoder, {what}", f"edit {kind}", "encoding", judge="at most") for kind, what in _EDITS.items()],
    Row("get_state of the latest (k=1000)", "sqlite normal 1000", "latest", must=1, aim=2),
    Row("history of 50, values touched (k=1000)", "sqlite normal 1000", "history touched", must=1),
    Row("history of 50, values untouched (k=1000)", "sqlite normal 1000", "history untouched", must=5),
    Row(
        "old checkpoint / latest, both from the store (k=1000)",
        "sqlite normal 1000",
        "old",
        "at most",
        3,
        None,
        "ms",
        _against_latest,
    ),
    Row("process memory after k=1000 on SQLite", "sqlite normal 1000", "resident", "at most", 60 * 2**20, unit="MB"),
]
