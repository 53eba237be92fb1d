"""Keys are changed while a database is in use, whatever stops it, and the old one can be dropped then."""

from __future__ import annotations

import base64
import operator
import os
import signal
import threading
from functools import partial
from typing import Annotated, Any, TypedDict

import pytest
from tests.contract.test_encryption import everything
from tests.fault.program import Moments, in_a_child
from tests.fault.stores import store_of
from tests.ops.conftest import KINDS
from tests.ops.making import grow, history
from tests.ops.test_migrate import assert_same

from perdure.checkpoint.conformance.case import COLOURS, checkpoint, paint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.serde.encrypted import EncryptedSerializer, LocalKeys
from perdure.checkpoint.serde.keys import VARIABLE
from perdure.errors import CorruptCheckpointError, EncryptionError, UsageError
from perdure.graph import END, START, StateGraph
from perdure.ops import migrate, rekey, verify
from perdure.store.registry import open_store

KEYS = {"old": b"o" * 32, "new": b"n" * 32}


def under(*names: str) -> EncryptedSerializer:
    return EncryptedSerializer.from_keys(LocalKeys({name: KEYS[name] for name in names}))


def long(saver, steps=100):
    """Grow a thread until an object store has packs and pages of it."""
    items, parent = [], None
    for n in range(steps):
        items.append(os.urandom(200).hex())
        config = place("long", "", parent)
        parent = saver.put(config, checkpoint({"items": items}, {"items": n + 1}, after=parent), {}, {"items": n + 1})
        parent = parent["configurable"]["checkpoint_id"]


@pytest.mark.parametrize(
    ("kind", "colour"),
    [("sqlite", "sync"), ("sqlite", "async"), ("postgres", "async"), ("redis", "sync"), ("s3", "async")],
)
async def test_the_old_key_can_be_dropped(place_of, kind, colour):
    truth = history(InMemorySaver(), seed=7)
    long(truth)
    url = place_of(kind)
    with open_saver(url, serde=under("old")) as saver:
        migrate(truth, saver)
    with open_saver(url, serde=under("new", "old")) as saver:
        found = [await paint(saver, colour).rekey_thread(thread) for thread in truth.threads()]
        assert sum(one.current for one in found) == 0
        assert sum(one.rewritten for one in found) > 120
        again = rekey(saver)
        assert (again.rewritten, again.current) == (0, sum(one.rewritten for one in found))
        if kind != "sqlite":  # whose file may have free pages
            stored = everything(url, saver)
            assert (stored.count(b"\x14\x03old"), stored.count(b"\x14\x03new")) == (0, again.current)
    with open_saver(url, serde=under("new")) as saver:
        assert verify(saver).damage == []
        assert_same(truth, saver)
        grow(saver, "one", 8)
        assert verify(saver).damage == []
    with open_saver(url, serde=under("old")) as saver, pytest.raises(EncryptionError, match="the key 'new'"):
        list(saver.list(None))


class State(TypedDict):
    items: Annotated[list, operator.add]


def steps(many: int, began: threading.Event | None = None) -> Any:
    def add(state: State) -> Any:
        if began is not None and len(state["items"]) > many // 4:
            began.set()
        return {"items": [os.urandom(100).hex()]}

    builder = StateGraph(State).add_node("add", add).add_edge(START, "add")
    return builder.add_conditional_edges("add", lambda state: "add" if len(state["items"]) < many else END)


@pytest.mark.parametrize("kind", KINDS)
def test_while_a_run_goes_on_with_the_old_key(place_of, kind):
    url = place_of(kind)
    many = 40 if kind == "s3" else 120
    config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": 1000}
    began = threading.Event()
    with open_saver(url, serde=under("old", "new")) as running, open_saver(url, serde=under("new", "old")) as other:
        graph = steps(many, began).compile(checkpointer=running)
        run = threading.Thread(target=graph.invoke, args=({"items": []}, config))
        run.start()
        began.wait(30)
        assert run.is_alive()
        rewritten = rekey(other).rewritten
        while run.is_alive():
            rewritten += rekey(other).rewritten
        assert rekey(other).rewritten + rewritten > many
    with open_saver(url, serde=under("new")) as saver:
        assert verify(saver).findings == []
        graph = steps(many + 3).compile(checkpointer=saver)
        assert len(graph.get_state(config).values["items"]) == many
        assert len(list(graph.get_state_history(config))) == many + 2
        assert len(graph.invoke({"items": ["more"]}, config)["items"]) == many + 3


