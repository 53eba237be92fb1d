"""OpenTelemetry spans and metrics of runs; importing this needs opentelemetry-api (`pip install 'perdure[otel]'`).

A run is a span; within it each superstep, with a span for each of its tasks, and each operation of the storage. What a
node does in turn (an outside call, a graph that it calls) is within its task's span. Nothing is sent anywhere by
perdure: the providers that the program has set up decide that. Without `instrument`, a run pays nothing. What nodes are
given and return is told only if it is asked for, and each node's `TracePolicy` says what of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import Span, Status, StatusCode
except ImportError as missing:
    raise ImportError(
        "perdure.interop.otel needs opentelemetry-api: pip install 'perdure[otel]'", name=missing.name
    ) from missing

from perdure.interop.watching import SUPERSTEP, Watcher, is_signal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument"]

G = TypeVar("G")

_NAME = "perdure"


def instrument(
    graph: G,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    payloads: bool = False,
) -> G:
    """Return a copy of a graph whose runs are told to OpenTelemetry.

    Args:
        graph: A compiled graph or workflow. Graphs that its nodes call are told of too.
        tracer_provider: Where spans go; the program's by default.
        meter_provider: Where metrics go; the program's by default: `perdure.runs` (count, by graph and outcome),
            `perdure.superstep.duration`, `perdure.task.duration` (by node and outcome) and `perdure.storage.duration`
            (by operation), in seconds.
        payloads: Whether a task's span tells its input and output, as JSON in `perdure.input` and `perdure.output`;
            `add_node(trace_policy=...)` says what of them. They may hold what nobody else should see.
    """
    told = observer_of(tracer_provider, meter_provider, payloads=payloads)
    return graph.copy({"observer": told})  # type: ignore[attr-defined,no-any-return]


def observer_of(
    tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None = None, *, payloads: bool
) -> Any:
    """Return what is told of runs, for any number of graphs; see `instrument`."""
    return _Telemetry(tracer_provider, meter_provider, payloads=payloads)


class _Run(NamedTuple):
    """A run's span, and the context of what happens within it."""

    span: Span
    within: Context


class _Telemetry(Watcher):
    """Tells of runs; one for all runs of a graph."""

    tells_tasks = True

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None, *, payloads: bool
    ) -> None:
        from perdure import __version__

        self.payloads = payloads
        self.tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self.runs = meter.create_counter("perdure.runs", "1", "Runs that have ended.")
        self.supersteps = meter.create_histogram("perdure.superstep.duration", "s", "Time of supersteps.")
        self.tasks = meter.create_histogram("perdure.task.duration", "s", "Time of tasks, with their retries.")
        self.storage = meter.create_histogram("perdure.storage.duration", "s", "Time of a run's storage operations.")

    def begins(self, run: Any, name: str) -> _Run:
        where = {"perdure.graph": name, "perdure.durability": run.durability}
        if run.thread_id is not None:
            where["perdure.thread_id"] = run.thread_id
        if run.machine.ns:
            where["perdure.checkpoint_ns"] = run.machine.ns
        if run.run_id is not None:
            where["perdure.run_id"] = run.run_id
        span = self.tracer.start_span(f"run {name}", attributes=where)
        return _Run(span, trace.set_span_in_context(span))

    def ends(self, within: _Run, name: str, outcome: str, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            _fail(within.span, error)
        within.span.set_attribute("perdure.outcome", outcome)
        within.span.end()
        self.runs.add(1, {"graph": name, "outcome": outcome})

    def asks(self, run: Any, within: _Run, kind: str, effect: Any) -> Span:
        if kind != SUPERSTEP:
            return self.tracer.start_span(kind, within.within)
        step = run.machine.step
        span = self.tracer.start_span(
            f"superstep {step}", within.within, attributes={"perdure.step": step, "perdure.tasks": len(effect.tasks)}
        )
        run.within = trace.set_span_in_context(span)
        return span

    def answered(self, within: _Run, kind: str, asked: Span, seconds: float, error: BaseException | None) -> None:
        if error is not None:
            _fail(asked, error)
        asked.end()
        if kind == SUPERSTEP:
            self.supersteps.record(seconds)
        else:
            self.storage.record(seconds, {"operation": kind})

    @contextmanager
    def task(self, scope: Any) -> Iterator[None]:
        """Tell of a task while it runs, in the context in which it runs."""
        task, run = scope.task, scope.run
        about = {"perdure.node": task.name, "perdure.task_id": task.id, "perdure.step": run.machine.step}
        began = time.perf_counter()
        with self.tracer.start_as_current_span(task.name, getattr(run, "within", None), attributes=about) as span:
            policy = task.node.trace
            if self.payloads:
                _tell(span, "perdure.input", policy and policy.process_inputs, task.input)
            yield
            if self.payloads and task.failure is None:
                output = _output(run.plan.stream_channels, task.writes)
                _tell(span, "perdure.output", policy and policy.process_outputs, output)
            failure = task.failure
            outcome = "done" if failure is None else type(failure).__name__
            span.set_attribute("perdure.attempts", task.attempt)
            span.set_attribute("perdure.outcome", outcome)
            if failure is not None and not is_signal(failure):
                _fail(span, failure)
        self.tasks.record(time.perf_counter() - began, {"node": task.name, "outcome": outcome})


def _output(channels: str | list[str], writes: list[tuple[str, Any]]) -> Any:
    """Return what a task wrote to the state; a list of several writes to one key."""
    names = (channels,) if isinstance(channels, str) else channels
    found: dict[str, list[Any]] = {}
    for name, value in writes:
        if name in names:
            found.setdefault(name, []).append(value)
    told = {name: values[0] if len(values) == 1 else values for name, values in found.items()}
    return told.get(channels) if isinstance(channels, str) else told


def _tell(span: Span, name: str, process: Callable[[Any], Any] | None, value: Any) -> None:
    """Tell a value as JSON. What a policy raises is told in its place: it is no failure of the node."""
    try:
        told = json.dumps(value if process is None else process(value), default=repr, ensure_ascii=False)
    except Exception as error:  # noqa: BLE001 - a policy may raise anything
        span.record_exception(error, {"perdure.of": name})
    else:
        span.set_attribute(name, told)


def _fail(span: Span, error: BaseException) -> None:
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
