"""Every checkpoint of long threads with arbitrary edits reads back exactly, whatever else happens to the store."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.checkpoint import chains
from perdure.checkpoint.base import BaseCheckpointSaver, Commit, TaskWrites
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import CorruptCheckpointError

Saver = BaseCheckpointSaver[Any]
Expected = dict[str, dict[str, Any]]
"""The values of checkpoints, by id."""


class _Memory:
    """A store that lives as long as the test."""

    def __init__(self, _: Path) -> None:
        self._saver = InMemorySaver()

    def open(self) -> AbstractContextManager[Saver]:
        return self._saver


class _Sqlite:
    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "store.db")

    def open(self) -> AbstractContextManager[Saver]:
        return SqliteSaver.from_conn_string(self.path, synchronous="NORMAL")

    def ask(self, sql: str) -> Any:
        connection = apsw.Connection(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


@pytest.fixture(params=[_Memory, _Sqlite], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.param(tmp_path)


def _start(rng: random.Random) -> dict[str, Any]:
    return {
        "items": [{"role": "user", "content": rng.randbytes(150).hex()} for _ in range(5)],
        "table": {f"key-{i}": rng.randbytes(20).hex() for i in range(100)},
        "text": "",
        "data": b"",
        "n": 0,
    }


_Edit = Callable[[dict[str, Any], random.Random], None]


def _append(state: dict[str, Any], rng: random.Random) -> None:
    state["items"].append({"role": "user", "content": rng.randbytes(150).hex()})


def _trim(state: dict[str, Any], rng: random.Random) -> None:
    del state["items"][: rng.randrange(5)]


def _replace(state: dict[str, Any], rng: random.Random) -> None:
    if state["items"]:
        rng.choice(state["items"])["content"] = rng.randbytes(rng.randrange(200)).hex()


def _set_key(state: dict[str, Any], rng: random.Random) -> None:
    state["table"][f"key-{rng.randrange(120)}"] = rng.randbytes(20).hex()


def _delete(state: dict[str, Any], rng: random.Random) -> None:
    if state["table"]:
        del state["table"][rng.choice(list(state["table"]))]


def _grow(state: dict[str, Any], rng: random.Random) -> None:
    state["text"] += rng.randbytes(20).hex()
    state["data"] += rng.randbytes(100)


def _empty(state: dict[str, Any], rng: random.Random) -> None:
    if rng.random() < 0.05:
        state[rng.choice(["items", "text", "table"])] = rng.choice([[], "x" * rng.randrange(400), {}])
        state["items"] = list(state["items"])
        state["text"] = str(state["text"])
        state["table"] = dict(state["table"]) if isinstance(state["table"], dict) else {}


_EDITS: list[_Edit] = [_append, _append, _trim, _replace, _set_key, _delete, _grow, _grow, _empty]


class _Thread:
    """Writes a thread and knows what must be read."""

    def __init__(self, rng: random.Random, thread_id: str = "t") -> None:
        self.rng = rng
        self.config = place(thread_id)
        self.state = _start(rng)
        self.versions = dict.fromkeys(self.state, 1)
        self.expected: Expected = {}
        self.parents: dict[str, dict[str, Any]] = {}

    def run(self, saver: Saver, steps: int, **metadata: Any) -> None:
        for _ in range(steps):
            self.step(saver, **metadata)

    def step(self, saver: Saver, **metadata: Any) -> None:
        before = copy.deepcopy(self.state)
        for edit in self.rng.sample(_EDITS, self.rng.randrange(1, 4)):
            edit(self.state, self.rng)
        self.state["n"] += 1
        changed = [c for c in self.state if not self.expected or self.state[c] != before[c]]
        parent = self.config["configurable"].get("checkpoint_id")
        newest = max(self.versions.values()) + 1
        self.versions = {**self.versions, **dict.fromkeys(changed, newest)}
        made = checkpoint(self.state, self.versions, after=parent)
        about: Any = {"source": "loop", "step": self.state["n"], "parents": {}, **metadata}
        self.config = saver.put(self.config, made, about, dict.fromkeys(changed, newest))
        self.expected[made["id"]] = copy.deepcopy(self.state)
        self.parents[made["id"]] = self.versions

    def go_back(self, checkpoint_id: str) -> None:
        self.config = place(self.config["configurable"]["thread_id"], "", checkpoint_id)
        self.state = copy.deepcopy(self.expected[checkpoint_id])
        self.versions = self.parents[checkpoint_id]


def _check(saver: Saver, expected: Expected, thread_id: str = "t") -> None:
    found = {t.checkpoint["id"]: t.checkpoint["channel_values"] for t in saver.list(place(thread_id))}
    assert found == expected
    for checkpoint_id in random.Random(1).sample(list(expected), min(50, len(expected))):
        one = saver.get_tuple(place(thread_id, "", checkpoint_id))
        assert one is not None
        assert one.checkpoint["channel_values"] == expected[checkpoint_id]


def test_a_long_thread_reads_back(store: Any) -> None:
    rng = random.Random(11)
    thread = _Thread(rng)
    for _ in range(10):
        with store.open() as saver:  # a restart: nothing is remembered
            thread.run(saver, 100)
            assert saver.get_tuple(place()).checkpoint["channel_values"] == thread.state
    with store.open() as saver:
        _check(saver, thread.expected)
        # Branches from anywhere share what they begin with.
        for _ in range(20):
            thread.go_back(rng.choice(list(thread.expected)))
            thread.run(saver, rng.randrange(1, 8))
        _check(saver, thread.expected)
        saver.copy_thread("t", "copy")
        copied = dict(thread.expected)
        saver.copy_thread("copy", "t")
        thread.run(saver, 10)
        other = _Thread(rng, "copy")
        other.expected, other.parents = dict(copied), dict(thread.parents)
        other.go_back(max(copied))
        other.run(saver, 40)
    with store.open() as saver:
        _check(saver, thread.expected)
        _check(saver, other.expected, "copy")
        saver.prune(["t"])
        head = max(thread.expected)
        thread.expected = {head: thread.expected[head]}
        _check(saver, thread.expected)
        thread.go_back(head)
        thread.run(saver, 40)
        _check(saver, thread.expected)
        saver.delete_thread("t")
        _check(saver, other.expected, "copy")
        again = _Thread(rng)
        again.run(saver, 40)
        _check(saver, again.expected)


def test_runs_are_deleted_from_the_middle(store: Any) -> None:
    thread = _Thread(random.Random(5))
    with store.open() as saver:
        for run in range(20):
            thread.run(saver, 10, run_id=f"run-{run}")
        ids = list(thread.expected)
        for run in (19, 3, 4, 10, 0):
            saver.delete_for_runs([f"run-{run}"])
            for checkpoint_id in ids[run * 10 : run * 10 + 10]:
                del thread.expected[checkpoint_id]
            _check(saver, thread.expected)
        thread.go_back(max(thread.expected))
        thread.run(saver, 50)
    with store.open() as saver:
        _check(saver, thread.expected)


@pytest.mark.parametrize("most_bytes", [0, 100_000])
def test_small_memories_only_cost_time(store: Any, most_bytes: int) -> None:
    thread = _Thread(random.Random(3))
    with store.open() as saver:
        saver._lineage.values = chains.Recent(most_bytes)
        thread.run(saver, 150)
        _check(saver, thread.expected)


def test_commits_ahead_of_each_other_read_back(store: Any) -> None:
    """With durability="async" several commits are prepared, then stored together."""
    rng = random.Random(9)
    items: list[str] = []
    expected: Expected = {}
    parent: str | None = None
    with store.open() as saver:
        for batch in range(30):
            prepared = []
            for _ in range(rng.randrange(1, 6)):
                items.append(rng.randbytes(200).hex())
                made = checkpoint({"items": items}, {"items": len(items)}, after=parent)
                writes = [TaskWrites("task", "", [("items", [items[-1]])])] if parent else []
                commit = Commit("t", "", parent, writes, made, {}, {"items": len(items)})
                prepared.append(saver.prepare(commit))
                parent = made["id"]
                expected[parent] = {"items": list(items)}
            if batch % 3:
                saver.commit(prepared)
            else:
                for one in prepared:
                    saver.commit([one])
            saver.commit(prepared)  # a retry changes nothing
        _check(saver, expected)
        written = {t.checkpoint["id"]: t.pending_writes for t in saver.list(place())}
    for before, after in zip(list(expected), list(expected)[1:], strict=False):
        assert written[before] == [("task", "items", expected[after]["items"][-1:])]


def _of(text: str, version: int, parent: str | None, checkpoint_id: str | None = None) -> Commit:
    made = checkpoint({"x": [text * 500, *["more"] * version]}, {"x": version}, after=parent)
    made["id"] = checkpoint_id or made["id"]
    return Commit("t", "", parent, (), made, {}, {"x": version})


def test_a_commit_that_was_prepared_and_dropped_misleads_nobody(store: Any) -> None:
    with store.open() as saver:
        first = _of("a", 1, None)
        saver.commit([saver.prepare(first)])
        parent = first.checkpoint["id"]
        saver.prepare(_of("b", 1, None, parent))
        second = _of("b", 2, parent)
        saver.commit([saver.prepare(second)])
        _check(saver, {i.checkpoint["id"]: i.checkpoint["channel_values"] for i in (first, second)})


# -- SQLite: what lies in the file


def test_a_checkpoint_that_another_process_replaced_misleads_nobody(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as one, store.open() as other:
        first = _of("a", 1, None)
        parent = first.checkpoint["id"]
        one.commit([one.prepare(first)])
        replacing = _of("b", 1, None, parent).checkpoint
        other.put(place(), replacing, {}, {"x": 1})
        other.prune(["t"])  # now the piece that `one` remembers is gone
        second = _of("a", 2, parent)
        one.commit([one.prepare(second)])
        _check(other, {i["id"]: i["channel_values"] for i in (replacing, second.checkpoint)})


def _run_two_by_turns(store: _Sqlite, steps: int) -> _Thread:
    thread = _Thread(random.Random(2))
    with store.open() as one, store.open() as other:
        for _ in range(steps):
            thread.step(one)
            thread.step(other)
    return thread


def test_writers_by_turns_write_no_wholes(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    thread = _run_two_by_turns(store, 100)
    [(by_turns,)] = store.ask("SELECT sum(length(data)) FROM perdure_pieces")
    with store.open() as saver:
        _check(saver, thread.expected)
        saver.delete_thread("t")
        _Thread(random.Random(2)).run(saver, 200)
    [(alone,)] = store.ask("SELECT sum(length(data)) FROM perdure_pieces")
    assert by_turns < 1.1 * alone


def _append_only(saver: Saver, steps: int, thread_id: str = "t") -> None:
    config, items = place(thread_id), []
    for n in range(1, steps + 1):
        items.append(random.Random(n).randbytes(500).hex())
        made = checkpoint({"items": items}, {"items": n}, after=config["configurable"].get("checkpoint_id"))
        config = saver.put(config, made, {}, {"items": n})


def test_stored_bytes_grow_with_what_changed(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as saver:
        _append_only(saver, 1000)
    [(pieces, size, longest)] = store.ask("SELECT count(*), sum(length(data)), max(length(data)) FROM perdure_pieces")
    assert pieces == 1000
    assert size < 2.1 * 1000 * 1000
    assert longest < 40_000


def _wide(saver: Saver, steps: int, width: int) -> None:
    """Let one channel of many change at each step, as a long row of nodes does."""
    parent = None
    versions: dict[str, Any] = {}
    for n in range(steps):
        versions = {**versions, f"channel {n % width}": n}
        made = checkpoint({f"channel {n % width}": n}, versions, after=parent)
        made["versions_seen"] = {f"node {name}": {name: version} for name, version in versions.items()}
        commit = Commit("t", "", parent, (), made, {"step": n, "run_id": f"run {n % 2}"}, {f"channel {n % width}": n})
        saver.commit([saver.prepare(commit._replace(changes_only=True))])
        parent = made["id"]


def test_what_a_step_stores_does_not_grow_with_the_number_of_channels(tmp_path: Path) -> None:
    sizes = []
    for width in (10, 1000):
        folder = tmp_path / str(width)
        folder.mkdir()
        store = _Sqlite(folder)
        with store.open() as saver:
            _wide(saver, 2000, width)
        sizes.append(Path(store.path).stat().st_size / 2000)
        with store.open() as saver:
            found = list(saver.list(place(), filter={"step": 1500}))
            assert len(found) == 1
            values = found[0].checkpoint["channel_values"]
            assert values == {f"channel {n % width}": n for n in range(1501 - width, 1501)}
    narrow, wide = sizes
    assert wide < narrow + 1000  # a whole header of 1,000 channels and nodes has 70,000 bytes


def test_a_damaged_long_record_is_named_and_the_rest_is_readable(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as saver:
        _wide(saver, 300, 100)
        history = [entry.config for entry in saver.list(place())]
    keys = store.ask("SELECT key FROM perdure_checkpoints WHERE piece NOT NULL ORDER BY key")
    store.ask(f"UPDATE perdure_checkpoints SET piece = zeroblob(length(piece)) WHERE key = {keys[200][0]}")
    with store.open() as saver:
        found = saver.list(place())
        readable = []
        with pytest.raises(CorruptCheckpointError, match="its record") as caught:
            readable.extend(found)
        at = [entry["configurable"]["checkpoint_id"] for entry in history].index(caught.value.checkpoint_id)
        assert [entry.config for entry in readable] == history[:at]
        with pytest.raises(CorruptCheckpointError, match=caught.value.checkpoint_id):
            list(saver.list(place(), filter={"step": 0}))
        assert saver.get_tuple(history[-1]) is not None
        with pytest.raises(CorruptCheckpointError, match="its record"):
            saver.get_tuple(history[at])
        saver.delete_for_runs(["run 1"])
        saver.copy_thread("t", "copy")
        assert saver.get_tuple(place("copy", "", history[-1]["configurable"]["checkpoint_id"])) is not None


def test_pieces_that_nothing_needs_are_given_back(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as saver:
        _append_only(saver, 200)
        _append_only(saver, 50, "other")
        saver.prune(["t", "other"])
        # The wholes and scripts of two heads.
        [(pieces,)] = store.ask("SELECT count(*) FROM perdure_pieces")
        assert pieces <= 2 + 4 * chains.BASE
        assert len(saver.get_tuple(place()).checkpoint["channel_values"]["items"]) == 200
        saver.delete_thread("t")
        saver.delete_thread("other")
    assert store.ask("SELECT count(*) FROM perdure_pieces") == [(0,)]


def test_shared_writes_outlive_the_checkpoint_that_has_them(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    text = random.Random(1).randbytes(600).hex()
    with store.open() as saver:
        first = saver.put(place(), checkpoint({"items": []}, {"items": 1}), {"run_id": "a"}, {"items": 1})
        parent = first["configurable"]["checkpoint_id"]
        made = checkpoint({"items": [text]}, {"items": 2}, after=parent)
        writes = [TaskWrites("task", "", [("items", [text]), ("other", [text])])]
        commit = Commit("t", "", parent, writes, made, {"run_id": "b"}, {"items": 2})
        saver.commit([saver.prepare(commit)])
        saver.put_writes(first, [("items", ["late"]), ("items", ["late"]), ("more", 3)], "task")
        wanted = [("task", "items", [text]), ("task", "other", [text]), ("task", "more", 3)]
        assert saver.get_tuple(first).pending_writes == wanted
        saver.delete_for_runs(["b"])
        saver.copy_thread("t", "copy")
        saver.copy_thread("t", "copy")
        _append_only(saver, 3, "target")
        saver.copy_thread("t", "target")
    with store.open() as saver:
        for thread in ("t", "copy", "target"):
            found = saver.get_tuple(place(thread, "", parent))
            assert found.pending_writes == wanted
    [(size,)] = store.ask("SELECT max(length(data)) FROM perdure_writes")
    assert size < 1000  # `other` has the text itself, `items` doesn't


def test_numbers_are_used_again_without_harm(tmp_path: Path) -> None:
    """A guess about pieces that were deleted meanwhile, and whose numbers others have now, is noticed."""
    store = _Sqlite(tmp_path)
    rng = random.Random(4)
    thread = _Thread(rng)
    with store.open() as one:
        thread.run(one, 40, run_id="kept")
        fork = max(thread.expected)
        thread.run(one, 20, run_id="gone")
        with store.open() as other:
            other.delete_for_runs(["gone"])
            thread.expected = {i: v for i, v in thread.expected.items() if i <= fork}
            thread.go_back(fork)
            thread.run(other, 20)
        thread.run(one, 20)
        _check(one, thread.expected)


@pytest.mark.parametrize("position", [0, -1])
def test_a_damaged_piece_is_named_and_does_not_stop_the_thread(tmp_path: Path, position: int) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as saver:
        _append_only(saver, 40)
        head = saver.get_tuple(place()).checkpoint
    keys = [row[0] for row in store.ask("SELECT piece FROM perdure_pieces ORDER BY piece")]
    store.ask(f"UPDATE perdure_pieces SET data = zeroblob(length(data)) WHERE piece = {keys[position]}")
    with store.open() as saver:
        with pytest.raises(CorruptCheckpointError, match="channel 'items'") as caught:
            saver.get_tuple(place())
        assert caught.value.checkpoint_id == head["id"]
        values = {"items": [*head["channel_values"]["items"], "more"]}
        made = checkpoint(values, {"items": 99}, after=head["id"])
        config = saver.put(place("t", "", head["id"]), made, {}, {"items": 99})
        assert saver.get_tuple(config).checkpoint["channel_values"] == values


@pytest.mark.parametrize("damage", ["DELETE FROM perdure_pieces WHERE piece % 7 = 3"])
def test_a_lost_piece_is_named(tmp_path: Path, damage: str) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as saver:
        _append_only(saver, 10)
    store.ask(damage)
    with store.open() as saver, pytest.raises(CorruptCheckpointError, match="not in the store"):
        saver.get_tuple(place())


def test_reading_takes_two_statements_of_values(tmp_path: Path) -> None:
    store = _Sqlite(tmp_path)
    with store.open() as saver:
        _append_only(saver, 100)
    with store.open() as saver:
        saver.get_head("t")
        asked: list[str] = []
        execute = saver._connection.execute

        def spy(sql: str, values: Any = ()) -> Any:
            asked.append(sql)
            return execute(sql, values)

        saver._connection.execute = spy
        saver.get_tuple(place())
    assert sum("perdure_pieces" in sql for sql in asked) == 1
    assert sum("SELECT" in sql for sql in asked) == 3  # record and writes are one round trip
