"""The ASGI application: routes, errors as answers, the user's own application behind them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure import studio
from perdure.errors import PerdureError, StorageError
from perdure.server import openapi
from perdure.server.core import Core
from perdure.server.errors import RequestError, status_of
from perdure.server.graphs import load_object
from perdure.server.origins import guards
from perdure.server.own_app import middleware_of, read_again, without_middleware
from perdure.server.responses import Json
from perdure.server.routes import (
    Endpoint,
    a2a,
    answerer,
    assistants,
    crons,
    mcp,
    perdure,
    protocol,
    runs,
    state,
    store,
    system,
    threads,
    user_of,
)

if TYPE_CHECKING:
    from perdure.server.config_file import HttpSpec

_log = logging.getLogger("perdure.server.http")


def endpoints_of(http: HttpSpec) -> list[Endpoint]:
    """Return the routes that the configuration leaves on."""
    found = []
    if not http.disable_assistants:
        found += assistants.ENDPOINTS
    if not http.disable_crons:
        found += crons.ENDPOINTS  # before the runs: /runs/crons is no run
    if not http.disable_threads:
        found += [*threads.ENDPOINTS, *state.ENDPOINTS, *perdure.THREADS]
    if not (http.disable_threads or http.disable_runs):
        found += protocol.ENDPOINTS
    if not http.disable_runs:
        found += [*runs.ENDPOINTS, *perdure.RUNS]
    if not http.disable_store:
        found += store.ENDPOINTS
    if not http.disable_mcp:
        found += mcp.ENDPOINTS
    if not http.disable_a2a:
        found += a2a.ENDPOINTS
    if not http.disable_meta:
        found += system.ENDPOINTS
    return found


def make_app(core: Core) -> Starlette:
    """Assemble the application; it starts and stops the server with its own life."""
    http = core.config.http
    endpoints = endpoints_of(http)
    routes: list[BaseRoute] = [Route(e.path, answerer(core, e), methods=[e.method]) for e in endpoints]
    if not (http.disable_threads or http.disable_runs):
        routes.append(WebSocketRoute(protocol.STREAM, protocol.connector(core)))
    if not http.disable_meta:
        routes += _documentation(core, endpoints)
    own = load_object(http.app, core.folder, "http.app") if http.app else None
    if not http.disable_ui:
        routes += studio.routes(at_root=own is None)
    if own is not None:
        bare = without_middleware(own)
        routes.append(Mount("/", app=Guarded(bare, core) if http.enable_custom_route_auth else bare))
    if http.mount_prefix:
        routes = [Mount(http.mount_prefix, routes=routes)]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await core.start()
            stack.push_async_callback(core.stop)
            inner = getattr(getattr(own, "router", None), "lifespan_context", None)
            if inner is not None:
                await stack.enter_async_context(inner(own))
            yield

    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[*guards(core), *middleware_of(own, core, endpoints)],
        exception_handlers={PerdureError: _answer_error, Exception: _answer_bug},
    )


def _documentation(core: Core, endpoints: list[Endpoint]) -> list[BaseRoute]:
    prefix = core.config.http.mount_prefix or ""
    auth = None if core.config.auth is None else core.config.auth.openapi

    async def description(request: Request) -> Response:
        return Json(openapi.describe(endpoints, auth))

    async def docs(request: Request) -> Response:
        return HTMLResponse(openapi.page(endpoints, prefix))

    return [Route("/openapi.json", description), Route("/docs", docs)]


class Guarded:
    """Asks who it is before the user's own application is asked anything.

    Args:
        app: The application.
        core: The server.
    """

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self._app = app
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            try:
                scope["user"] = await user_of(self._core, request)
            except RequestError as e:
                await Json({"detail": e.detail}, e.status)(scope, receive, send)
                return
            receive = read_again(request, receive)
        elif scope["type"] == "websocket" and not self._core.guard.is_open:
            await send({"type": "websocket.close", "code": 1008})  # there is no request whose user could be asked for
            return
        await self._app(scope, receive, send)


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer with the error's own words; what is the storage's fault isn't the client's business."""
    status = status_of(error)
    if status >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
        what = type(error).__name__ if isinstance(error, StorageError) else "internal error"
        return Json({"detail": what}, status)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Json({"detail": str(error)}, status, headers)


async def _answer_bug(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return Json({"detail": "internal error"}, 500)


def from_settings(settings: Any) -> Starlette:
    """Make the application of settings: for other ASGI servers."""
    return make_app(Core(settings))
