"""What OpenTelemetry is told of runs."""

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.graph import START, StateGraph
from perdure.interop.otel import instrument
from perdure.types import RetryPolicy, TracePolicy, interrupt, omit_payload

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    n: int


class Told:
    """Where spans and metrics go."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def of(self, graph: Any, **options: Any) -> Any:
        return instrument(graph, tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def tree(self) -> set[tuple[str, str | None]]:
        """Return the spans and what each is within."""
        spans = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        return {(span.name, names[span.parent.span_id] if span.parent else None) for span in spans}

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        found = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics if m.name == name]
        return [point for metric in found for point in metric.data.data_points]


@pytest.fixture
def told():
    return Told()


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    if request.param == "sync":
        return lambda graph, *args, **kwargs: graph.invoke(*args, **kwargs)
    return lambda graph, *args, **kwargs: asyncio.run(graph.ainvoke(*args, **kwargs))


def test_runs_supersteps_tasks_and_storage(told, invoke):
    def node(state: State) -> Any:
        with told.tracers.get_tracer("mine").start_as_current_span("outside call"):
            return {"n": state["n"] + 1}

    inner = StateGraph(State).add_node("deep", node).add_edge(START, "deep").compile(name="inner")
    builder = StateGraph(State).add_node("a", node).add_node("b", node).add_node("sub", inner)
    builder.add_edge(START, "a").add_edge("a", "sub")
    graph = told.of(builder.compile(checkpointer=InMemorySaver(), name="outer"))
    assert invoke(graph, {"n": 0}, THREAD)["n"] == 2
    tree = told.tree()
    assert {
        ("run outer", None),
        ("load", "run outer"),
        ("store", "run outer"),
        ("superstep 1", "run outer"),
        ("a", "superstep 1"),
        ("outside call", "a"),
        ("sub", "superstep 2"),
        ("run inner", "sub"),
        ("superstep 1", "run inner"),
        ("deep", "superstep 1"),
        ("outside call", "deep"),
    } <= tree
    assert told.spans["run outer"].attributes["perdure.thread_id"] == "t"
    assert told.spans["run outer"].attributes["perdure.outcome"] == "done"
    assert {(p.attributes["graph"], p.attributes["outcome"], p.value) for p in told.points("perdure.runs")} == {
        ("outer", "done", 1),
        ("inner", "done", 1),
    }
    assert {p.attributes["node"] for p in told.points("perdure.task.duration")} >= {"a", "sub", "deep"}
    assert {p.attributes["operation"] for p in told.points("perdure.storage.duration")} == {"load", "store"}


def test_a_run_is_within_its_callers_span(told, invoke):
    graph = told.of(StateGraph(State).add_node("a", lambda state: None).add_edge(START, "a").compile(name="g"))
    with told.tracers.get_tracer("mine").start_as_current_span("request"):
        invoke(graph, {"n": 0})
        assert trace.get_current_span().name == "request"
    assert ("run g", "request") in told.tree()


def test_failures_are_told_and_questions_are_none(told, invoke):
    tries = []

    def shaky(state: State) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("no")
        raise ValueError("never")

    retry = RetryPolicy(initial_interval=0, jitter=False)
    builder = StateGraph(State).add_node("shaky", shaky, retry_policy=retry).add_edge(START, "shaky")
    graph = told.of(builder.compile(checkpointer=InMemorySaver(), name="g"))
    with pytest.raises(ValueError, match="never"):
        invoke(graph, {"n": 0}, THREAD)
    span = told.spans["shaky"]
    assert not span.status.is_ok
    assert span.attributes["perdure.attempts"] == 3
    assert [event.name for event in span.events] == ["exception"]
    assert told.spans["run g"].attributes["perdure.outcome"] == "ValueError"

    told.exporter.clear()
    asks = StateGraph(State).add_node("ask", lambda state: interrupt("?")).add_edge(START, "ask")
    assert "__interrupt__" in invoke(told.of(asks.compile(checkpointer=InMemorySaver(), name="asks")), {"n": 0}, THREAD)
    assert told.spans["run asks"].status.is_unset
    assert told.spans["run asks"].attributes["perdure.outcome"] == "interrupted"
    assert told.spans["ask"].status.is_unset


def test_a_stream_that_is_left_ends_its_spans(told):
    builder = StateGraph(State).add_node("a", lambda state: None).add_node("b", lambda state: None)
    graph = told.of(builder.add_edge(START, "a").add_edge("a", "b").compile(checkpointer=InMemorySaver(), name="g"))
    events = graph.stream({"n": 0}, THREAD)
    next(events)
    events.close()
    assert told.spans["run g"].attributes["perdure.outcome"] == "abandoned"


def test_parallel_tasks_are_beside_each_other(told, invoke):
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, lambda state: None).add_edge(START, name)
    invoke(told.of(builder.compile(name="g")), {"n": 0})
    assert {("a", "superstep 1"), ("b", "superstep 1"), ("c", "superstep 1")} <= told.tree()


def fails_on_purpose(_value: Any) -> Any:
    raise ValueError("a policy's own mistake")


POLICIES = {
    "open": None,
    "hidden": TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload),
    "counted": TracePolicy(process_inputs=lambda state: {"keys": len(state)}),
    "broken": TracePolicy(process_inputs=fails_on_purpose),
}


def traced_graph() -> Any:
    builder = StateGraph(State)
    before = START
    for name, policy in POLICIES.items():
        builder.add_node(name, lambda state: {"n": state["n"] + 1}, trace_policy=policy).add_edge(before, name)
        before = name
    return builder.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_payloads_are_told_as_each_policy_says(told, colour):
    graph = told.of(traced_graph(), payloads=True)
    result = graph.invoke({"n": 0}, THREAD) if colour == "sync" else asyncio.run(graph.ainvoke({"n": 0}, THREAD))
    assert result == {"n": 4}
    found = {
        name: (told.spans[name].attributes.get("perdure.input"), told.spans[name].attributes.get("perdure.output"))
        for name in POLICIES
    }
    assert found == {
        "open": ('{"n": 0}', '{"n": 1}'),
        "hidden": ("{}", "{}"),
        "counted": ('{"keys": 1}', '{"n": 3}'),
        "broken": (None, '{"n": 4}'),
    }
    [event] = told.spans["broken"].events
    assert event.attributes["exception.message"] == "a policy's own mistake"
    assert told.spans["broken"].status.is_ok


def test_payloads_are_told_only_if_asked_for(told):
    told.of(traced_graph()).invoke({"n": 0}, THREAD)
    assert not any("perdure.input" in span.attributes for span in told.spans.values())
    assert not any("perdure.output" in span.attributes for span in told.spans.values())


def test_what_json_does_not_know_is_described(told):
    class Opaque:
        def __repr__(self) -> str:
            return "<opaque>"

    class Any_(TypedDict):
        x: Any

    builder = StateGraph(Any_).add_node("n", lambda _: {"x": {1, 2}}).add_edge(START, "n")
    told.of(builder.compile(), payloads=True).invoke({"x": Opaque()})
    attributes = told.spans["n"].attributes
    assert (attributes["perdure.input"], attributes["perdure.output"]) == ('{"x": "<opaque>"}', '{"x": "{1, 2}"}')
