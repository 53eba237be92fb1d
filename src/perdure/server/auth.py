"""Who asks, and what they may see and do: API keys, and the `Auth` object of LangGraph's SDK.

`Auth` is known by its shape, so the SDK need not be installed. A handler says yes (None, True), no (False), or yes to
what has certain metadata: such filters become part of the statement that reads or changes the row, so that what isn't
there for somebody can't be told from what isn't there.
"""

from __future__ import annotations

import dataclasses
import hmac
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from perdure.server.bodies import read_body
from perdure.server.encoding import encode_text
from perdure.server.errors import ForbiddenError, NotAuthenticatedError, RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

    from perdure.server.auth_cache import Remembered

_IMPOSSIBLE: Final = object()


class User:
    """Who asks, as handlers and nodes see them: the fields as attributes and as items."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = {"is_authenticated": True, "permissions": [], **fields}
        self._fields.setdefault("display_name", self._fields["identity"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(name)
        return self._fields[name]

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return dict(self._fields)


@dataclasses.dataclass
class Context:
    """What a handler is given of a request."""

    user: User
    permissions: list[str]
    resource: str
    action: str


class Guard:
    """Asks who it is, and what they may.

    Args:
        api_keys: Keys of which a request must bring one, each with a name.
        auth: An object of the shape of the SDK's `Auth`.
        remembered: Who asked lately; None: `authenticate` is asked each time.
        largest: Bytes of a body that are read before it is known who asks.
    """

    def __init__(
        self,
        api_keys: Mapping[str, str],
        auth: Any = None,
        remembered: Remembered | None = None,
        largest: int = 1 << 25,
    ) -> None:
        self._largest = largest
        self._remembered = remembered
        self._keys = dict(api_keys)
        self._auth = auth
        self._authenticate = getattr(auth, "_authenticate_handler", None)
        self._handlers: Mapping[Any, Any] = getattr(auth, "_handlers", {})
        self._global: list[Any] = list(getattr(auth, "_global_handlers", ()))

    @property
    def is_open(self) -> bool:
        """Whether anybody may do anything."""
        return not self._keys and self._auth is None

    async def user_of(self, request: Request) -> User | None:
        """Return who asks; None if nobody is asked who they are.

        Raises:
            RequestError: They didn't say, or not truly.
        """
        if self._authenticate is not None:
            return await self._known_or_asked(request)
        if not self._keys:
            return None
        given = request.headers.get("x-api-key") or _bearer(request.headers.get("authorization"))
        name = None
        for key, of in self._keys.items():  # all of them, so that the time tells nothing
            if given is not None and hmac.compare_digest(key.encode(), given.encode()):
                name = of
        if name is None:
            raise NotAuthenticatedError("an API key is needed", hint="send it in the header x-api-key")
        return User({"identity": name})

    async def _known_or_asked(self, request: Request) -> User:
        memory = self._remembered
        key = None if memory is None else memory.key(request)
        if memory is None or key is None:
            return await self._asked(request)
        user = memory.get(key)
        if user is None:
            user = await self._asked(request)
            memory.put(key, user)
        return user

    async def _asked(self, request: Request) -> User:
        handler = self._authenticate
        assert handler is not None
        known: dict[str, Any] = {
            "request": request,
            "path": request.url.path,
            "method": request.method,
            "path_params": request.path_params,
            "query_params": dict(request.query_params),
            "headers": {name.encode(): value.encode() for name, value in request.headers.items()},
            "authorization": request.headers.get("authorization"),
        }
        names = inspect.signature(handler).parameters
        if "body" in names:
            known["body"] = await read_body(request, self._largest)
        try:
            found = handler(**{name: known[name] for name in names if name in known})
            found = await found if inspect.isawaitable(found) else found
        except AssertionError as e:
            raise NotAuthenticatedError(str(e) or "not authenticated") from e
        except Exception as e:
            raise _answer(e) from e
        if isinstance(found, str):
            return User({"identity": found})
        fields = found if isinstance(found, Mapping) else _fields(found)
        return User(fields)

    async def filters(self, user: User | None, resource: str, action: str, value: dict[str, Any]) -> str | None:
        """Ask whether a user may do something; handlers may change the `value`.

        Returns:
            None for everything, or JSON: metadata of which a row must have one.

        Raises:
            ForbiddenError: They may not.
        """
        if self._auth is None or user is None:
            return None
        handler = self._handler(resource, action)
        if handler is None:
            return None
        permissions = list(user["permissions"]) if "permissions" in user else []
        context = Context(user, permissions, resource, action)
        try:
            said = await handler(ctx=context, value=value)
        except AssertionError as e:
            raise ForbiddenError(str(e) or "forbidden") from e
        except Exception as e:
            raise _answer(e) from e
        if said is None or said is True:
            return None
        if not isinstance(said, Mapping):
            raise ForbiddenError(f"{action} of {resource} is not allowed")
        own = value.get("metadata")
        if action in ("create", "put") and isinstance(own, dict):
            own.update(_plain(said))
        return encode_text(_alternatives(said))

    def _handler(self, resource: str, action: str) -> Any:
        """Return the most special handler."""
        for key in ((resource, action), (resource, "*"), ("*", action)):
            if found := self._handlers.get(key):
                return found[-1]
        return self._global[-1] if self._global else None


def _bearer(header: str | None) -> str | None:
    kind, _, token = (header or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token else None


def _answer(error: Exception) -> Exception:
    """Turn the SDK's HTTPException into an answer; what a handler's mistake raises stays one."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        return error
    answer = RequestError(str(getattr(error, "detail", error)))
    answer.status = status
    return answer


def _fields(user: Any) -> dict[str, Any]:
    names = ("identity", "display_name", "is_authenticated", "permissions")
    return {name: getattr(user, name) for name in names if hasattr(user, name)}


def _alternatives(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a filter as a list of metadata, of which a row must have all of one; none for what no row can have."""
    found: list[dict[str, Any]] = [{}]
    for key, wanted in said.items():
        if key == "$or":
            found = _joined(found, [b for one in wanted for b in _alternatives(one)])
        elif key == "$and":
            for one in wanted:
                found = _joined(found, _alternatives(one))
        elif key.startswith("$"):
            raise ForbiddenError(f"a filter has {key}, which isn't known", hint="$or, $and")
        else:
            found = _joined(found, [{key: _metadata(key, wanted)}])
    return found


def _joined(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what has all of one of each; two values of one key rule each other out."""
    return [made for a in some for b in others if (made := _both(a, b)) is not _IMPOSSIBLE]


def _both(a: Any, b: Any) -> Any:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        made = {key: _both(a[key], b[key]) if key in a and key in b else {**a, **b}[key] for key in {**a, **b}}
        return _IMPOSSIBLE if any(value is _IMPOSSIBLE for value in made.values()) else made
    if isinstance(a, list) and isinstance(b, list):
        return [*a, *b]
    return a if type(a) is type(b) and a == b else _IMPOSSIBLE


def _metadata(key: str, wanted: Any) -> Any:
    if not isinstance(wanted, Mapping):
        return wanted
    if wanted.keys() == {"$eq"}:
        return wanted["$eq"]
    if wanted.keys() == {"$contains"}:
        items = wanted["$contains"]
        return items if isinstance(items, list) else [items]
    unknown = [name for name in wanted if name.startswith("$")]
    if unknown:
        raise ForbiddenError(f"the filter of {key!r} has {unknown[0]}, which isn't known", hint="$eq, $contains")
    return wanted


def _plain(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that what is made gets, so that its maker can see it."""
    return {key: _metadata(key, wanted) for key, wanted in said.items() if not key.startswith("$")}
