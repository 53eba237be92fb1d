"""What all savers on objects share, on a store in this process; see test_s3 and test_azure for real ones."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.store import MemoryStore

from perdure.checkpoint.conformance.case import checkpoint, id_of, place
from perdure.checkpoint.objects.saver import ObjectSaver
from perdure.database.objects.buckets import BucketClient

GOLDEN = json.loads(Path(__file__).with_name("objects.json").read_text())


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
