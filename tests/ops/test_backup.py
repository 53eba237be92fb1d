"""Backups: what was saved comes back, on any backend, and a file that isn't what was written is refused."""

from __future__ import annotations

import base64
import itertools
import os
import random
import signal
from datetime import UTC, datetime

import pytest
import zstandard
from tests.fault.program import in_a_child
from tests.ops.conftest import KINDS
from tests.ops.making import THREADS, grow, history
from tests.ops.test_migrate import assert_same, content

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.errors import CorruptCheckpointError, StorageError, UsageError
from perdure.ops import Database, Selection, backup, migrate, restore
from perdure.ops.archive.blocks import BlockWriter, Kind
from perdure.ops.archive.records import Compressor, pack, pack_alone
from perdure.ops.comparing import same
from perdure.store.memory import InMemoryStore
from perdure.store.registry import open_store


def compress(data):
    return zstandard.ZstdCompressor().compress(data)


def record(made):
    stream = Compressor()
    return stream.add(made) + stream.end()


@pytest.fixture
def source():
    return history(InMemorySaver())


def restored(path, **options):
    target = InMemorySaver()
    restore(path, target, **options)
    return target


@pytest.mark.parametrize("kind", ["memory", *KINDS])
def test_it_comes_back_on_every_backend(source, place_of, kind, tmp_path):
    done = backup(source, tmp_path / "all.perdure")
    assert done.copied.checkpoints == len(list(source.list(None)))
    assert done.size == (tmp_path / "all.perdure").stat().st_size
    where = place_of(kind)
    assert restore(done.path, where).checkpoints == done.copied.checkpoints
    again = restore(done.path, where)
    assert (again.checkpoints, again.present) == (0, done.copied.checkpoints)
    if kind == "memory":
        assert_same(source, where)
        return
    with open_saver(where) as saver:
        assert_same(source, saver)
    if kind != "sqlite":
        return
    backup(where, tmp_path / "again.perdure")
    assert_same(source, restored(tmp_path / "again.perdure"))


def test_since_another_one(source, tmp_path):
    first, second, third = (tmp_path / f"{n}.perdure" for n in (1, 2, 3))
    backup(source, first)
    grow(source, "one", 5)
    grow(source, "new", 5)
    many = backup(source, second, since=first).copied.checkpoints
    assert many == 24
    grow(source, "one", 6, steps=3)
    assert backup(source, third, since=second).copied.checkpoints == 3
    assert_same(source, restored(third))
    assert len(content(restored(second))) == len(content(source)) - 3
    second.rename(tmp_path / "hidden")
    with pytest.raises(StorageError, match=r"goes on from .*2\.perdure, which isn't there"):
        restored(third)
    backup(source, second)
    with pytest.raises(CorruptCheckpointError, match="is not the backup that"):
        restored(third)


def test_what_was_pruned_is_saved_again(source, tmp_path):
    first, second = tmp_path / "1.perdure", tmp_path / "2.perdure"
    backup(source, first)
    before = content(source)
    source.prune(["one"])
    backup(source, second, since=first)
    assert content(restored(second)).keys() == before.keys()


