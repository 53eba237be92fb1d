"""The law of caches, on each of them and in both colours; and what they do for graphs and tasks."""

import asyncio
import operator
import threading
import time
from typing import Annotated, Any

import pytest
import redis.asyncio
from typing_extensions import TypedDict

import redis
from perdure.cache.memory import InMemoryCache
from perdure.cache.redis import RedisCache
from perdure.cache.sqlite import SqliteCache
from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import InvalidConfigError, SerializationError, TransientStorageError, UsageError
from perdure.func import entrypoint, task
from perdure.graph import START, StateGraph
from perdure.types import CachePolicy, Command, interrupt

A, B = ("graph", "a"), ("graph", "b")


@pytest.fixture
def client(valkey):
    with redis.Redis.from_url(valkey.url) as opened:
        yield opened
        opened.flushdb()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def cache(request, tmp_path):
    if request.param == "memory":
        yield InMemoryCache()
        return
    if request.param == "redis":
        yield RedisCache(request.getfixturevalue("client"))
        return
    with SqliteCache(path=str(tmp_path / "cache.db")) as opened:
        yield opened


@pytest.fixture(params=["sync", "async"])
def call(request, cache):
    """Call a cache's method in either colour."""
    if request.param == "sync":
        return lambda name, *args: getattr(cache, name)(*args)
    return lambda name, *args: asyncio.run(getattr(cache, "a" + name)(*args))


def test_values_are_kept_replaced_and_forgotten(call):
    assert call("get", [(A, "k")]) == {}
    call("set", {(A, "k"): ({"x": (1, 2)}, None), (B, "k"): ([1], 60), (A, "other"): (None, None)})
    assert call("get", [(A, "k"), (B, "k"), (A, "missing"), (A, "other")]) == {
        (A, "k"): {"x": (1, 2)},
        (B, "k"): [1],
        (A, "other"): None,
    }
    call("set", {(A, "k"): (2, None)})
    assert call("get", [(A, "k")]) == {(A, "k"): 2}
    call("clear", [A, ("graph", "never")])
    assert call("get", [(A, "k"), (B, "k")]) == {(B, "k"): [1]}
    call("clear")
    assert call("get", [(B, "k")]) == {}
    assert call("get", []) == {}


def test_values_expire(call):
    call("set", {(A, "short"): (1, 1), (A, "long"): (2, 100)})
    assert len(call("get", [(A, "short"), (A, "long")])) == 2
    time.sleep(1.1)
    assert call("get", [(A, "short"), (A, "long")]) == {(A, "long"): 2}
    call("set", {(A, "short"): (3, None)})
    assert call("get", [(A, "short")]) == {(A, "short"): 3}


def test_values_are_copies(call):
    value = [1]
    call("set", {(A, "k"): (value, None)})
    value.append(2)
    call("get", [(A, "k")])[A, "k"].append(3)
    assert call("get", [(A, "k")]) == {(A, "k"): [1]}


def test_what_can_not_be_stored_is_told(call):
    with pytest.raises(SerializationError):
        call("set", {(A, "k"): (threading.Lock(), None)})


def test_what_can_not_be_read_back_is_not_there(tmp_path):
    path = str(tmp_path / "x.db")
    with SqliteCache(path=path) as cache:
        cache.set({(A, "good"): (1, None), (A, "bad"): (2, None)})
        cache._connection.execute("UPDATE perdure_cache SET value = x'c1' WHERE key = 'bad'")
        assert cache.get([(A, "good"), (A, "bad")]) == {(A, "good"): 1}


def test_a_cache_in_memory_is_bounded():
    cache: InMemoryCache[int] = InMemoryCache(most=100)
    for n in range(1000):
        cache.set({(A, str(n)): (n, None)})
    assert cache.get([(A, "999")]) == {(A, "999"): 999}
    assert len(cache._values) <= 100


def test_an_unclosed_cache_warns(tmp_path):
    cache = SqliteCache(path=str(tmp_path / "x.db"))
    with pytest.warns(ResourceWarning, match="was not closed"):
        cache.__del__()


# -- graphs


class State(TypedDict):
    x: int
    out: Annotated[list, operator.add]


def graph_of(node: Any, policy: CachePolicy, **options: Any) -> Any:
    builder = StateGraph(State).add_node("node", node, cache_policy=policy).add_edge(START, "node")
    return builder.compile(**options)


@pytest.fixture(params=["sync", "async"])
def run(request):
    if request.param == "sync":
        return lambda graph, value, config=None: graph.invoke(value, config)
    return lambda graph, value, config=None: asyncio.run(graph.ainvoke(value, config))


def test_a_node_is_not_run_again_for_the_same_input(cache, run):
    ran = []

    def node(state: State) -> Any:
        ran.append(state["x"])
        return {"out": [state["x"] * 10]}

    graph = graph_of(node, CachePolicy(), cache=cache, checkpointer=InMemorySaver())
    for thread, x in enumerate((1, 1, 2, 1)):
        config = {"configurable": {"thread_id": str(thread)}}
        assert run(graph, {"x": x, "out": []}, config)["out"] == [x * 10]
    assert ran == [1, 2]
    graph.clear_cache(["node"])
    run(graph, {"x": 1, "out": []}, {"configurable": {"thread_id": "a"}})
    graph.clear_cache(["another"])
    run(graph, {"x": 1, "out": []}, {"configurable": {"thread_id": "b"}})
    assert ran == [1, 2, 1]


