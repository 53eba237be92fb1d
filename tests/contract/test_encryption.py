"""What encryption hides in files and databases, and that nothing is read where it doesn't belong."""

from __future__ import annotations

import operator
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import obstore
import psycopg
import pytest
from tests.contract.conftest import encrypting

import redis
from perdure.checkpoint import frames
from perdure.checkpoint.address import make_config
from perdure.checkpoint.base import Commit
from perdure.checkpoint.conformance.case import COLOURS, Colour, checkpoint, paint
from perdure.checkpoint.findings import Kind
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.records import Lineage
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.sealing import key_of
from perdure.checkpoint.serde.encrypted import EncryptedSerializer, LocalKeys
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import CorruptCheckpointError, EncryptionError, UsageError
from perdure.graph import END, START, StateGraph
from perdure.ops import rekey, repair, verify
from perdure.store.sqlite import SqliteStore

SECRET = "the launch code is 0000"
THREAD: Any = {"configurable": {"thread_id": "t"}}

OLD, NEW = os.urandom(32), os.urandom(32)


def under(*names: str, **options: Any) -> EncryptedSerializer:
    """Return a serializer with keys, the current one first."""
    keys = {"old": ("2026-01", OLD), "new": ("2026-02", NEW)}
    return EncryptedSerializer.from_keys(LocalKeys(dict(keys[name] for name in names)), **options)


