"""What only the saver on object stores has: conditional puts, objects beside the root, and a network."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import operator
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import obstore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ormsgpack import packb
from tests.servers.proxy import Proxy
from tests.servers.seaweed import SECRET, Seaweed
from typing_extensions import TypedDict

from perdure.checkpoint import conformance
from perdure.checkpoint.conformance import Case
from perdure.checkpoint.conformance.case import checkpoint, id_of, place
from perdure.checkpoint.conformance.commits import step
from perdure.checkpoint.frames import seal
from perdure.checkpoint.objects import flushing
from perdure.checkpoint.objects.roots import has_checkpoint, open_pack, open_page, open_root, root_key, thread_of
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.s3 import S3Saver
from perdure.database.objects import exchange
from perdure.database.objects.exchange import Delete, Put
from perdure.database.s3.opening import open_bucket
from perdure.errors import (
    ConflictError,
    CorruptCheckpointError,
    InvalidConfigError,
    PerdureError,
    SchemaVersionError,
    StorageError,
    TransientStorageError,
    UsageError,
)
from perdure.graph import START, StateGraph

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]
    n: int


def graph_on(saver: Any) -> Any:
    def work(state: State) -> dict[str, Any]:
        return {"items": [os.urandom(500).hex()], "n": state.get("n", 0) + 1}

    builder = StateGraph(State).add_node("work", work).add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if state["n"] % STEPS else "__end__")
    return builder.compile(checkpointer=saver)


STEPS = 40


def run(saver: Any, config: Any = CONFIG) -> list[str]:
    graph = graph_on(saver)
    return graph.invoke({"items": []}, {**config, "recursion_limit": 1000}, durability="sync")["items"]


def objects_at(url: str) -> dict[str, int]:
    store = open_bucket(url)
    return {one["path"]: one["size"] for page in obstore.list(store, chunk_size=1000) for one in page}


@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract_from_objects(case: Case, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing in roots, as in those of long threads: each step fills objects, and merges them often."""
    monkeypatch.setattr(flushing, "MOST_ROOT", 0)
    monkeypatch.setattr(flushing, "RUNG", 3)
    with S3Saver.from_conn_string(bucket) as saver:
        conformance.run(case, saver)


# -- how many requests


