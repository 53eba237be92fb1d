"""A reader written from docs/storage-format.md alone reads what perdure stores."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import ormsgpack
import pytest
import xxhash
import zstandard
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from perdure.checkpoint.address import make_config
from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint
from perdure.checkpoint.serde.encrypted import EncryptedSerializer, LocalKeys
from perdure.checkpoint.sqlite import SqliteSaver


def _frame(data: bytes, *place: str) -> tuple[int, str, bytes]:
    assert xxhash.xxh3_64_digest(data[8:] + "\0".join(place).encode()) == data[:8]
    flags, length = data[8], data[9]
    content = data[10 + length :]
    assert flags >> 4 == 1
    return flags & 2, data[10 : 10 + length].decode(), zstandard.decompress(content) if flags & 1 else content


def _decoded(kind: str, content: bytes) -> Any:
    return {"null": lambda _: None, "bytes": bytes, "msgpack": ormsgpack.unpackb}[kind](content)


KEY = b"a key of the tests, of 32 bytes."


class _Envelopes:
    """Opens what is encrypted."""

    def __init__(self, tenant: str, thread_id: str, checkpoint_ns: str) -> None:
        self.scope = ormsgpack.packb([part.encode() for part in ("perdure", tenant, thread_id, checkpoint_ns)])

    def __call__(self, data: bytes, *place: str) -> bytes:
        assert xxhash.xxh3_64_digest(data[8:]) == data[:8]
        assert data[8] == 0x14
        name_ends = 10 + data[9]
        assert data[10:name_ends] == b"2026-01"
        ends = name_ends + 2 + int.from_bytes(data[name_ends : name_ends + 2], "big")
        data_key = aes_key_unwrap(KEY, data[name_ends + 2 : ends])
        key = HKDF(hashes.SHA256(), 32, None, self.scope).derive(data_key)
        associated = self.scope + ormsgpack.packb([part.encode() for part in place]) + data[9:ends]
        return AESGCMSIV(key).decrypt(data[ends : ends + 12], data[ends + 12 :], associated)


def _as_it_is(data: bytes, *place: str) -> bytes:
    return data


class _Reader:
    def __init__(self, path: str, opened: Callable[..., bytes] = _as_it_is) -> None:
        self.sql = apsw.Connection(path)
        self.opened = opened

    def piece(self, ns: int, number: int) -> bytes:
        return self.opened(self.stored_piece(ns, number), "piece", str(number))

    def stored_piece(self, ns: int, number: int) -> bytes:
        key = (ns * 2**32 + number,)
        rows = self.sql.execute("SELECT data FROM perdure_pieces WHERE piece = ?", key).fetchall()
        rows = rows or self.sql.execute("SELECT piece FROM perdure_checkpoints WHERE key = ?", key).fetchall()
        return rows[0][0]

    def value(self, ns: int, ref: list[Any]) -> Any:
        if len(ref) == 2:
            return _decoded(*ref)
        kind, check, steps = ref
        numbers = [sum(steps[: i + 1]) for i in range(len(steps))]
        frames = [self.piece(ns, number) for number in numbers]
        text = _frame(frames[0])[2]
        for frame in frames[1:]:
            is_script, its_kind, content = _frame(frame)
            assert is_script
            assert its_kind == kind
            text = self.applied(text, *ormsgpack.unpackb(content)[1:])
        checksums = b"".join(f[:8] for f in frames)
        assert xxhash.xxh3_64_digest(text[:5] + xxhash.xxh3_128_digest(text[5:]) + checksums) == check
        return _decoded(kind, text)

    def applied(self, old: bytes, size: int, hunks: list[int], literal: bytes) -> bytes:
        assert len(old) == size
        new, at, used = b"", 0, 0
        for i in range(0, len(hunks), 3):
            keep, delete, insert = hunks[i : i + 3]
            new += old[at : at + keep] + literal[used : used + insert]
            at, used = at + keep + delete, used + insert
        return new + old[at:]

    def write(self, ns: int, write: list[Any]) -> tuple[str, Any]:
        if len(write) == 4:
            return write[1], _decoded(*write[2:])
        if len(write) == 5:
            return write[1], self.value(ns, write[2:])
        _, channel, kind, first, number, offset, length, checksum = write
        is_script, _, content = _frame(self.piece(ns, number))
        assert self.piece(ns, number)[:8] == checksum
        text = ormsgpack.unpackb(content)[3] if is_script else content
        return channel, _decoded(kind, first + text[offset : offset + length])


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_the_format_is_as_written(tmp_path: Path, is_encrypted: bool) -> None:
    rng = random.Random(6)
    items: list[Any] = []
    parent: str | None = None
    wanted: dict[str, Any] = {}
    serde = EncryptedSerializer.from_keys(LocalKeys({"2026-01": KEY}), tenant="acme") if is_encrypted else None
    with SqliteSaver.from_conn_string(str(tmp_path / "x.db"), serde=serde) as saver:
        for n in range(80):
            items.append({"role": "user", "content": rng.randbytes(150).hex()})
            made = checkpoint({"items": items, "n": n}, {"items": n, "n": n}, after=parent)
            text = "".join(item["content"] for item in items[-3:])
            made["channel_values"]["text"] = text
            made["channel_versions"]["text"] = n
            writes = [TaskWrites("task", "", [("items", [items[-1]]), ("n", n), ("text", text)])] if parent else []
            if n % 2:  # by itself, so in a row of its own
                saver.put_writes(make_config("t", "", parent), [("n", n)], "another")
            new = {"items": n, "n": n, "text": n}
            saver.commit([saver.prepare(Commit("t", "", parent, writes, made, {"step": n}, new))])
            parent = made["id"]
            wanted[parent] = ({"items": list(items), "n": n, "text": text}, n)
    reader = _Reader(str(tmp_path / "x.db"), _Envelopes("acme", "t", "") if is_encrypted else _as_it_is)
    found = {}
    written: list[tuple[str, str, list[Any]]] = []
    rows = reader.sql.execute("SELECT ns, checkpoint_id, parent_id, record FROM perdure_checkpoints")
    for ns, checkpoint_id, parent_id, record in rows:
        is_script, kind, content = _frame(reader.opened(record, "record", checkpoint_id), checkpoint_id)
        assert (is_script, kind) == (0, "record")
        versions, refs, header_type, header, *led = ormsgpack.unpackb(content)
        written += [(parent_id, task_id, writes) for tasks in led for task_id, _, writes in tasks]
        assert versions.keys() == refs.keys()
        metadata = _decoded(header_type, header)[4]
        found[checkpoint_id] = ({c: reader.value(ns, ref) for c, ref in refs.items()}, metadata["step"])
    assert found == wanted
    ids = list(wanted)
    lengths: set[int] = set()
    assert len(written) == 79
    rows = reader.sql.execute("SELECT checkpoint_id, task_id, task_path, data FROM perdure_writes")
    for checkpoint_id, task_id, task_path, data in rows:
        place = (checkpoint_id, task_id, task_path)
        _, kind, content = _frame(reader.opened(data, "writes", *place), *place)
        assert kind == "writes"
        written.append((checkpoint_id, task_id, ormsgpack.unpackb(content)))
    assert len(written) == 79 + 40
    for checkpoint_id, task_id, writes in written:
        if task_id == "another":
            continue
        after = wanted[ids[ids.index(checkpoint_id) + 1]][0]
        wrote = [("items", after["items"][-1:]), ("n", after["n"]), ("text", after["text"])]
        assert [reader.write(ns, write) for write in writes] == wrote
        lengths.update(len(write) for write in writes)
    assert lengths == {4, 5, 8}  # each form was read
    reader.sql.close()


def test_the_example_is_right() -> None:
    reader = _Reader(":memory:")
    old = b"\x92\x02........z."
    assert reader.applied(old, 12, [1, 1, 1, 8, 0, 3], b"\x03abc") == b"\x92\x03........abcz."
    reader.sql.close()


GOLDEN = Path(__file__).with_name("golden") / "encrypted.sql"


def test_an_encrypted_store_of_the_first_version_is_read(tmp_path: Path) -> None:
    """The file was made by perdure 0.1.0; it must be readable for ever."""
    path = str(tmp_path / "golden.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(GOLDEN.read_text())
    keys = LocalKeys({"2027-01": bytes(32), "2026-01": KEY})
    with SqliteSaver.from_conn_string(path, serde=EncryptedSerializer.from_keys(keys, tenant="acme")) as saver:
        assert list(saver.threads()) == ["t", "u"]
        for thread in ("t", "u"):
            history = list(saver.list({"configurable": {"thread_id": thread}}))
            assert [one.checkpoint["channel_values"] for one in history] == [_golden(n) for n in (3, 2, 1, 0)]
            assert [len(one.pending_writes or ()) for one in history] == [1, 1, 1, 1]
            assert saver.check_thread(thread) == []
            assert saver.rekey_thread(thread).rewritten > 8


def _golden(n: int) -> dict[str, Any]:
    return {"items": [f"item {i} " + "and so on, " * 30 for i in range(n + 1)], "n": n}
