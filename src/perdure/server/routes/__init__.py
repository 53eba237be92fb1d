"""The routes, one file a resource, and what they share: how a request becomes a call of a handler.

A handler is given the call, and the body as its Struct if it has one; it returns an answer or a value to be sent as
JSON. Its first line of documentation is the route's in /openapi.json.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import time
from collections.abc import Awaitable, Callable, Container, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perdure.server.bodies import decoded, read_body
from perdure.server.encoding import number_in
from perdure.server.errors import InvalidRequestError, NotFoundError, TooManyError, status_of
from perdure.server.responses import Json

if TYPE_CHECKING:
    from perdure.server.answers import Answer
    from perdure.server.auth import User
    from perdure.server.config_file import Headers as HeaderNames
    from perdure.server.core import Core

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

NOTHING: Final = 204
SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
USER: Final = "perdure.user"
"""Where a request's scope has who asks, if that was asked before."""

_log = logging.getLogger("perdure.server.http")


def is_uuid(text: str) -> bool:
    """Tell whether a text is an id."""
    return _UUID.fullmatch(text) is not None


class Call:
    """A request, as handlers see it.

    Args:
        core: The server.
        request: The request.
        user: Who asks, if that is known.
    """

    def __init__(self, core: Core, request: Request, user: User | None) -> None:
        self.core = core
        self.request = request
        self.user = user

    async def filters(self, resource: str, action: str, value: dict[str, Any]) -> str | None:
        """Ask whether the caller may do something; see `Guard.filters`."""
        return await self.core.guard.filters(self.user, resource, action, value)

    @property
    def caller(self) -> dict[str, Any] | None:
        """Who asks, as a run keeps it."""
        return None if self.user is None else self.user.to_dict()

    def id(self, name: str) -> str:
        """Return an id of the path.

        Raises:
            InvalidRequestError: It is no UUID.
        """
        text: str = self.request.path_params[name]
        if not _UUID.fullmatch(text):
            raise InvalidRequestError(f"{name} must be a UUID, not {text!r}")
        return text.lower()

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a query parameter that is yes or no."""
        text = self.request.query_params.get(name)
        return default if text is None else text.lower() in ("1", "true", "yes")

    def number(self, name: str, default: int, *, most: int | None = None) -> int:
        """Return a query parameter that is a number.

        Raises:
            InvalidRequestError: It is none, or out of bounds.
        """
        text = self.request.query_params.get(name)
        if text is None:
            return default
        found = number_in(text)
        if found is None or (most is not None and not 1 <= found <= most):
            raise InvalidRequestError(f"{name} must be a number{f' from 1 to {most}' if most else ''}, not {text!r}")
        return found

    def words(self, *names: str) -> list[str]:
        """Return the values of a query parameter that may be repeated, or hold several: with commas, or as JSON."""
        given = [text for name in names for text in self.request.query_params.getlist(name)]
        return [word for text in given for word in _several(text) if word]


def _several(text: str) -> list[str]:
    """Read several words; the SDK for JavaScript sends a list as JSON."""
    if not text.startswith("["):
        return text.split(",")
    try:
        return _words.decode(text)
    except msgspec.DecodeError as e:
        raise InvalidRequestError(f"{text!r} is no list of words: {e}") from e


_words = msgspec.json.Decoder(list[str])

Handler = Callable[..., Awaitable[Any]]


class Endpoint(NamedTuple):
    """A route.

    Attributes:
        method: GET, POST, ...
        path: With parameters in braces.
        handler: What answers.
        body: The Struct of the body, or a list of it; None: there is no body.
        tag: The resource.
        is_open: Whether it is answered without asking who it is.
        answers: How it answers if nothing is wrong.
    """

    method: str
    path: str
    handler: Handler
    body: Any = None
    tag: str = ""
    is_open: bool = False
    answers: tuple[Answer, ...] = ()


def answerer(core: Core, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Make what Starlette calls for a route."""
    decoder = None if endpoint.body is None else msgspec.json.Decoder(endpoint.body)
    labels = (endpoint.method, endpoint.path)
    wanted = core.config.http.logging_headers
    logged = None if wanted is None else partial(chosen_headers, wanted, SECRET_HEADERS)

    async def answer(request: Request) -> Response:
        if b"%00" in request.scope["query_string"] or "\0" in request.url.path:
            raise InvalidRequestError("an address can't have NUL characters")
        user = None if endpoint.is_open else await user_of(core, request)
        call = Call(core, request, user)
        arguments = () if decoder is None else (decoded(decoder, await read_body(request, core.settings.largest_body)),)
        found = await endpoint.handler(call, *arguments)
        return found if isinstance(found, Response) else Json(found)

    async def traced(request: Request) -> Response:
        if (telemetry := core.telemetry) is None:
            return await told(request)
        with telemetry.request(*labels, request.headers) as span:
            status = 500
            try:
                response = await told(request)
                status = response.status_code
            except Exception as e:
                status = status_of(e)
                raise
            finally:
                telemetry.answered(span, status)
            return response

    async def told(request: Request) -> Response:
        began, status = time.perf_counter(), 500
        try:
            response = await answer(request)
            status = response.status_code
        except Exception as e:
            status = status_of(e)
            raise
        finally:
            seconds = time.perf_counter() - began
            core.metrics.requests.labels(*labels, str(status)).observe(seconds)
            if logged is not None:
                about = {"status": status, "seconds": round(seconds, 4), "headers": logged(request.headers)}
                _log.info("%s %s", request.method, request.url.path, extra={"fields": about})
        return response

    return traced


async def user_of(core: Core, request: Request) -> User | None:
    """Return who asks; see `Guard.user_of`."""
    if USER in request.scope:
        return request.scope[USER]  # type: ignore[no-any-return]
    return await core.guard.user_of(request)


def chosen_headers(wanted: HeaderNames, secret: Container[str], headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a pattern chooses; what is secret isn't chosen by a pattern, only by its name."""

    def is_chosen(name: str) -> bool:
        patterns = [pattern.lower() for pattern in wanted.includes]
        if any(fnmatch.fnmatch(name, pattern.lower()) for pattern in wanted.excludes):
            return False
        return name in patterns or (name not in secret and any(fnmatch.fnmatch(name, p) for p in patterns))

    return {name: value for name, value in headers.items() if is_chosen(name)}


def nothing() -> Response:
    """Answer that it is done, and there is nothing to say."""
    return Response(status_code=NOTHING)


def page(call: Call, rows: list[Any], limit: int, offset: int) -> tuple[list[Any], dict[str, str]]:
    """Return the rows of a page, of which one more was read, and the headers that say whether there are more."""
    shown = rows[:limit]
    more = len(rows) > limit
    headers = {"X-Pagination-Total": str(offset + len(shown) + more)}
    if more:
        headers["X-Pagination-Next"] = str(offset + limit)
    return shown, headers


def check_streams(core: Core) -> None:
    """Refuse one more who listens, if there are too many.

    Raises:
        TooManyError: There are.
    """
    if core.streams.count >= core.settings.most_streams:
        raise TooManyError(f"{core.settings.most_streams} clients listen already")


def found_or_404(found: Any, what: str) -> Any:
    """Return what was found.

    Raises:
        NotFoundError: Nothing was.
    """
    if found is None or found is False:
        raise NotFoundError(f"there is no {what}")
    return found
