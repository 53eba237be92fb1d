"""Whether the server lives, what it is, what it counts."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.responses import Response

from perdure import __version__
from perdure.server import answers
from perdure.server.database import queues
from perdure.server.errors import ForbiddenError
from perdure.server.routes import Call, Endpoint


async def ok(call: Call) -> Any:
    """Tell that the server lives; with `check_db=1`, that its database answers."""
    if call.flag("check_db"):
        await call.core.database.read(queues.depth)
    return {"ok": True}


async def info(call: Call) -> Any:
    """Tell what the server is, and what it can do."""
    flags = {"assistants": True, "crons": True, "langsmith": False, "langsmith_tracing_replicas": False}
    return {
        "version": __version__,
        "langgraph_py_version": _version("langgraph"),
        "python_version": platform.python_version(),
        "flags": flags,
        "host": {"kind": "self-hosted", "project_id": None, "host_revision_id": None, "revision_id": None,
                 "tenant_id": None},
        "graphs": call.core.graphs.names,
    }  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


async def metrics(call: Call) -> Any:
    """Tell the figures, as Prometheus reads them, or with `format=json` the most important ones."""
    if await call.filters("metrics", "read", {"metadata": {}}) is not None:
        raise ForbiddenError("a filter can't say which figures may be seen", hint='@auth.on: True for "metrics"')
    if call.request.query_params.get("format") == "json":
        return await call.core.metrics.measure(call.core)
    return Response(await call.core.metrics.page(call.core), media_type="text/plain; version=0.0.4; charset=utf-8")


ENDPOINTS = [
    Endpoint("GET", "/ok", ok, tag="System", is_open=True, answers=answers.ok(answers.Alive)),
    Endpoint("GET", "/info", info, tag="System", is_open=True, answers=answers.ok(answers.Info)),
    Endpoint(
        "GET",
        "/metrics",
        metrics,
        tag="System",
        answers=(answers.Answer(200, answers.Figures), answers.Answer(200, str, "text/plain")),
    ),
]
