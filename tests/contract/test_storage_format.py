"""A reader written from docs/storage-format.md alone reads what perdure stores."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import apsw
import ormsgpack
import xxhash
import zstandard

from perdure.checkpoint.address import make_config
from perdure.checkpoint.base import Commit, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint
from perdure.checkpoint.sqlite import SqliteSaver


def _frame(data: bytes, *place: str) -> tuple[int, str, bytes]:
    assert xxhash.xxh3_64_digest(data[8:] + "\0".join(place).encode()) == data[:8]
    flags, length = data[8], data[9]
    content = data[10 + length :]
    assert flags >> 4 == 1
    return flags & 2, data[10 : 10 + length].decode(), zstandard.decompress(content) if flags & 1 else content


def _decoded(kind: str, content: bytes) -> Any:
    return {"null": lambda _: None, "bytes": bytes, "msgpack": ormsgpack.unpackb}[kind](content)


class _Reader:
    def __init__(self, path: str) -> None:
        self.sql = apsw.Connection(path)

    def piece(self, ns: int, number: int) -> bytes:
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


def test_the_format_is_as_written(tmp_path: Path) -> None:
    rng = random.Random(6)
    items: list[Any] = []
    parent: str | None = None
    wanted: dict[str, Any] = {}
    with SqliteSaver.from_conn_string(str(tmp_path / "x.db")) as saver:
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
    reader = _Reader(str(tmp_path / "x.db"))
    found = {}
    written: list[tuple[str, str, list[Any]]] = []
    rows = reader.sql.execute("SELECT ns, checkpoint_id, parent_id, record FROM perdure_checkpoints")
    for ns, checkpoint_id, parent_id, record in rows:
        is_script, kind, content = _frame(record, checkpoint_id)
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
        _, kind, content = _frame(data, checkpoint_id, task_id, task_path)
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
