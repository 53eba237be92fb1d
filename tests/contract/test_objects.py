"""What all savers on objects share, on a store in this process; see test_s3 and test_azure for real ones."""

from __future__ import annotations

import base64
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore
from tests.contract.shown import open_documents

from perdure.checkpoint import conformance
from perdure.checkpoint.conformance import Case
from perdure.checkpoint.conformance.case import checkpoint, id_of, place
from perdure.checkpoint.objects import ObjectSaver, flushing
from perdure.database.objects.buckets import BucketClient


@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract(case: Case) -> None:
    """The least that a store must do, over a dict: what is no bucket at all (a table of documents) does as well."""
    with open_documents() as saver:
        conformance.run(case, saver)


GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("objects.json").read_text())


def golden() -> tuple[ObjectSaver[Any], MemoryStore]:
    store = MemoryStore()
    for key, data in GOLDEN["objects"].items():
        obstore.put(store, key, base64.b64decode(data))
    return ObjectSaver(BucketClient(store, "nothing")), store


def test_a_store_of_0_1_0_opens() -> None:
    """With roots, pages of two levels, packs, a salt, a lease, rules, and an id that a key can't spell out."""
    saver, _ = golden()
    assert sorted(saver.threads()) == sorted(["golden", "plain", "l" * 100, "salted"])
    found = {id_of(one.config): one.checkpoint["channel_values"] for one in saver.list(place("golden"))}
    assert found == GOLDEN["golden"]
    assert [one.pending_writes for one in saver.list(place("golden"), limit=1)] == [[("task-11", "items", 11)]]
    rules = saver.rules_of("golden")
    assert (rules.ttl, rules.hold) == (timedelta(days=7), "a case")
    assert saver.check_thread("golden") == []
    for thread, ns, value in (("plain", "child", 1), ("l" * 100, "", 2), ("salted", "", "y" * 300)):
        one = saver.get_tuple(place(thread, ns))
        assert one is not None
        assert one.checkpoint["channel_values"] == {"x": value}


def test_pages_of_one_flush_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long head moves out of the root behind the entries before it: two pages, of which the second merges both."""
    monkeypatch.setattr(flushing, "RUNG", 3)
    with ObjectSaver(BucketClient(MemoryStore(), "nothing")) as saver:
        config = place()
        for n in range(8):
            config = saver.put(config, checkpoint({"n": n}), {}, {"n": n + 1})
            for task in range(100):
                saver.put_writes(config, [("n", random.Random(task).randbytes(200))], f"task {task}")
        assert len(list(saver.list(place()))) == 8
        assert saver.check_thread("t") == []


def test_a_writer_merges_pages_that_another_has_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    """It remembers a root that names what is gone; it looks again, as a refused put would make it."""
    store = MemoryStore()
    with (
        ObjectSaver(BucketClient(store, "nothing")) as writer,
        ObjectSaver(BucketClient(store, "nothing")) as pruner,
    ):
        config = place()
        for n in range(flushing.RUNG):
            monkeypatch.setattr(flushing, "MOST_ROOT", 0 if n < flushing.RUNG - 1 else 10_000)
            config = writer.put(config, checkpoint({"n": n}), {}, {"n": n + 1})
        pruner.prune(["t"])
        monkeypatch.setattr(flushing, "MOST_ROOT", 0)
        writer._transactions._memory._objects.clear()  # as if they were long ago
        writer.put(config, checkpoint({"n": -1}), {}, {"n": 99})
        assert len(list(pruner.list(place()))) == 2


def test_a_copy_has_what_another_has_written() -> None:
    """Only the target's root is put, which proves nothing of what is remembered of the source's."""
    store = MemoryStore()
    with (
        ObjectSaver(BucketClient(store, "nothing")) as copier,
        ObjectSaver(BucketClient(store, "nothing")) as writer,
    ):
        config = copier.put(place("a"), checkpoint({"n": 1}), {}, {"n": 1})
        writer.put_writes(config, [("n", 2)], "task")
        copier.copy_thread("a", "b")
        found = writer.get_tuple(place("b"))
        assert found is not None
        assert found.pending_writes == [("task", "n", 2)]


def test_a_store_of_0_1_0_is_written_to() -> None:
    saver, _ = golden()
    parent = saver.get_tuple(place("golden"))
    assert parent is not None
    saver.put(parent.config, checkpoint({"n": 12}, {"n": 13}), {"step": 12}, {"n": 13})
    assert len(list(saver.list(place("golden")))) == len(GOLDEN["golden"]) + 1
    lease = saver.acquire("golden", "somebody else", 60)
    assert lease is not None
    assert lease.generation == 2
    assert saver.sweep(timedelta(seconds=-2)) > 0  # of a dead process
    assert saver.check_thread("golden") == []
