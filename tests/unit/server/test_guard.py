"""What handlers say, as filters; and loops that break."""

import asyncio
import signal
from types import SimpleNamespace

import pytest

from perdure.server.auth import Guard, User
from perdure.server.core import Core
from perdure.server.encoding import decode
from perdure.server.errors import ForbiddenError, RequestError

USER = User({"identity": "alice", "permissions": ["read"]})


def guard(handlers, everywhere=()):
    async def authenticate():
        return "alice"

    auth = SimpleNamespace(_authenticate_handler=authenticate, _handlers=handlers, _global_handlers=list(everywhere))
    return Guard({}, auth)


def saying(said, seen=None):
    async def handler(*, ctx, value):
        if seen is not None:
            seen.append((ctx.resource, ctx.action, ctx.user.identity, ctx.permissions))
        if isinstance(said, Exception):
            raise said
        return said

    return handler


@pytest.mark.parametrize(
    ("said", "filters"),
    [
        (None, None),
        (True, None),
        ({"owner": "a"}, [{"owner": "a"}]),
        ({"owner": {"$eq": "a"}, "team": 1}, [{"owner": "a", "team": 1}]),
        ({"who": {"$contains": "a"}}, [{"who": ["a"]}]),
        ({"who": {"$contains": ["a", "b"]}}, [{"who": ["a", "b"]}]),
        ({"$or": [{"x": 1}, {"y": {"$eq": 2}}], "z": 3}, [{"x": 1, "z": 3}, {"y": 2, "z": 3}]),
        ({"$and": [{"x": 1}, {"y": 2}]}, [{"x": 1, "y": 2}]),
        ({"x": 1, "$and": [{"x": 2}]}, []),
        ({"x": 1, "$or": [{"x": 2}, {"y": 3}]}, [{"x": 1, "y": 3}]),
        ({"$and": [{"x": {"$contains": "a"}}, {"x": {"$contains": "b"}}]}, [{"x": ["a", "b"]}]),
        ({"$and": [{"x": {"a": 1}}, {"x": {"b": 2}}]}, [{"x": {"a": 1, "b": 2}}]),
        ({"$and": [{"x": {"a": 1}}, {"x": {"a": 2}}]}, []),
        ({"$and": [{"x": 1}, {"x": True}]}, []),
    ],
)
async def test_what_a_handler_says_becomes_metadata_that_a_row_must_have(said, filters):
    found = await guard({("threads", "read"): [saying(said)]}).filters(USER, "threads", "read", {})
    assert (None if found is None else decode(found)) == filters


async def test_the_most_special_handler_is_asked():
    seen = []
    handlers = {("threads", "*"): [saying(None, seen)], ("threads", "read"): [saying({"a": 1}, seen)]}
    asked = guard(handlers, [saying({"g": 1}, seen)])
    assert decode(await asked.filters(USER, "threads", "read", {})) == [{"a": 1}]
    assert await asked.filters(USER, "threads", "update", {}) is None
    assert decode(await asked.filters(USER, "crons", "read", {})) == [{"g": 1}]
    assert seen[0] == ("threads", "read", "alice", ["read"])


async def test_no_is_no():
    for said in (False, AssertionError("not you"), {"x": {"$gt": 1}}):
        with pytest.raises(ForbiddenError):
            await guard({}, [saying(said)]).filters(USER, "threads", "read", {})
    teapot = Exception()
    teapot.status_code, teapot.detail = 418, "a teapot"
    with pytest.raises(RequestError, match="a teapot") as caught:
        await guard({}, [saying(teapot)]).filters(USER, "threads", "read", {})
    assert caught.value.status == 418
    with pytest.raises(ZeroDivisionError):
        await guard({}, [saying(ZeroDivisionError())]).filters(USER, "threads", "read", {})


async def test_what_is_made_gets_what_makes_it_visible():
    value = {"metadata": {"a": 1}}
    await guard({}, [saying({"owner": {"$eq": "alice"}})]).filters(USER, "threads", "create", value)
    assert value == {"metadata": {"a": 1, "owner": "alice"}}


async def test_a_loop_that_breaks_stops_the_server():
    async def breaks():
        raise ValueError("broken")

    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    try:
        Core.keep(SimpleNamespace(), breaks(), "loop")
        await asyncio.wait_for(told.wait(), 5)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
