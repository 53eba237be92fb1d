"""What is remembered of who asked."""

from types import SimpleNamespace

import pytest
from starlette.requests import Request

from perdure.server.auth import Guard
from perdure.server.auth_cache import Remembered
from perdure.server.config_file import AuthCache
from perdure.server.errors import RequestError


def asking(**headers):
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {"type": "http", "method": "GET", "path": "/", "headers": raw, "query_string": b"", "path_params": {}}
    )


@pytest.fixture
def asked():
    return []


@pytest.fixture
def remembering(asked):
    def make(**options):
        async def authenticate(authorization):
            asked.append(authorization)
            assert authorization != "nobody", "no"
            return f"user {authorization}"

        auth = SimpleNamespace(_authenticate_handler=authenticate)
        return Guard({}, auth, Remembered(AuthCache(["Authorization"], **options)))

    return make


async def test_who_asked_lately_is_known(remembering, asked):
    guard = remembering()
    for who in ("a", "b", "a", "b"):
        assert (await guard.user_of(asking(authorization=who)))["identity"] == f"user {who}"
    assert asked == ["a", "b"]


async def test_who_was_refused_or_says_nothing_is_asked_again(remembering, asked):
    guard = remembering()
    for _ in range(2):
        with pytest.raises(RequestError, match="no"):
            await guard.user_of(asking(authorization="nobody"))
        await guard.user_of(asking(other="x"))
    assert asked == ["nobody", None, "nobody", None]


async def test_it_is_forgotten_in_time_and_if_they_are_too_many(remembering, asked, monkeypatch):
    now = 100.0
    monkeypatch.setattr("perdure.server.auth_cache.time.monotonic", lambda: now)
    guard = remembering(ttl_seconds=10, max_size=2)
    for who in ("a", "b", "c", "c", "a"):
        await guard.user_of(asking(authorization=who))
    assert asked == ["a", "b", "c", "a"]
    now = 111.0
    await guard.user_of(asking(authorization="a"))
    assert asked == ["a", "b", "c", "a", "a"]
