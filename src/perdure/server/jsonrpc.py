"""JSON-RPC 2.0, as MCP and A2A speak it: requests in, answers and errors out."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from perdure.errors import PerdureError, UsageError
from perdure.server.errors import ForbiddenError, NotAuthenticatedError, RequestError

_log = logging.getLogger("perdure.server.rpc")

PARSE: Final = -32700
INVALID_REQUEST: Final = -32600
NO_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32603
FORBIDDEN: Final = -32000


class Request(msgspec.Struct, kw_only=True):
    """A request, or a notification, which has no id and gets no answer."""

    jsonrpc: str
    method: str
    params: dict[str, Any] | None = None
    id: str | int | None | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_notification(self) -> bool:
        """Whether nobody waits for an answer."""
        return self.id is msgspec.UNSET


class RpcError(RequestError):
    """An error with a number.

    Args:
        code: The number.
        message: What is wrong.
    """

    def __init__(self, code: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.code, str(self)))


def request_of(data: bytes) -> Request:
    """Read a request.

    Raises:
        RpcError: It is none.
    """
    try:
        found = _decoder.decode(data)
    except msgspec.ValidationError as e:
        raise RpcError(INVALID_REQUEST, str(e)) from e
    except (msgspec.DecodeError, RecursionError) as e:
        raise RpcError(PARSE, str(e)) from e
    if found.jsonrpc != "2.0":
        raise RpcError(INVALID_REQUEST, f"jsonrpc must be '2.0', not {found.jsonrpc!r}")
    return found


def params_of(request: Request, kind: Any) -> Any:
    """Return a request's parameters as a Struct.

    Raises:
        RpcError: They aren't of that form; the message names the field.
    """
    try:
        return msgspec.convert(request.params or {}, kind)
    except msgspec.ValidationError as e:
        raise RpcError(INVALID_PARAMS, str(e)) from e


def answer(request: Request | None, result: Any) -> dict[str, Any]:
    """Return an answer."""
    return {"jsonrpc": "2.0", "id": _id(request), "result": result}


def failure(request: Request | None, error: Exception) -> dict[str, Any]:
    """Return an error as an answer."""
    code, message = INTERNAL, str(error)
    if isinstance(error, RpcError):
        code = error.code
    elif isinstance(error, (ForbiddenError, NotAuthenticatedError)):
        code = FORBIDDEN
    elif isinstance(error, UsageError):
        code = INVALID_PARAMS
    else:
        _log.error("a request failed: %s", error, exc_info=error)
        message = type(error).__name__ if isinstance(error, PerdureError) else "internal error"
    return {"jsonrpc": "2.0", "id": _id(request), "error": {"code": code, "message": message}}


def _id(request: Request | None) -> Any:
    return None if request is None or request.id is msgspec.UNSET else request.id


_decoder = msgspec.json.Decoder(Request)
