"""Who asked lately: what `authenticate` found, remembered by headers of the request, for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

    from perdure.server.auth import User
    from perdure.server.config_file import AuthCache

Key = tuple[str | None, ...]


class Remembered:
    """Users by the headers that they came with; who was refused isn't remembered.

    Args:
        spec: Which headers, for how long, how many users.
    """

    def __init__(self, spec: AuthCache) -> None:
        self._spec = spec
        self._users: OrderedDict[Key, tuple[float, User]] = OrderedDict()

    def key(self, request: Request) -> Key | None:
        """Return a request's place; None if it has none of the headers."""
        found = tuple(request.headers.get(name) for name in self._spec.cache_keys)
        return None if all(value is None for value in found) else found

    def get(self, key: Key) -> User | None:
        """Return who came with these headers, if that isn't too long ago."""
        until, user = self._users.get(key, (0.0, None))
        if user is not None and until < time.monotonic():
            del self._users[key]
            return None
        return user

    def put(self, key: Key, user: User) -> None:
        """Remember a user; who is remembered for the longest time is forgotten if they are too many."""
        self._users[key] = (time.monotonic() + self._spec.ttl_seconds, user)
        self._users.move_to_end(key)
        while len(self._users) > self._spec.max_size:
            self._users.popitem(last=False)