def rekey_until(url: str, at: int = 0) -> int:
    """Rekey by a watched saver, and die at a moment; return how many there are."""
    moments = Moments(at)
    with store_of(url).watch(url, str, moments.tick) as saver:
        saver.serde = under("new", "old")
        rekey(saver)
    return moments.count


STRIDES = {"sqlite": 13, "postgres": 41, "redis": 17, "s3": 9}
"""Of the moments at which a rekeying is killed; with 1 each is tried."""


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_statement_it_goes_on(place_of, kind):
    truth, url = InMemorySaver(), place_of(kind)
    for thread in ("one", "two"):
        grow(truth, thread, 1, steps=6)
    with open_saver(url, serde=under("old")) as saver:
        migrate(truth, saver)
    kills = 0
    while killed(url, 5 + STRIDES[kind] * kills):
        kills += 1
        with open_saver(url, serde=under("new", "old")) as saver:
            assert_same(truth, saver)
    assert kills > 1
    with open_saver(url, serde=under("new")) as saver:
        assert_same(truth, saver)
        assert verify(saver).damage == []


class Gone(BaseException):
    """Ends a rekeying as a kill does: nothing more is asked of the store."""


def killed(url: str, at: int) -> bool:
    """Rekey in a child that dies at a moment; tell whether it came to it."""
    if not url.startswith("s3:"):
        return in_a_child(partial(rekey_until, url, at)) == -signal.SIGKILL
    # A client of an object store doesn't survive a fork. What is asked of it stands alone, so it may as well end here.
    moments = Moments()

    def tick() -> None:
        moments.tick()
        if moments.count >= at:
            raise Gone

    try:
        with store_of(url).watch(url, str, tick) as saver:
            saver.serde = under("new", "old")
            rekey(saver)
    except Gone:
        return True
    return False


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_items_of_a_store(place_of, kind, colour):
    url = place_of(kind)
    with open_store(url, serde=under("old")) as store:
        for n in range(230):
            store.put(("users", str(n % 3)), f"key {n}", {"n": n})
    with open_store(url, serde=under("new", "old")) as store:
        store.put(("users", "0"), "key 0", {"n": 1000})
        done = store.rekey() if colour == "sync" else await store.arekey()
        assert (done.rewritten, done.current) == (229, 1)
    with open_store(url, serde=under("new")) as store:
        assert sorted(item.value["n"] for item in store.search((), limit=1000)) == [*range(1, 230), 1000]
        assert store.rekey() == (0, 230)
    with open_store(url) as store, pytest.raises(UsageError, match="has no keys"):
        store.rekey()


def test_what_can_not_be_rekeyed(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    with open_saver(url) as saver:
        grow(saver, "one", 1)
        with pytest.raises(UsageError, match="has no keys"):
            rekey(saver)
    with open_saver(url, serde=under("new")) as saver, pytest.raises(CorruptCheckpointError, match="aren't encrypted"):
        rekey(saver)
    memory = history(InMemorySaver(), seed=1)
    with pytest.raises(UsageError, match="InMemorySaver has no keys"):
        rekey(memory)


def test_by_url_with_the_keys_of_the_environment(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/x.db"
    truth = history(InMemorySaver(), seed=2)
    listed = [f"{name}:{base64.b64encode(KEYS[name]).decode()}" for name in ("old", "new")]
    monkeypatch.setenv(VARIABLE, listed[0])
    migrate(truth, url, encrypted_target=True)
    monkeypatch.setenv(VARIABLE, f"{listed[1]}, {listed[0]}")
    assert rekey(url, threads=["one"]).threads == 1
    assert rekey(url).threads == 3
    monkeypatch.setenv(VARIABLE, listed[1])
    assert migrate(truth, url, encrypted_target=True, verify=True).differences == []