@pytest.fixture(params=["sqlite", "postgresql", "redis", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database of each kind is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/secret.db"
    if request.param == "redis":
        return request.getfixturevalue("empty_valkey").url
    return request.getfixturevalue("database" if request.param == "postgresql" else "bucket")


# -- what is stored


class State(TypedDict):
    hidden_channel: str


def fails(state: State) -> State:
    raise RuntimeError(f"{SECRET}, says the error")


def run_with_secrets(saver: Any) -> None:
    builder = StateGraph(State).add_node("keep", lambda _: {"hidden_channel": f"{SECRET}, says a node"})
    builder.add_node("fails", fails).add_edge(START, "keep").add_edge("keep", "fails")
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(RuntimeError):
        graph.invoke(
            {"hidden_channel": f"{SECRET}, says the input" * 20},
            THREAD | {"metadata": {"user": f"{SECRET}, says metadata"}},
        )
    state = graph.get_state(THREAD)
    assert state.values == {"hidden_channel": f"{SECRET}, says a node"}
    assert SECRET in str(state.tasks[0].error)


def everything(url: str, saver: Any) -> bytes:
    """Return all bytes that a database has."""
    kind = url.partition(":")[0]
    if kind == "sqlite":
        files = Path(url.removeprefix("sqlite:///")).parent.glob("secret.db*")  # the WAL too
        return b"".join(file.read_bytes() for file in files)
    if kind == "s3":
        listed = [one["path"] for page in obstore.list(saver._store) for one in page]
        return b"".join(path.encode() + opened(bytes(obstore.get(saver._store, path).bytes())) for path in listed)
    if kind == "redis":
        with redis.Redis.from_url(url) as client:
            hashes = [client.hgetall(key) for key in client.scan_iter() if client.type(key) == b"hash"]
            return b"".join(key + data for one in hashes for key, data in one.items())
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [row for (table,) in tables for row in connection.execute(f'SELECT * FROM "{table}"')]
        return b" ".join(x if isinstance(x, bytes) else str(x).encode() for row in rows for x in row)


def opened(data: bytes) -> bytes:
    """Return what is in an object of a bucket: roots and pages are frames, maybe compressed."""
    for frame in (data[4 : 4 + int.from_bytes(data[:4], "big")], data):
        with suppress(CorruptCheckpointError):
            return frames.unseal(frame).content
    return data


@pytest.mark.parametrize("is_secret", [False, True])
def test_a_database_tells_nothing(url: str, is_secret: bool):
    with open_saver(url, serde=encrypting() if is_secret else None) as saver:
        run_with_secrets(saver)
        found = everything(url, saver)
    assert (SECRET.encode() in found) is not is_secret
    if is_secret:
        for text in ("says", "hidden_channel", "branch:to", "user"):
            assert text.encode() not in found


def test_items_of_a_store_tell_no_value(tmp_path: Path):
    for name, serde in (("plain.db", None), ("secret.db", encrypting()), ("keys.db", under("new"))):
        path = tmp_path / name
        with SqliteStore.from_conn_string(str(path), serde=serde) as store:
            store.put(("users",), "ada", {"note": f"{SECRET}, says an item"})
            assert store.search(("users",))[0].value == {"note": f"{SECRET}, says an item"}
        assert (SECRET.encode() in path.read_bytes()) is (serde is None)


# -- rows out of place

FIRST, SECOND = (checkpoint({}, {}, after=None)["id"] for _ in range(2))
TEXTS = {name: os.urandom(150).hex() for name in ("x", "y")}


def fill(saver: Any, thread: str, space: str = "") -> None:
    """Make two checkpoints, with two long values, and writes of two tasks on each; everywhere under the same ids."""
    parent = None
    for n, checkpoint_id in enumerate((FIRST, SECOND)):
        made = checkpoint({name: text + "." * n for name, text in TEXTS.items()}, dict.fromkeys(TEXTS, n + 1))
        made["id"] = checkpoint_id
        saver.commit([saver.prepare(Commit(thread, space, parent, (), made, {"step": n}, dict.fromkeys(TEXTS, n + 1)))])
        for task in ("one", "two"):
            saver.put_writes(make_config(thread, space, checkpoint_id), [("x", f"{task}, a write")], task)
        parent = checkpoint_id


Key = tuple[Any, ...]


class Rows:
    """The rows of a thread's namespace, as somebody sees them who has no key, and may write."""

    def __init__(self, saver: Any, thread: str, space: str = "") -> None:
        self.saver = saver
        self.place = (thread, space)

    def read(self) -> dict[Key, bytes]:
        return self.saver._run(partial(self._read, self.saver._dialect), "write")

    def write(self, rows: dict[Key, bytes]) -> None:
        self.saver._run(partial(self._write, self.saver._dialect, rows), "write")

    def _ns(self, dialect: Any) -> Any:
        [found] = yield [(dialect.sql["namespaces_of_thread"], self.place[:1])]
        return next(ns for ns, name in found if name == self.place[1])

    def _read(self, dialect: Any) -> Any:
        ns = yield from self._ns(dialect)
        names = ("records", "writes", "pieces")
        records, writes, held = yield [(dialect.sql[f"{name}_of_namespace"], (ns,)) for name in names]
        [pieces] = yield [dialect.asking_pieces([(ns, number) for (number,) in held])]
        return {
            **{("record", row[0]): row[3] for row in records},
            **{("writes", row[0], row[1]): row[3] for row in writes},
            **{("piece", row[1]): row[2] for row in pieces},
        }

    def _write(self, dialect: Any, rows: dict[Key, bytes]) -> Any:
        ns = yield from self._ns(dialect)
        for (kind, *place), data in rows.items():
            if kind == "piece":
                yield dialect.changing_piece(ns, *place, data)
            else:
                yield [(dialect.sql["change_record" if kind == "record" else "change_writes"], (data, ns, *place))]


def like(own: dict[Key, bytes], others: dict[Key, bytes]) -> dict[Key, bytes]:
    """Name pieces as the own ones are; in Redis they may have other numbers."""
    numbers, theirs = (sorted(key for key in rows if key[0] == "piece") for rows in (own, others))
    named = {key: others[their] for key, their in zip(numbers, theirs, strict=True)}
    return named | {key: data for key, data in others.items() if key[0] != "piece"}


def flipped(data: bytes, at: int) -> bytes:
    """Change a bit, and the checksum so that it fits."""
    made = bytearray(data)
    made[at] ^= 1
    made[: frames.CHECKSUM] = frames.xxh3_64_digest(bytes(made[frames.CHECKSUM :]))
    return bytes(made)


def attacks(saver: Any, plain: Any) -> Iterator[tuple[str, dict[Key, bytes], str]]:
    """Yield what somebody writes into thread `t`, and which channel an error must name."""
    own = Rows(saver, "t").read()
    others, subs, plain = (like(own, rows) for rows in (Rows(saver, "u").read(), Rows(saver, "t", "sub").read(), plain))
    record, (write, second) = ("record", SECOND), (("writes", SECOND, task) for task in ("one", "two"))
    pieces = sorted(key for key in own if key[0] == "piece")
    assert len(pieces) == 4
    for key, channel in ((record, "(its record)"), (write, "(pending writes)"), (pieces[0], "x"), (pieces[3], "y")):
        yield f"{key}: of another thread", {key: others[key]}, channel
        yield f"{key}: of another namespace", {key: subs[key]}, channel
        yield f"{key}: not encrypted", {key: plain[key]}, channel
        for at in (frames.CHECKSUM, frames.CHECKSUM + 40, -1):
            yield f"{key}: bit {at} flipped, with a new checksum", {key: flipped(own[key], at)}, channel
        yield f"{key}: cut off", {key: own[key][:-1]}, channel
    yield "the record of another checkpoint", {record: own["record", FIRST]}, "(its record)"
    yield "the writes of another checkpoint", {write: own["writes", FIRST, "one"]}, "(pending writes)"
    yield "the writes of another task", {write: own[second]}, "(pending writes)"
    yield "a piece as a record", {record: own[pieces[0]]}, "(its record)"
    yield "a record as writes", {write: own[record]}, "(pending writes)"
    yield "the channels' values exchanged", {pieces[0]: own[pieces[1]], pieces[1]: own[pieces[0]]}, "x"
    yield "a channel's pieces exchanged", {pieces[0]: own[pieces[2]], pieces[2]: own[pieces[0]]}, "x"


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_row_opens_in_its_own_place_only(url: str, colour: Colour, tmp_path: Path):
    with SqliteSaver.from_conn_string(f"{tmp_path}/plain.db") as other:
        fill(other, "t")
        plain = Rows(other, "t").read()
    with open_saver(url, serde=under("new")) as saver:
        for place in (("t",), ("u",), ("t", "sub")):
            fill(saver, *place)
        own = Rows(saver, "t").read()
        tried = 0
        for name, rows, channel in attacks(saver, plain):
            Rows(saver, "t").write(rows)
            saver._lineage = Lineage()  # remember nothing
            with pytest.raises(CorruptCheckpointError) as refused:
                await paint(saver, colour).get_tuple(THREAD)
            with pytest.raises(CorruptCheckpointError):
                await paint(saver, colour).list(THREAD)
            error = refused.value
            assert (error.thread_id, error.checkpoint_id, error.channel) == ("t", SECOND, channel), name
            assert "thread 't'" in str(error)
            if "another" in name or "exchanged" in name:  # the envelope tells, and not only checksums within
                assert "aren't what was stored in this place" in str(error), name
            Rows(saver, "t").write({key: own[key] for key in rows})
            tried += 1
        assert tried == 35
        found = await paint(saver, colour).get_tuple(THREAD)
        assert found.checkpoint["channel_values"] == {name: text + "." for name, text in TEXTS.items()}
        assert found.pending_writes == [(task, "x", f"{task}, a write") for task in ("one", "two")]


def test_who_writes_on_refuses_what_is_out_of_place(url: str):
    works: dict[Key, Any] = {
        ("writes", SECOND, "one"): lambda saver: saver.put_writes(make_config("t", "", SECOND), [("y", 1)], "one"),
        ("record", SECOND): lambda saver: saver.commit([next_commit(saver)]),
    }
    with open_saver(url, serde=under("new")) as saver:
        for thread in ("t", "u"):
            fill(saver, thread)
        others = Rows(saver, "u").read()
        for key, work in works.items():
            own = Rows(saver, "t").read()
            Rows(saver, "t").write({key: others[key]})
            for one in (work, lambda saver: saver.prune(["t"]), lambda saver: saver.copy_thread("t", "w")):
                with open_saver(url, serde=under("new")) as fresh, pytest.raises(CorruptCheckpointError):
                    one(fresh)
            assert Rows(saver, "t").read() == own | {key: others[key]}
            Rows(saver, "t").write({key: own[key]})
            with open_saver(url, serde=under("new")) as fresh:
                work(fresh)


def next_commit(saver: Any) -> Any:
    """Prepare a commit that goes on from the second checkpoint."""
    saver._lineage = Lineage()
    made = checkpoint({"x": "new"}, {"x": 3, "y": 2}, after=SECOND)
    return saver.prepare(Commit("t", "", SECOND, (), made, {"step": 2}, {"x": 3}))


@pytest.mark.parametrize("colour", COLOURS)
async def test_copies_and_what_is_left_of_deleting_open(url: str, colour: Colour):
    async def threads_of(saver: Any) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for one in await saver.list(None):
            here = one.config["configurable"]
            about = (here["checkpoint_ns"], one.checkpoint, sorted(one.pending_writes or ()))
            found.setdefault(here["thread_id"], []).append(about)
        return found

    with open_saver(url, serde=under("new")) as opened:
        saver = paint(opened, colour)
        for place in (("t",), ("t", "sub"), ("u",)):
            fill(opened, *place)
        await saver.commit([next_commit(opened)])
        before = await threads_of(saver)
        await saver.copy_thread("t", "empty")
        await saver.copy_thread("t", "u")  # whose own checkpoints have the same ids, and pieces other numbers
        await saver.copy_thread("t", "u")
        for thread in ("empty", "u"):
            assert (await threads_of(saver))[thread] == before["t"]
        await saver.prune(["empty"])
        assert [one[1]["id"] for one in (await threads_of(saver))["empty"]] == [
            max(one[1]["id"] for one in before["t"] if one[0] == space) for space in ("", "sub")
        ]
        await saver.delete_thread("t")
        assert (await threads_of(saver))["u"] == before["t"]
        for thread in ("empty", "u"):
            assert [one for one in await saver.check_thread(thread) if one.kind is not Kind.PARENT] == []


# -- keys


def test_what_was_stored_without_encryption_is_refused(url: str):
    with open_saver(url) as saver:
        fill(saver, "t")
    with open_saver(url, serde=encrypting()) as saver:
        with pytest.raises(EncryptionError, match=r"thread 't'.*aren't encrypted"):
            saver.get_tuple(THREAD)
        assert {one.kind for one in saver.check_thread("t")} == {Kind.UNDECODABLE}


def test_what_is_encrypted_needs_the_key(url: str):
    with open_saver(url, serde=under("old")) as saver:
        fill(saver, "t")
    with open_saver(url) as saver, pytest.raises(EncryptionError, match=r"thread 't'.*are encrypted\n"):
        saver.get_tuple(THREAD)
    other = EncryptedSerializer.from_keys(LocalKeys({"2026-01": NEW}))
    for serde in (under("new"), other, encrypting()):
        with open_saver(url, serde=serde) as saver:
            with pytest.raises(EncryptionError, match=r"thread 't'.*the key '2026-01'"):
                saver.get_tuple(THREAD)
            found = repair(saver).findings
            assert {one.kind for one in found} == {Kind.UNDECODABLE}  # never removed
    with open_saver(url, serde=under("new", "old")) as saver:
        assert saver.get_tuple(THREAD) is not None
        assert verify(saver).findings == []


def test_another_tenant_is_another_place(tmp_path: Path):
    path = f"{tmp_path}/secret.db"
    with SqliteSaver.from_conn_string(path, serde=under("new", tenant="one")) as saver:
        fill(saver, "t")
    refused = pytest.raises(CorruptCheckpointError, match=r"thread 't'.*aren't what was stored in this place")
    with SqliteSaver.from_conn_string(path, serde=under("new", tenant="two")) as saver, refused:
        saver.get_tuple(THREAD)


def test_keys_may_be_renamed(tmp_path: Path):
    path = f"{tmp_path}/secret.db"
    with SqliteSaver.from_conn_string(path, serde=encrypting()) as saver:  # named by its hash
        fill(saver, "t")
    keys = LocalKeys({"2026-02": NEW, "what we had": b"0123456789abcdef"})
    with SqliteSaver.from_conn_string(path, serde=EncryptedSerializer.from_keys(keys)) as saver:
        assert saver.get_tuple(THREAD) is not None
        assert saver.rekey_thread("t").rewritten == 10
    with SqliteSaver.from_conn_string(path, serde=under("new")) as saver:
        assert saver.get_tuple(THREAD) is not None


class Kms:
    """A key service as one on a server is."""

    def __init__(self, **keys: bytes) -> None:
        self.inner = LocalKeys(keys)
        self.asked: list[str] = []
        self.current = self.inner.current

    def wrap(self, data_key: bytes) -> tuple[str, bytes]:
        self.asked.append("wrap")
        return self.inner.wrap(data_key)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        self.asked.append("unwrap")
        return self.inner.unwrap(key_id, wrapped)


def test_a_key_service_is_asked_once_a_data_key(tmp_path: Path):
    path = f"{tmp_path}/secret.db"
    first, second, third = (Kms(a=OLD) for _ in range(3))
    with SqliteSaver.from_conn_string(path, serde=EncryptedSerializer.from_keys(first)) as saver:
        for thread in ("t", "u"):
            fill(saver, thread)
    with SqliteSaver.from_conn_string(path, serde=EncryptedSerializer.from_keys(second)) as saver:
        saver.get_tuple(THREAD)
        fill(saver, "w")  # with the data key that it has met
        assert len({frames_key(data) for t in "tuw" for data in Rows(saver, t).read().values()}) == 1
    with SqliteSaver.from_conn_string(path, serde=EncryptedSerializer.from_keys(third)) as saver:
        fill(saver, "v")  # it has met none
    assert (first.asked, second.asked, third.asked) == (["wrap"], ["unwrap"], ["wrap"])


def frames_key(data: bytes) -> bytes:
    at = frames.CHECKSUM + 1
    return data[at : at + 1 + data[at] + 2 + 40]


# -- metadata


def test_metadata_is_searched_by_what_was_chosen(database: str):
    chosen = under("new", searchable=["user", "tags"])
    with PostgresSaver.from_conn_string(database, serde=chosen) as saver:
        for n in range(6):
            metadata: Any = {"user": "ada" if n % 2 else "bob", "topic": "tea" if n % 3 else "rum", "tags": ["a"]}
            saver.put(make_config(f"t{n}", "", None), checkpoint({"x": n}, {"x": 1}), metadata, {"x": 1})
        for wanted, threads in (
            ({"user": "ada"}, "531"),
            ({"topic": "rum"}, "30"),
            ({"user": "ada", "topic": "tea"}, "51"),
            ({"tags": ["a"]}, "543210"),
            ({"no": 1}, ""),
        ):
            found = [one.config["configurable"]["thread_id"] for one in saver.list(None, filter=wanted)]
            assert found == [f"t{n}" for n in threads]
    with psycopg.connect(database) as connection:
        column = "SELECT DISTINCT metadata::text FROM perdure_checkpoints ORDER BY 1"
        assert connection.execute(column).fetchall() == [('{"user": "ada"}',), ('{"user": "bob"}',)]
        with PostgresSaver.from_conn_string(database, serde=under("new", searchable=["topic"])) as saver:
            assert rekey(saver).rewritten == 0
            assert len(list(saver.list(None, filter={"topic": "tea"}))) == 4
        assert connection.execute(column).fetchall() == [('{"topic": "rum"}',), ('{"topic": "tea"}',)]


# -- other ways


def test_as_programs_of_langgraph_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LANGGRAPH_AES_KEY", "0123456789abcdef")
    connection = sqlite3.connect(tmp_path / "secret.db", check_same_thread=False)
    serde = EncryptedSerializer.from_pycryptodome_aes()
    with closing(connection), SqliteSaver(connection, serde=serde) as saver:
        run_with_secrets(saver)
        assert saver.serde is serde
        assert all(key_of(data) == serde.keys.current for data in Rows(saver, "t").read().values())


def test_a_serializer_may_be_set_later(tmp_path: Path):
    with SqliteSaver.from_conn_string(f"{tmp_path}/secret.db") as saver:
        saver.serde = under("new")
        fill(saver, "t")
        assert {key_of(data) for data in Rows(saver, "t").read().values()} == {"2026-02"}
        saver.serde = JsonPlusSerializer()
        with pytest.raises(EncryptionError, match="are encrypted"):
            saver.get_tuple(THREAD)


class Backwards:
    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "backwards", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


def test_a_cipher_of_ones_own_encrypts_values(tmp_path: Path):
    with SqliteSaver.from_conn_string(f"{tmp_path}/secret.db", serde=EncryptedSerializer(Backwards())) as saver:
        run_with_secrets(saver)
        found = everything(f"sqlite:///{tmp_path}/secret.db", saver)
        assert SECRET.encode() not in found
        assert SECRET[::-1].encode() in found
        with pytest.raises(UsageError, match="has no keys"):
            saver.rekey_thread("t")


@pytest.mark.parametrize("serde", [encrypting(), under("new")])
def test_in_memory_values_are_encrypted(serde: EncryptedSerializer):
    saver = InMemorySaver(serde=serde)
    run_with_secrets(saver)
    [space] = saver._threads["t"].values()
    held = [(record.header, record.refs) for record in space.records.values()]
    assert SECRET not in repr((held, space.writes))


def test_storage_grows_with_what_changes(tmp_path: Path):
    sizes = {}
    for name, serde in (("plain", None), ("secret", under("new"))):
        path = tmp_path / f"{name}.db"
        with SqliteSaver.from_conn_string(str(path), serde=serde, synchronous="NORMAL") as saver:
            graph = chain().compile(checkpointer=saver)
            graph.invoke({"items": [], "n": 0}, THREAD | {"recursion_limit": 1100})
        sizes[name] = path.stat().st_size / 1_000_000
    assert sizes["secret"] < 3.5
    assert sizes["secret"] < 1.6 * sizes["plain"]


class Items(TypedDict):
    items: Annotated[list, operator.add]
    n: int


def chain() -> Any:
    def add(state: Items) -> Any:
        return {"items": [{"text": os.urandom(500).hex()}], "n": state["n"] + 1}

    builder = StateGraph(Items).add_node("add", add).add_edge(START, "add")
    return builder.add_conditional_edges("add", lambda state: "add" if state["n"] < 1000 else END)
