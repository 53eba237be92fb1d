"""The bodies of requests: read, but not without end; decoded, and refused if not every database can hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from starlette.requests import Request

from perdure.server.encoding import number_in
from perdure.server.errors import InvalidRequestError, TooLargeError

_DEEPEST: Final = 100
_NUL: Final = b"\\u0000"
_FREE: Final = frozenset({"command", "config", "context", "input", "supersteps", "update", "value", "values"})


async def read_body(request: Request, most: int) -> bytes:
    """Read a body, but not one that is too large.

    Raises:
        TooLargeError: It is.
    """
    length = number_in(request.headers.get("content-length", ""))
    if length is not None:
        if length > most:
            raise TooLargeError(f"the body has {length} bytes, at most {most} are taken")
        return await request.body()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLargeError(f"the body has more than {most} bytes")
        parts.append(part)
    body = b"".join(parts)
    request._body = body  # noqa: SLF001 - who asks for it too, as a handler of the user's may, gets it again
    return body


def decoded(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    """Return a body as its Struct.

    Raises:
        InvalidRequestError: It isn't JSON, or not of that form; the message names the field.
    """
    try:
        body = decoder.decode(data or b"{}")
    except (msgspec.DecodeError, RecursionError) as e:
        raise InvalidRequestError(str(e)) from e
    for one in body if isinstance(body, list) else [body]:
        check_metadata(getattr(one, "metadata", None))
        if _NUL in data:  # JSON has no other way to write it
            _check_texts(one)
    return body


def _check_texts(body: msgspec.Struct) -> None:
    """Refuse what not every database can hold; what is a graph's own may have it."""
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if name not in _FREE and value is not msgspec.UNSET and _NUL in msgspec.json.encode(value):
            raise InvalidRequestError(f"{name} can't have NUL characters")


def check_metadata(metadata: Any) -> None:
    """Refuse metadata that not every database can look into.

    Raises:
        InvalidRequestError: It has objects inside of objects without end.
    """
    level, depth = [metadata], 0
    while level := [item for one in level for item in _items(one)]:
        depth += 1
        if depth > _DEEPEST:
            raise InvalidRequestError(f"metadata can't be more than {_DEEPEST} deep")


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