def test_to_a_point_in_time_or_of_one_thread(source, tmp_path):
    path = tmp_path / "all.perdure"
    backup(source, path)
    assert list(restored(path, selection=Selection(threads=["one"])).threads()) == ["one"]
    made = sorted(one.checkpoint["ts"] for one in source.list(None))
    until = datetime.fromisoformat(made[len(made) // 2])
    target = restored(path, selection=Selection(until=until))
    assert sorted(one.checkpoint["ts"] for one in target.list(None)) == [ts for ts in made if ts <= until.isoformat()]
    for one in target.list(None):
        assert same(one.checkpoint, source.get_tuple(one.config).checkpoint)


def test_to_a_checkpoint(source, tmp_path):
    path = tmp_path / "all.perdure"
    backup(source, path)
    chain = [one.config["configurable"]["checkpoint_id"] for one in source.list(place("one"))]
    last = chain[len(chain) // 2]
    target = restored(path, selection=Selection(threads=["one"], up_to=last))
    assert target.get_tuple(place("one")).config["configurable"]["checkpoint_id"] == last
    assert same(
        target.get_tuple(place("one")).checkpoint, source.get_tuple(place("one", checkpoint_id=last)).checkpoint
    )
    assert target.get_tuple(place("one")).pending_writes == []
    found = {one.config["configurable"]["checkpoint_id"] for one in target.list({"configurable": {"thread_id": "one"}})}
    held = {one.config["configurable"]["checkpoint_id"] for one in source.list({"configurable": {"thread_id": "one"}})}
    assert found == {one for one in held if one <= last}
    with pytest.raises(StorageError, match="no checkpoint 'none such'"):
        restored(path, selection=Selection(threads=["one"], up_to="none such"))


def test_every_cut_and_every_changed_byte_is_refused(source, tmp_path):
    path = tmp_path / "all.perdure"
    backup(source, path)
    whole = path.read_bytes()
    target = InMemorySaver()
    for size in {*range(0, len(whole), 97), len(whole) - 1, 8, 12}:
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptCheckpointError, match=r"cut off: it ends at byte|is not a backup"):
            restore(path, target)
    for at in {*range(0, len(whole), 61), 7, 8, 12, len(whole) - 1}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(CorruptCheckpointError, match=r"at byte \d+|is not a backup|has format|it ends at byte"):
            restore(path, target)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptCheckpointError, match="something follows its end"):
        restore(path, target)
    assert list(target.threads()) == []


def test_blocks_of_another_backup_or_in_another_order_are_refused(tmp_path, monkeypatch):
    from perdure.ops.archive import blocks, file

    monkeypatch.setattr(file, "_PART", 1000)
    paths = [tmp_path / "a.perdure", tmp_path / "b.perdure"]
    for path in paths:
        saver = InMemorySaver()
        for n in range(8):  # the compressor hands on what it has when it has much
            saver.put(place(f"t{n}"), checkpoint({"a": random.randbytes(150_000)}, {"a": 1}), {}, {"a": 1})
        backup(saver, path)
    parts = []
    for path in paths:
        data = path.read_bytes()
        with path.open("rb") as opened:
            places = [*(block.at for block in blocks.read_blocks(opened, "it")), len(data)]
        parts.append([data[:8], *(data[a:b] for a, b in itertools.pairwise(places))])
    one, other = parts
    assert len(one) > 6
    for mixed in ([*one[:3], other[3], *one[4:]], [*one[:2], one[3], one[2], *one[4:]], [*one[:3], *one[4:]]):
        paths[0].write_bytes(b"".join(mixed))
        with pytest.raises(CorruptCheckpointError, match="doesn't fit its checksum"):
            restored(paths[0])


def test_encrypted(source, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 32)
    path = tmp_path / "secret.perdure"
    source.put(place("secret"), source.get_tuple(place("one")).checkpoint, {"user": "MARKER"}, {})
    backup(source, path, encrypt=True)
    assert_same(source, restored(path, decrypt=True))
    assert b"MARKER" not in path.read_bytes()
    with pytest.raises(UsageError, match="is encrypted"):
        restored(path)
    monkeypatch.setenv("PERDURE_AES_KEY", "j" * 32)
    with pytest.raises(CorruptCheckpointError, match="another key"):
        restored(path, decrypt=True)


def test_encrypted_with_keys_that_have_names(source, tmp_path, monkeypatch):
    old, new = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("2025", "2026"))
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", old)
    path = tmp_path / "secret.perdure"
    backup(source, path, encrypt=True)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", f"{new},{old}")
    assert_same(source, restored(path, decrypt=True))
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", new)
    with pytest.raises(CorruptCheckpointError, match="the key '2025', and none of the keys at hand"):
        restored(path, decrypt=True)


def test_items(tmp_path):
    url = f"sqlite:///{tmp_path}/one.db"
    store = InMemoryStore()
    for n in range(230):
        store.put(("users", f"u{n % 7}"), f"key {n}", {"n": n, "tags": ("a", n)}, ttl=None if n % 2 else 60.0)
    backup(Database(InMemorySaver(), store), tmp_path / "1.perdure")
    store.delete(("users", "u3"), "key 3")
    backup(Database(InMemorySaver(), store), tmp_path / "2.perdure", since=tmp_path / "1.perdure")
    assert restore(tmp_path / "2.perdure", url).items == 229
    assert restore(tmp_path / "2.perdure", url).items == 0
    with open_store(url) as found:
        assert found.get(("users", "u3"), "key 3") is None
        assert found.get(("users", "u4"), "key 4", refresh_ttl=False).value == {"n": 4, "tags": ("a", 4)}
        keys = [(("users", f"u{n % 7}"), f"key {n}") for n in range(230)]
        assert found.lives(keys) == store.lives(keys)


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_items_keep_their_times_from_one_database_to_another(kind, other, place_of):
    source, target = place_of(kind, "source"), place_of(other, "target")
    keys = [(("users",), "short"), (("users",), "long"), (("users",), "there already")]
    with open_store(target) as store:
        store.put(*keys[2], {"n": 3})
        (there,) = store.lives(keys[2:])
    with open_store(source) as store:
        store.put(*keys[0], {"n": 1}, ttl=90.0)
        store.put(*keys[1], {"n": 2})
        store.put(*keys[2], {"n": 3}, ttl=5.0)
        lives = store.lives(keys)
    assert migrate(source, target).copied.items == 2
    with open_store(target) as store:
        assert store.lives(keys) == [*lives[:2], there]