def test_a_superstep_is_one_put(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        saver.setup()
        saver.client.counts = dict.fromkeys(saver.client.counts, 0)
        assert len(run(saver)) == STEPS
        found = dict(saver.client.counts)
    # The input and the lease, taken and given back; and now and then a page and a pack.
    assert found["put"] <= STEPS + 3 + 2 * (STEPS * 1_500 // 12_000 + 1)
    assert found["get"] <= 4
    assert found["list"] == 0


def test_reads_take_two_round_trips_and_of_old_ones_up_to_four(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        items = run(saver)
        every = [one.config for one in saver.list(CONFIG)]
    for config, at_most in ((CONFIG, 2), (every[20], 4), (every[-1], 4)):
        with S3Saver.from_conn_string(bucket) as saver:
            saver.setup()
            rounds = 0
            exchanged = saver.client.run

            def counting(requests: Any, exchanged: Any = exchanged) -> Any:
                def watched() -> Any:
                    nonlocal rounds
                    answers = None
                    while True:
                        try:
                            wanted = requests.send(answers)
                        except StopIteration as done:
                            return done.value
                        rounds += 1
                        answers = yield wanted

                return exchanged(watched())

            saver.client.run = counting  # type: ignore[method-assign]
            found = saver.get_tuple(config)
            assert found is not None
            held = found.checkpoint["channel_values"].get("items", [])
            assert held == items[: len(held)]
            assert rounds <= at_most
            rounds = 0
            saver.get_tuple(config)
            assert rounds == 1  # the root is asked for, and has not changed


def test_stored_bytes_grow_with_what_changed(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        items = run(saver)
        once = sum(objects_at(bucket).values())
        items = run(saver)
        twice = sum(objects_at(bucket).values())
    payload = sum(map(len, items))
    assert twice < 2.5 * payload
    assert twice < 2.3 * once


# -- one conditional put decides


@contextmanager
def _behind_a_proxy(seaweed: Seaweed) -> Iterator[tuple[Proxy, Any]]:
    with (
        Proxy(("127.0.0.1", seaweed.ports[0])) as proxy,
        S3Saver.from_conn_string(seaweed.url(port=proxy.address[1])) as saver,
    ):
        yield proxy, saver


@pytest.mark.parametrize("trigger", [b"if-none-match: *", b"if-match: "])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_lost_reply_is_recognised(seaweed: Seaweed, aws: None, trigger: bytes, colour: str) -> None:
    with _behind_a_proxy(seaweed) as (proxy, saver):
        saver.setup()
        parent = None
        for n in range(3):
            one = step(parent, n, expected_head=parent)
            assert one.checkpoint is not None
            prepared = [saver.prepare(one)]
            if n < 2:
                proxy.lose_reply_to(trigger)
            if colour == "sync":
                saver.commit(prepared)
            else:
                asyncio.run(saver.acommit(prepared))
            parent = one.checkpoint["id"]
        assert proxy.struck == ["lost reply"]
        assert next(id_of(found.config) for found in saver.list(place())) == parent
        assert len(list(saver.list(place()))) == 3


def test_another_writer_is_seen(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as mine, S3Saver.from_conn_string(bucket) as theirs:
        first = step(None, 1)
        mine.commit([mine.prepare(first)])
        assert first.checkpoint is not None
        head = first.checkpoint["id"]
        theirs.commit([theirs.prepare(step(head, 2, expected_head=head))])
        with pytest.raises(ConflictError):
            mine.commit([mine.prepare(step(head, 3, expected_head=head))])


def test_threads_are_committed_one_by_one(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        prepared = [saver.prepare(step(None, 1)), saver.prepare(step(None, 1)._replace(thread_id="u"))]
        with pytest.raises(UsageError, match="several threads"):
            saver.commit(prepared)
        assert list(saver.threads()) == []


# -- what a dead process leaves


class Death(BaseException):
    pass


def test_a_death_between_puts_leaves_orphans_and_nothing_else(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        config = saver.put(place(), checkpoint({"x": "a" * 100}), {}, {"x": 1})
        send = saver.client._send

        def dying(request: Any) -> Any:
            if isinstance(request, Put) and request.key.startswith("t/"):
                raise Death
            return send(request)

        saver.client._send = dying  # type: ignore[method-assign]
        big = os.urandom(40_000).hex()
        with pytest.raises(Death):
            saver.put(config, checkpoint({"x": big}), {}, {"x": 2})
    orphans = [key for key in objects_at(bucket) if key.startswith("d/")]
    assert len(orphans) == 2  # a page and a pack
    with S3Saver.from_conn_string(bucket) as saver:
        assert [id_of(one.config) for one in saver.list(place())] == [id_of(config)]
        other = os.urandom(40_000).hex()
        later = saver.put(config, checkpoint({"x": other}), {}, {"x": 2})  # finds the numbers taken
        assert saver.sweep() == 0  # too young
        assert saver.sweep(timedelta(seconds=-2)) == 2
        assert not set(orphans) & set(objects_at(bucket))
    with S3Saver.from_conn_string(bucket) as saver:
        found = saver.get_tuple(later)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"x": other}
        assert asyncio.run(saver.asweep(timedelta(seconds=-2))) == 0


def test_nothing_is_left_of_a_deleted_thread(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        run(saver)
        saver.prune(["t"])
        assert saver.sweep(timedelta(seconds=-2)) == 0
        assert len(objects_at(bucket)) <= 4
        saver.delete_thread("t")
    assert list(objects_at(bucket)) == ["perdure"]


def test_objects_that_are_gone_by_now_are_no_damage(bucket: str) -> None:
    """A reader that has just read a root, whose thread is pruned then, looks again."""
    with S3Saver.from_conn_string(bucket) as reader, S3Saver.from_conn_string(bucket) as other:
        items = run(other)
        send = reader.client._send
        begun = []

        def late(request: Any) -> Any:
            if request[0].startswith("d/") and not begun:
                begun.append(request)
                other.prune(["t"])
            return send(request)

        reader.client._send = late  # type: ignore[method-assign]
        found = reader.get_tuple(CONFIG)
        assert begun
        assert found is not None
        assert found.checkpoint["channel_values"]["items"] == items


# -- damage


def _flip(url: str, key: str) -> None:
    store = open_bucket(url)
    data = bytearray(obstore.get(store, key).bytes())
    data[len(data) // 2] ^= 1
    obstore.put(store, key, bytes(data))


PLACES = {"root": "^t/", "page": "^d/.*/0r0$", "pack": "^d/.*/0p0$"}


@pytest.mark.parametrize("kind", PLACES)
def test_a_flipped_byte_is_named(bucket: str, kind: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        run(saver)
    key = next(key for key in sorted(objects_at(bucket)) if re.search(PLACES[kind], key))
    _flip(bucket, key)
    with S3Saver.from_conn_string(bucket) as saver, pytest.raises(CorruptCheckpointError) as caught:
        list(saver.list(CONFIG))
    assert caught.value.thread_id == "t"
    assert kind == "pack" or key in str(caught.value)
    if kind == "pack":
        assert caught.value.channel == "items"
        assert caught.value.checkpoint_id is not None


def test_a_root_of_another_thread_is_refused(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        saver.put(place("one"), checkpoint({"x": 1}), {}, {"x": 1})
        store = open_bucket(bucket)
        obstore.put(store, root_key("two"), obstore.get(store, root_key("one")).bytes())
        with pytest.raises(CorruptCheckpointError, match="'one'"):
            saver.get_tuple(place("two"))


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 1 << 62) | st.text(max_size=4) | st.binary(max_size=4) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=50)
@given(_PLAIN, st.lists(_PLAIN, min_size=6, max_size=6), st.lists(_PLAIN, min_size=10, max_size=10), _PLAIN)
def test_forged_objects_are_refused(any_one: Any, rest: list[Any], space: list[Any], entry: Any) -> None:
    """With right checksums, and of any shape."""
    for content in (any_one, (1, *rest), (1, b"", "t", 1, 0, None, [space]), (1, b"", "t", 1, 0, rest, any_one)):
        frame = seal("root", packb(content))
        data = len(frame).to_bytes(4, "big") + frame
        with suppress(CorruptCheckpointError, SchemaVersionError):
            open_root(data, "t")
    for content in (any_one, (b"", any_one), (b"", [space]), (b"", [("id", None, [], False), entry])):
        with suppress(CorruptCheckpointError):
            open_page(seal("page", packb(content)))
        assert all(type(piece) is bytes for piece in open_pack(packb(content)).values())
    with suppress(CorruptCheckpointError):
        open_root(packb(any_one), "t")


# -- keys


@given(st.lists(st.text(max_size=22), min_size=2))
def test_keys_sort_as_ids_do(ids: list[str]) -> None:
    assert [thread_of(key) for key in sorted(root_key(i) for i in ids)] == sorted(ids)


@given(st.text(min_size=1, alphabet=st.characters(min_codepoint=0x800, exclude_categories=["Cs"])))
def test_long_ids_have_keys_of_their_own(text: str) -> None:
    one, other = root_key(text * 50), root_key(text * 50 + "x")
    assert one != other
    assert max(len(part) for part in one.split("/")) <= 255


def test_any_id_has_its_own_place(bucket: str) -> None:
    ids = [
        "a/b",
        "a",
        "../a",
        "a%2Fb",
        "A",
        "\x00",
        "\n",
        "",
        " ",
        "ä",
        "🦜",
        "x" * 1000,
        "x" * 1000 + "y",
        "t" * 90,
        "~",
    ]
    with S3Saver.from_conn_string(bucket) as saver:
        for n, name in enumerate(ids):
            saver.put(place(name, name), checkpoint({"x": n}), {"of": n}, {"x": 1})  # type: ignore[typeddict-unknown-key]
        for n, name in enumerate(ids):
            found = saver.get_tuple(place(name, name))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"x": n}
        assert sorted(saver.threads()) == sorted(ids)
        paged: list[str] = []
        while more := list(saver.threads(limit=4, after=paged[-1] if paged else None)):
            paged += more
        assert sorted(paged) == sorted(ids)
        with pytest.raises(UsageError, match="Unicode"):
            saver.put(place("\ud800"), checkpoint({"x": 1}), {}, {"x": 1})


def test_a_lease_alone_makes_no_thread(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        for n in range(20):
            lease = saver.acquire("t", "x" * (n * 50), 60)
            assert lease is not None
            assert list(saver.threads()) == []
            saver.release(lease)
        sizes = [size for key, size in objects_at(bucket).items() if key.startswith("t/")]
        assert [has_checkpoint(size) for size in sizes] == [False]


# -- the network


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_run_outlasts_an_outage(seaweed: Seaweed, aws: None, colour: str) -> None:
    """See tests/fault/outage.py for a server that is killed."""
    with Proxy(("127.0.0.1", seaweed.ports[0])) as proxy:
        healing = threading.Timer(0.7, proxy.heal)
        with S3Saver.from_conn_string(seaweed.url(port=proxy.address[1])) as saver:

            def work(state: State) -> dict[str, Any]:
                if state["n"] == 3 and not healing.ident:
                    proxy.refuse()
                    healing.start()
                return {"items": [state["n"]], "n": state["n"] + 1}

            builder = StateGraph(State).add_node("work", work).add_edge(START, "work")
            builder.add_conditional_edges("work", lambda state: "work" if state["n"] < 10 else "__end__")
            graph = builder.compile(checkpointer=saver)
            given: Any = {"items": [], "n": 0}
            result = graph.invoke(given, CONFIG) if colour == "sync" else asyncio.run(graph.ainvoke(given, CONFIG))
            assert result["items"] == list(range(10))
            assert len(list(saver.list(CONFIG))) == 12


def test_patience_ends(aws: None) -> None:
    opening = S3Saver.from_conn_string("s3://b?endpoint=http://127.0.0.1:9", retry_for=0.2)
    with opening as saver, pytest.raises(TransientStorageError, match="doesn't answer"):
        saver.get_tuple(CONFIG)


def test_what_is_wrong_is_said(seaweed: Seaweed, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = S3Saver.from_conn_string(bucket.replace("perdure-tests", "no-such-bucket"))
    with opening as saver, pytest.raises(StorageError, match="no such bucket"):
        saver.setup()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET + "not")
    with (
        S3Saver.from_conn_string(bucket) as saver,
        pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY") as caught,
    ):
        saver.setup()
    assert "SignatureDoesNotMatch" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["s3:bucket", "s3://", "s3://key:secret@bucket/x", "s3://bucket:80/x", "s3://bucket?secret_access_key=x"]
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        S3Saver.open(url)
    assert "secret" not in str(caught.value).partition("\n")[0].replace("secret_access_key", "")


class _Fake(BaseHTTPRequestHandler):
    """A store that keeps no conditions, and says that it is busy at first."""

    objects: dict[str, bytes]
    busy: int

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_busy():
            return
        self.objects[self.path] = data
        self._answer(200, b"", data)

    def do_GET(self) -> None:
        if not self._is_busy():
            found = self.objects.get(self.path)
            self._answer(404 if found is None else 200, b"<Code>NoSuchKey</Code>" if found is None else found)

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        keys = b"".join(b"<Deleted><Key>%s</Key></Deleted>" % key for key in re.findall(rb"<Key>(.*?)</Key>", asked))
        self._answer(200, b"<DeleteResult>%s</DeleteResult>" % keys)

    def _is_busy(self) -> bool:
        if type(self).busy <= 0:
            return False
        type(self).busy -= 1
        self._answer((429, 503)[self.busy % 2], b"<Code>SlowDown</Code>")
        return True

    def _answer(self, status: int, body: bytes, data: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hash(data or body):x}"')
        self.send_header("Last-Modified", "Wed, 25 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _fake(busy: int = 0) -> Iterator[tuple[str, type[_Fake]]]:
    handler = type("Handler", (_Fake,), {"objects": {}, "busy": busy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"s3://b/p?endpoint=http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


def test_a_store_without_conditions_is_refused(aws: None) -> None:
    with _fake() as (url, _), S3Saver.from_conn_string(url) as saver, pytest.raises(StorageError, match="ignores the"):
        saver.setup()


def test_a_busy_store_is_asked_again(aws: None) -> None:
    with _fake(busy=7) as (url, handler):
        handler.objects["/b/p/perdure"] = b"perdure 1\n"
        with S3Saver.from_conn_string(url) as saver:
            saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
        assert handler.busy == 0
        assert any("/t/" in key for key in handler.objects)


def test_garbage_that_cannot_be_deleted_fails_nothing(bucket: str) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        run(saver)
        send = saver.client._send

        def failing(request: Any) -> Any:
            return exchange.Lost(OSError()) if isinstance(request, Delete) else send(request)

        saver.client._send = failing  # type: ignore[method-assign]
        saver.prune(["t"])
        saver.client._send = send  # type: ignore[method-assign]
        assert len(list(saver.list(CONFIG))) == 1
        assert saver.sweep(timedelta(seconds=-2)) > 0


def _in_a_child(saver: Any, answers: Any) -> None:
    try:
        saver.get_tuple(CONFIG)
    except PerdureError as e:
        answers.put(str(e))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told(bucket: str) -> None:
    with open_saver(bucket) as saver:
        saver.get_tuple(CONFIG)
        fork = multiprocessing.get_context("fork")
        answers = fork.Queue()
        child = fork.Process(target=_in_a_child, args=(saver, answers))
        child.start()
        assert "spawn" in answers.get(timeout=20)
        child.join(20)


def test_the_command_line_takes_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Saver.from_conn_string(bucket) as saver:
        run(saver)
    plain, _, endpoint = bucket.partition("?endpoint=")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)  # the usual place, too
    perdure = Path(sys.executable).parent / "perdure"
    command = [str(perdure), "threads", "--json", "--db", plain]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [row["thread_id"] for row in json.loads(done.stdout)] == ["t"]
