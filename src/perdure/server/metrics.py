"""Figures for Prometheus: the queue, runs, streams, requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from perdure.interop.prometheus import Figures
from perdure.server.database import now, queues

if TYPE_CHECKING:
    from perdure.server.core import Core

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """What is counted in this process.

    Attributes:
        figures: Supersteps and storage operations of graphs.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.figures = Figures(self.registry)
        self.stored = Gauge(
            "perdure_stored_bytes", "What the database's tables and indexes take", registry=self.registry
        )
        self.connections = Gauge("perdure_database_connections", "Those of a pool, and callers who wait for one",
            ["pool", "state"], registry=self.registry)  # fmt: skip
        self.runs = Counter("perdure_runs", "Runs that have ended here", ["graph_id", "status"], registry=self.registry)
        self.seconds = Histogram(
            "perdure_run_seconds", "From the making of a run to its end", ["graph_id"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.requests = Histogram(
            "perdure_request_seconds", "From a request to the begin of its answer", ["method", "route", "status"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.recovered = Counter("perdure_runs_recovered", "Runs taken over from the dead", registry=self.registry)
        self.dead = Counter("perdure_runs_given_up", "Runs whose workers died too often", registry=self.registry)
        self.pending = Gauge("perdure_queue_depth", "Runs by status", ["status"], registry=self.registry)
        self.queued = Gauge("perdure_queue_runs", "Runs of a queue", ["queue", "status"], registry=self.registry)
        self.ages = Gauge("perdure_queue_oldest_seconds", "How long a queue's oldest run waits", ["queue"],
            registry=self.registry)  # fmt: skip
        self.limits = Gauge("perdure_queue_limit", "How many of a queue's runs may run", ["queue"],
            registry=self.registry)  # fmt: skip
        self.age = Gauge("perdure_queue_age_seconds", "How long the oldest run waits", registry=self.registry)
        self.streams = Gauge("perdure_streams", "Clients that listen", registry=self.registry)
        self.active = Gauge("perdure_jobs_active", "Runs that this process does now", registry=self.registry)
        self.room = Gauge("perdure_jobs_free", "Runs that this process would take", registry=self.registry)

    def ended(self, run: dict[str, Any], status: str) -> None:
        """Count a run that has ended here."""
        self.runs.labels(run["graph_id"], status).inc()
        self.seconds.labels(run["graph_id"]).observe(max(0.0, now() - run["created_at"]))

    async def page(self, core: Core) -> bytes:
        """Return the figures as Prometheus reads them."""
        await self.measure(core)
        self.stored.set(await core.database.stored_bytes())
        for pool, used in (("server", core.database.pool), ("checkpoints", getattr(core.saver, "pool", None))):
            for state, count in (used._asdict() if used is not None else {}).items():
                self.connections.labels(pool, state).set(count)
        return generate_latest(self.registry)

    async def measure(self, core: Core) -> dict[str, Any]:
        """Measure what isn't counted as it happens; return it."""
        by_queue = await core.database.read(queues.depth)
        shown = {name: self._measured(name, by_queue.get(name, {})) for name in {*core.queues.names, *by_queue}}
        for limit in core.queues.limits:
            if limit.max_running is not None:
                self.limits.labels(limit.queue).set(limit.max_running)
        waiting = sum(one["num_pending"] for one in shown.values())
        running = sum(one["num_running"] for one in shown.values())
        oldest = min((one["pending"][1] for one in by_queue.values() if "pending" in one), default=now())
        self.pending.labels("pending").set(waiting)
        self.pending.labels("running").set(running)
        age = max(0.0, now() - oldest)
        self.age.set(age)
        self.streams.set(core.streams.count)
        self.active.set(len(core.worker.active))
        self.room.set(core.worker.room)
        return {
            "queue": {"num_pending": waiting, "num_running": running, "oldest_pending_seconds": age},
            "queues": shown,
            "workers": {"active": len(core.worker.active), "available": core.worker.room},
            "api": {"streams": core.streams.count},
        }

    def _measured(self, queue: str, found: Mapping[str, tuple[int, float]]) -> dict[str, Any]:
        counts = {status: found.get(status, (0, 0.0))[0] for status in ("pending", "running")}
        for status, count in counts.items():
            self.queued.labels(queue, status).set(count)
        age = max(0.0, now() - found["pending"][1]) if "pending" in found else 0.0
        self.ages.labels(queue).set(age)
        return {**{f"num_{status}": count for status, count in counts.items()}, "oldest_pending_seconds": age}
