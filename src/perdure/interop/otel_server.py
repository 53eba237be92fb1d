"""OpenTelemetry spans of what a server does, requests and runs, joined over processes by W3C trace context.

A request is a span within the one that its `traceparent` names. A run that it makes keeps that context, so that whoever
runs it, in any process and as often as it takes, does so within the same trace. See https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from perdure.interop.otel import observer_of

try:
    from opentelemetry import trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as missing:
    raise ImportError(
        "perdure.interop.otel_server needs opentelemetry-api: pip install 'perdure[otel]'", name=missing.name
    ) from missing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["Telemetry"]

_PROPAGATOR = TraceContextTextMapPropagator()
_SERVER_ERROR = 500


class Telemetry:
    """Tells of requests and runs.

    Args:
        provider: Where spans go; the program's by default.
        payloads: Whether spans tell what nodes are given and return.

    Attributes:
        observer: Tells of what graphs do.
    """

    def __init__(self, provider: TracerProvider | None, *, payloads: bool) -> None:
        from perdure import __version__

        self._provider = provider
        self._tracer = trace.get_tracer("perdure.server", __version__, provider)
        self.observer = observer_of(provider, payloads=payloads)

    @contextmanager
    def request(self, method: str, route: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """Tell of a request until its answer begins."""
        about = {"http.request.method": method, "http.route": route}
        parent = _PROPAGATOR.extract(headers)
        with self._tracer.start_as_current_span(
            f"{method} {route}", parent, SpanKind.SERVER, about, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    @staticmethod
    def answered(span: Span, status: int) -> None:
        """Tell how a request was answered; what the client did wrong is no error of the server."""
        span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))

    @staticmethod
    def carried() -> dict[str, str] | None:
        """Return the trace context of now, for a run to keep; None if there is none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier or None

    @contextmanager
    def run(self, run: Mapping[str, Any]) -> Iterator[None]:
        """Tell of a run while a worker has it, within the trace that it keeps."""
        about = {f"perdure.{name}": run[name] for name in ("run_id", "thread_id", "assistant_id", "attempt", "queue")}
        about["perdure.graph"] = run["graph_id"]
        parent = _PROPAGATOR.extract(run["trace"] or {})
        with self._tracer.start_as_current_span(f"job {run['graph_id']}", parent, SpanKind.CONSUMER, about):
            yield

    def close(self) -> None:
        """Send what hasn't been sent, if the provider is the server's own."""
        provider: Any = self._provider  # `shutdown` is the SDK's, not the API's
        if hasattr(provider, "shutdown"):
            provider.shutdown()
