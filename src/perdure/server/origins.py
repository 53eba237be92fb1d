"""What pages in a browser may ask of the server: those of other origins, and those whose names only lead here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.server.config_file import CorsSpec
from perdure.server.responses import Json

if TYPE_CHECKING:
    from perdure.server.core import Core

_LOCAL: Final = CorsSpec(allow_origin_regex=r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_OWN_NAME: Final = re.compile(r"(localhost|[^:]+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)


async def _refuse(why: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403})
        return
    await Json({"detail": why}, 403)(scope, receive, send)


class Names:
    """Answers by this machine's own names alone, while anybody who reaches the server may do anything.

    A page on the internet may let its name lead to this machine after it was loaded; to a browser, the server is then
    of the page's own origin.

    Args:
        app: The application.
        core: The server.
    """

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self._app = app
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._core.guard.is_open and not self._core.settings.insecure:
            name = Headers(scope=scope).get("host", "")
            if not _OWN_NAME.fullmatch(name):
                why = f"this server answers to localhost alone, not to {name!r}; PERDURE_API_KEYS or --insecure open it"
                await _refuse(why, scope, receive, send)
                return
        await self._app(scope, receive, send)


class Origins:
    """Refuses to change anything for pages of other origins, unless the configuration lets them.

    A browser sends a page's request without asking first if it looks like a form, and from a page on the internet to
    this machine as well.

    Args:
        app: The application.
        allowed: Tells whether an origin may.
    """

    def __init__(self, app: ASGIApp, allowed: Callable[[str], bool]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_socket = scope["type"] == "websocket"
        if is_socket or (scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS")):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            own = headers.get("host", "")
            is_other = origin is not None and origin.partition("://")[2] != own and not self._allowed(origin)
            if is_other or (origin is None and headers.get("sec-fetch-site") == "cross-site"):
                await _refuse(f"pages of {origin or 'other origins'} may not do this", scope, receive, send)
                return
        await self._app(scope, receive, send)


def _allowing(cors: CorsSpec | None) -> Callable[[str], bool]:
    if cors is None:
        return lambda _: False
    pattern = None if cors.allow_origin_regex is None else re.compile(cors.allow_origin_regex)
    return lambda origin: (
        "*" in cors.allow_origins
        or origin in cors.allow_origins
        or (pattern is not None and pattern.fullmatch(origin) is not None)
    )


def guards(core: Core) -> list[Middleware]:
    """Return what stands before everything else: who is called, from which pages, and what those are told."""
    cors = core.config.http.cors or (_LOCAL if core.settings.local_pages else None)
    first = [Middleware(Names, core=core), Middleware(Origins, allowed=_allowing(cors))]
    if cors is None:
        return first
    from starlette.middleware.cors import CORSMiddleware

    return [
        *first,
        Middleware(
            CORSMiddleware,
            allow_origins=cors.allow_origins,
            allow_origin_regex=cors.allow_origin_regex,
            allow_methods=cors.allow_methods,
            allow_headers=cors.allow_headers,
            allow_credentials=cors.allow_credentials,
            expose_headers=cors.expose_headers,
            max_age=cors.max_age,
        ),
    ]