def test_a_key_of_ones_own(cache, run):
    ran = []

    def node(state: State) -> Any:
        ran.append(state["x"])
        return {"out": [state["x"]]}

    graph = graph_of(node, CachePolicy(key_func=lambda state: str(state["x"] % 2)), cache=cache)
    assert [run(graph, {"x": x, "out": []})["out"] for x in (1, 3, 2, 4)] == [[1], [1], [2], [2]]
    with pytest.raises(UsageError, match="key_func of node 'node' made 5"):
        run(graph_of(node, CachePolicy(key_func=lambda state: 5), cache=cache), {"x": 1, "out": []})  # type: ignore[arg-type,return-value]


def test_questions_and_failures_are_not_cached(cache, run):
    ran = []

    def node(state: State) -> Any:
        ran.append("ran")
        if len(ran) == 1:
            raise ValueError("no")
        return {"out": [interrupt("?")]}

    graph = graph_of(node, CachePolicy(), cache=cache, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    with pytest.raises(ValueError, match="no"):
        run(graph, {"x": 1, "out": []}, config)
    run(graph, None, config)
    assert run(graph, Command(resume="yes"), config)["out"] == ["yes"]
    assert len(ran) == 3


def test_an_input_that_makes_no_key_is_told(cache, run):
    graph = graph_of(lambda state: {}, CachePolicy(), cache=cache)
    with pytest.raises(UsageError, match="can't be made a cache key") as failure:
        run(graph, {"x": threading.Lock(), "out": []})
    assert "key_func" in str(failure.value)


def test_tasks_are_cached_by_their_arguments(cache, run):
    ran = []

    @task(cache_policy=CachePolicy(ttl=60))
    def double(value: int, *, plus: int = 0) -> int:
        ran.append(value)
        return 2 * value + plus

    @entrypoint(cache=cache, checkpointer=InMemorySaver())
    def flow(value: int) -> list[int]:
        return [double(value).result(), double(value, plus=1).result(), double(value).result()]

    for thread in range(3):
        assert run(flow, 2, {"configurable": {"thread_id": str(thread)}}) == [4, 5, 4]
    assert ran == [2, 2]
    double.clear_cache(cache)
    run(flow, 2, {"configurable": {"thread_id": "again"}})
    assert len(ran) == 4


def test_without_a_cache_the_policy_has_no_effect_and_clearing_is_an_error(run):
    ran = []
    graph = graph_of(lambda state: ran.append(1), CachePolicy())
    run(graph, {"x": 1, "out": []})
    run(graph, {"x": 1, "out": []})
    assert len(ran) == 2
    with pytest.raises(UsageError, match="has no cache"):
        graph.clear_cache()


def test_caches_in_one_redis_see_only_their_own(client):
    client.set("somebody's", "else")
    one, two = RedisCache(client, prefix="a*"), RedisCache(client, prefix="ab")
    for cache in (one, two):
        cache.set({(A, "k"): (1, None), (("graph",), '"a"]k'): (2, None), (("graph", "a*"), "k"): (3, None)})
    one.clear([A, ("graph", "[a]*")])
    assert one.get([(A, "k"), (("graph",), '"a"]k'), (("graph", "a*"), "k")]).keys() == {
        (("graph",), '"a"]k'),
        (("graph", "a*"), "k"),
    }
    one.clear()
    assert one.get([(("graph",), '"a"]k')]) == {}
    assert len(two.get([(A, "k"), (("graph",), '"a"]k'), (("graph", "a*"), "k")])) == 3
    assert client.get("somebody's") == b"else"


def test_many_keys_are_forgotten(client):
    cache = RedisCache(client)
    cache.set({(A, str(n)): (n, None) for n in range(2500)})
    cache.clear([A])
    assert client.dbsize() == 0


def test_bytes_that_a_stranger_left_in_redis_count_as_not_there(client):
    cache = RedisCache(client)
    cache.set({(A, "k"): (1, None)})
    (key,) = client.keys()
    for forged in (b"", b"\xff", b"\x06pickle" + b"cos\nsystem\n", b"\x07msgpack\xc1"):
        client.set(key, forged)
        assert cache.get([(A, "k")]) == {}


def test_a_redis_that_is_not_there(valkey):
    cache = RedisCache(redis.Redis(port=1, socket_connect_timeout=1, retry=None))
    with pytest.raises(TransientStorageError, match="the cache can't be reached"):
        cache.get([(A, "k")])


def test_clients_that_it_cannot_use(valkey):
    with pytest.raises(InvalidConfigError, match="takes a synchronous client"):
        RedisCache(redis.asyncio.Redis.from_url(valkey.url))
    with pytest.raises(InvalidConfigError, match="takes a synchronous client"):
        RedisCache(valkey.url)
    with (
        redis.Redis.from_url(valkey.url, decode_responses=True) as client,
        pytest.raises(InvalidConfigError, match="decode"),
    ):
        RedisCache(client)
