"""Whether and where the server tells of requests and runs: `telemetry` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from perdure.errors import InvalidConfigError
from perdure.server.graphs import load_object

if TYPE_CHECKING:
    from perdure.interop.otel_server import Telemetry
    from perdure.server.config_file import TelemetrySpec


def telemetry_of(spec: TelemetrySpec | None, folder: Path) -> Telemetry | None:
    """Return what tells of requests and runs; None if nobody is told.

    Raises:
        InvalidConfigError: OpenTelemetry isn't installed, or there is no such provider.
    """
    if spec is None:
        return None
    try:
        from perdure.interop.otel_server import Telemetry
    except ImportError as missing:
        raise InvalidConfigError(
            f"telemetry: needs {missing.name}, not installed here", hint="pip install 'perdure[otel]'"
        ) from missing
    provider = None if spec.provider is None else load_object(spec.provider, folder, "telemetry.provider")
    if provider is not None and not hasattr(provider, "get_tracer"):
        provider = provider()
    return Telemetry(provider, payloads=spec.payloads)
