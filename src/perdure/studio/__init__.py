"""The console: a page for people, served by the server beside its API. No build step, no framework, no network.

`files/` is sent as it is: modules, styles, one page. It knows no more of the server than any client does: the public
API, which asks for an API key if the server has some; the files themselves say nothing, and are open.

Rules:
1. Every value is a stranger's. Text is set as text, never parsed as markup; the policy that comes with each file has
   the browser refuse the rest: scripts and styles of other places, inline ones, and markup made from strings.
2. Files name each other relatively, so that a prefix in front of the server changes nothing.
3. A file is asked for each time, and sent again only if it has changed (RFC 9110, section 13.1.2).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

__all__ = ["PLACE", "routes"]

PLACE: Final = "/console"
"""Where the page is, whoever has `/`."""

_FILES: Final = Path(__file__).with_name("files")
_PAGE: Final = "index.html"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


class File(NamedTuple):
    """A file as it is sent.

    Attributes:
        data: Its bytes.
        headers: With its type, its ETag, and what a browser may do with it.
    """

    data: bytes
    headers: dict[str, str]


def routes(*, at_root: bool) -> list[BaseRoute]:
    """Return the routes of the console.

    Args:
        at_root: Whether the page is at `/` too.
    """
    files = {path.name: _read(path) for path in sorted(_FILES.iterdir()) if path.suffix in _TYPES}

    async def page(request: Request) -> Response:
        return _answer(request, files[_PAGE])

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        return Response("no such file", 404) if found is None else _answer(request, found)

    places = ("/", PLACE) if at_root else (PLACE,)
    return [*(Route(place, page) for place in places), Route(f"{PLACE}/{{name}}", file)]


def _read(path: Path) -> File:
    data = path.read_bytes()
    kind = _TYPES[path.suffix]
    return File(
        data,
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "ETag": f'"{hashlib.blake2s(data, digest_size=12).hexdigest()}"',
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _answer(request: Request, file: File) -> Response:
    """Send a file, or say that the browser has it already."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=file.headers)
    return Response(file.data, headers=file.headers)
