"""The user's own application: its middleware is the whole server's, and runs before or after it is asked who it is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.server.errors import RequestError
from perdure.server.responses import Json
from perdure.server.routes import USER, Endpoint

if TYPE_CHECKING:
    from perdure.server.core import Core


def without_middleware(own: Any) -> Any:
    """Return an application as it is without its middleware, if it has that of Starlette; its state is shared."""
    if not getattr(own, "user_middleware", None):
        return own
    bare = copy.copy(own)
    bare.user_middleware = []
    bare.middleware_stack = None
    return bare


def middleware_of(own: Any, core: Core, endpoints: Sequence[Endpoint]) -> list[Middleware]:
    """Return an application's middleware, in the order that the configuration says."""
    found: list[Middleware] = list(getattr(own, "user_middleware", ()))
    if found and core.config.http.middleware_order == "auth_first":
        return [Middleware(AuthFirst, core=core, endpoints=endpoints), *found]
    return found


class AuthFirst:
    """Asks who it is before the middleware is asked anything.

    Args:
        app: What comes then.
        core: The server.
        endpoints: The server's routes.
    """

    def __init__(self, app: ASGIApp, core: Core, endpoints: Sequence[Endpoint]) -> None:
        self._app = app
        self._core = core
        self._asks_elsewhere = core.config.http.enable_custom_route_auth
        prefix = core.config.http.mount_prefix or ""
        self._routes = [(e.is_open, Route(prefix + e.path, _nothing, methods=[e.method])) for e in endpoints]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (parameters := self._asked(scope)) is not None:
            request = Request({**scope, **parameters}, receive)
            try:
                scope[USER] = scope["user"] = await self._core.guard.user_of(request)
            except RequestError as e:
                await Json({"detail": e.detail}, e.status)(scope, receive, send)
                return
            receive = read_again(request, receive)
        await self._app(scope, receive, send)

    def _asked(self, scope: Scope) -> dict[str, Any] | None:
        """Return what the path says, None if the request is for everybody."""
        for is_open, route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return None if is_open else {"path_params": found["path_params"]}
        return {} if self._asks_elsewhere else None


def read_again(request: Request, receive: Receive) -> Receive:
    """Return what gives a body that was read to whoever comes then."""
    body = getattr(request, "_body", None)
    if body is None:
        return receive
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _nothing(request: Request) -> None:
    """Stand for a route's handler where only its path is compared."""