def test_killed_in_the_middle_there_is_no_half_file(source, tmp_path):
    path = tmp_path / "all.perdure"
    backup(source, path)
    before = path.read_bytes()
    grow(source, "one", 9)

    def die_at(at):
        def tell(tally):
            if tally.threads == at:
                os.kill(os.getpid(), signal.SIGKILL)

        return lambda: backup(source, path, on_progress=tell)

    for at in range(1, len(THREADS) + 1):
        assert in_a_child(die_at(at)) == -signal.SIGKILL
        assert path.read_bytes() == before
    inode = path.stat().st_ino
    backup(source, path)
    assert path.stat().st_ino != inode  # another file, under the same name
    assert_same(source, restored(path))


def test_an_error_leaves_nothing(source, tmp_path):
    def fail(tally):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        backup(source, tmp_path / "all.perdure", on_progress=fail)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="can't be written: No such file"):
        backup(source, tmp_path / "no" / "all.perdure")


def test_a_restore_that_was_killed_goes_on(source, tmp_path, monkeypatch):
    monkeypatch.setattr("perdure.ops.writing._BATCH", 2)
    path, url = tmp_path / "all.perdure", f"sqlite:///{tmp_path}/target.db"
    backup(source, path)
    chance = random.Random(1)

    def die(tally):
        if chance.random() < 0.2:
            os.kill(os.getpid(), signal.SIGKILL)

    kills = 0
    while in_a_child(lambda: restore(path, url, on_progress=die)) == -signal.SIGKILL:
        kills += 1
        chance.random()
    assert kills > 1
    with open_saver(url) as saver:
        assert_same(source, saver)


def crafted(path, about, index, *records):
    """Write a file whose checksums are right, and whose contents are a stranger's."""
    with path.open("wb") as file:
        blocks = BlockWriter(file, bytes(16), None)
        blocks.write(Kind.ABOUT, bytes(16) + pack(about))
        for content in records:
            blocks.write(Kind.RECORDS, content)
        blocks.write(Kind.INDEX, index)
        blocks.write(Kind.END, b"")


MADE = datetime(2026, 1, 1, tzinfo=UTC)
WELL = [MADE, False, None, None]
NONE = pack_alone({})
HUGE = b"\x28\xb5\x2f\xfd\xe0" + (1 << 62).to_bytes(8, "little")  # a frame that claims to unfold to so many bytes


@pytest.mark.parametrize(
    ("about", "index", "records", "told"),
    [
        ([1], NONE, [], "doesn't say what it is"),
        ([*WELL, 5], NONE, [], "doesn't say what it is"),
        (["now", False, None, None], NONE, [], "doesn't say what it is"),
        ([MADE, False, b"1" * 16, "../../passwd"], NONE, [], "doesn't say what it is"),
        ([MADE, False, b"1" * 16, ".."], NONE, [], "doesn't say what it is"),
        ([MADE, False, b"1" * 16, ""], NONE, [], "doesn't say what it is"),
        ([MADE, False, b"1" * 16, 5], NONE, [], "doesn't say what it is"),
        (WELL, b"nothing", [], "list"),
        (WELL, HUGE, [], "larger than any"),
        (WELL, NONE, [compress((1 << 63).to_bytes(8, "big") + b"x")], "larger than any"),
        (WELL, NONE, [compress(b"\0" * 7 + b"\x01\xc1")], r"stored bytes|decoded"),
        (WELL, NONE, [record(["commit"])], "isn't the commit"),
        (WELL, NONE, [record(["commit", "t", "", None, [], {}, [1]])], "isn't the commit"),
    ],
)
def test_contents_of_strangers_are_refused(tmp_path, about, index, records, told):
    path = tmp_path / "crafted.perdure"
    crafted(path, about, index, *records)
    with pytest.raises(CorruptCheckpointError, match=told):
        restored(path)
