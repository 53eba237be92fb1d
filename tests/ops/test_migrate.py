"""Migration: every checkpoint arrives as it was, whatever stops it and whatever the source does meanwhile."""

from __future__ import annotations

import itertools
import signal
import threading
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fault.program import in_a_child
from tests.fault.stores import store_of
from tests.ops.conftest import KINDS
from tests.ops.kills import kill_at_all, make, moments_of
from tests.ops.making import THREADS, grow, history

from perdure.checkpoint.conformance.case import place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import UsageError
from perdure.interop.recognising import has_our_tables
from perdure.ops import Database, Selection, backup, migrate, restore
from perdure.ops.comparing import same
from perdure.ops.reading import by_task
from perdure.store.memory import InMemoryStore
from perdure.store.registry import open_store


def content(saver):
    """All that a saver has, by place, in forms that compare."""
    return {
        tuple(one.config["configurable"].values()): (
            one.checkpoint,
            one.metadata,
            one.parent_config,
            {task.task_id: list(task.writes) for task in by_task(one.pending_writes or ())},
        )
        for one in saver.list(None)
    }


def assert_same(one, other):
    here, there = content(one), content(other)
    assert here.keys() == there.keys()
    for where, found in here.items():
        assert same(found, there[where]), (where, found, there[where])


PAIRS = [(a, b) for a, b in itertools.product(("memory", *KINDS), repeat=2) if a != b or a in ("memory", "sqlite")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_pair_preserves_every_checkpoint(place_of, one, other):
    # Each way for itself, so that a failure names the backend that loses something.
    truth = history(InMemorySaver(), seed=PAIRS.index((one, other)))
    source, target = place_of(one, "source"), place_of(other, "target")
    there = migrate(truth, source)
    done = migrate(source, target, verify=True)
    assert there.copied.checkpoints == done.copied.checkpoints == done.compared == len(list(truth.list(None)))
    assert done.differences == []
    if isinstance(target, str):
        with open_saver(target) as saver:
            assert_same(truth, saver)
    else:
        assert_same(truth, target)


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(0, 3), st.integers(1, 8))
def test_a_source_in_use_is_caught_up_with(seed, rounds, steps):
    source, target = InMemorySaver(), InMemorySaver()
    for n in range(rounds):
        grow(source, "t", seed + n, steps)
        migrate(source, target)
    grow(source, "t", seed + rounds, steps)
    assert migrate(source, target, verify=True).differences == []
    assert_same(source, target)
    again = migrate(source, target)
    assert (again.copied.checkpoints, again.copied.present) == (0, len(list(source.list(None))))


class Watching(InMemorySaver):
    """Looks at what it has after each batch."""

    def __init__(self, look):
        super().__init__()
        self._look = look

    def commit(self, prepared):
        done = super().commit(prepared)
        self._look(self)
        return done


def test_the_target_is_always_what_the_source_once_was(monkeypatch):
    monkeypatch.setattr("perdure.ops.writing._BATCH", 2)
    source = history(InMemorySaver())
    seen = []

    def look(target):
        for thread in THREADS:
            here = sorted(one.checkpoint["id"] for one in source.list(place(thread, None)))
            there = sorted(one.checkpoint["id"] for one in target.list(place(thread, None)))
            assert there == here[: len(there)]
            for one in target.list(place(thread, None)):
                assert one.parent_config is None or target.get_tuple(one.parent_config)
        seen.append(target)

    migrate(source, Watching(look))
    assert len(seen) > 6


def test_killed_at_each_write_it_goes_on(tmp_path):
    # At each moment: python -m tests.ops.kills
    assert kill_at_all(tmp_path, stride=9) >= 5


def test_killed_again_and_again_on_postgres(tmp_path, database):
    source = make(tmp_path)
    kills = 0
    # Each attempt is killed at a later moment of what is left to do, until one comes to its end.
    while in_a_child(partial(moments_of, source, database, 5 + 9 * kills)) == -signal.SIGKILL:
        kills += 1
        store_of(database).outlast(database)
    assert kills >= 2
    assert migrate(source, database, verify=True).differences == []


def test_while_runs_go_on(tmp_path):
    """A source that is written to by another thread, migrated and saved at the same time."""
    from tests.ops.long import chain

    source = tmp_path / "source.db"
    writer = threading.Thread(target=chain, args=(source, 120))
    writer.start()
    files = []
    while writer.is_alive():
        if has_our_tables(str(source)):
            migrate(f"sqlite:///{source}", f"sqlite:///{tmp_path}/target.db")
            files.append(tmp_path / f"{len(files)}.perdure")
            backup(f"sqlite:///{source}", files[-1])
    writer.join()
    assert migrate(f"sqlite:///{source}", f"sqlite:///{tmp_path}/target.db", verify=True).differences == []
    with open_saver(f"sqlite:///{source}") as saver:
        whole = content(saver)
    for file in files:
        saved = InMemorySaver()
        restore(file, saved)
        found = content(saved)
        assert list(found) == list(whole)[len(whole) - len(found) :]  # newest first: what was there at a moment
        assert all(same(whole[where][0], one[0]) for where, one in found.items())


def test_a_long_thread_costs_no_more_than_in_its_source(tmp_path):
    from tests.ops.long import chain, size_of

    source, target = tmp_path / "source.db", tmp_path / "target.db"
    chain(source, steps=150)
    migrate(f"sqlite:///{source}", f"sqlite:///{target}")
    assert size_of(target) <= 1.1 * size_of(source)


def test_filters(tmp_path):
    source = history(InMemorySaver())
    target = InMemorySaver()
    migrate(source, target, selection=Selection(threads=["one", "nobody"]))
    assert list(target.threads()) == ["one"]
    target = InMemorySaver()
    migrate(source, target, selection=Selection(metadata={"user": "a"}), verify=True)
    assert {one.metadata["user"] for one in target.list(None)} == {"a"}
    assert len(list(target.list(None))) == len(list(source.list(None, filter={"user": "a"})))
    made = sorted(one.checkpoint["ts"] for one in source.list(None))
    middle = datetime.fromisoformat(made[len(made) // 2])
    target = InMemorySaver()
    migrate(source, target, selection=Selection(since=middle))
    assert sorted(one.checkpoint["ts"] for one in target.list(None)) == [
        ts for ts in made if ts >= made[len(made) // 2]
    ]
    assert not list(migrate_nothing(source).list(None))


def migrate_nothing(source):
    target = InMemorySaver()
    migrate(source, target, selection=Selection(until=datetime(2020, 1, 1, tzinfo=UTC)))
    return target


def test_verify_names_what_differs():
    source = history(InMemorySaver())
    target = InMemorySaver()
    migrate(source, target)
    head = target.get_tuple(place("one"))
    changed = {**head.checkpoint, "channel_values": {**head.checkpoint["channel_values"], "n": -1}}
    target.put(head.parent_config or place("one"), changed, head.metadata, head.checkpoint["channel_versions"])
    target.put_writes(head.config, [("n", 1)], "another task")
    found = migrate(source, target, verify=True).differences
    assert {(one.thread_id, one.checkpoint_id, one.what) for one in found} == {
        ("one", head.checkpoint["id"], "channel 'n'"),
        ("one", head.checkpoint["id"], "pending writes"),
    }


def test_follow_ends_when_there_is_nothing_new(monkeypatch):
    monkeypatch.setattr("perdure.ops.migrating._PAUSE", 0)
    source, target = history(InMemorySaver()), InMemorySaver()
    left = iter(range(3))

    def go_on(tally):
        if tally.threads == len(THREADS) and next(left, None) is not None:
            grow(source, "one", 7, steps=2)

    done = migrate(source, target, follow=True, on_progress=go_on)
    assert done.passes > 2
    assert_same(source, target)


def test_items(tmp_path, database):
    urls = [f"sqlite:///{tmp_path}/one.db", database, f"sqlite:///{tmp_path}/two.db"]
    with open_store(urls[0]) as store:
        for n in range(230):
            store.put(("users", f"u{n % 7}"), f"key {n}", {"n": n, "tags": ("a", n)})
    for one, other in itertools.pairwise(urls):
        assert migrate(one, other).copied.items == 230
        assert migrate(one, other).copied.items == 0
    with open_store(urls[0]) as store, open_store(urls[-1]) as moved:
        found = [
            sorted((one.namespace, one.key, str(one.value)) for one in each.search((), limit=300))
            for each in (store, moved)
        ]
        assert found[0] == found[1]
        assert moved.get(("users", "u3"), "key 3").value == {"n": 3, "tags": ("a", 3)}


def test_items_that_have_no_place_are_told():
    done = migrate(Database(InMemorySaver(), InMemoryStore()), InMemorySaver())
    assert done.items_left


def test_encrypted(tmp_path, monkeypatch):
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 32)
    source = history(InMemorySaver())
    secret, plain = f"sqlite:///{tmp_path}/secret.db", f"sqlite:///{tmp_path}/plain.db"
    migrate(source, secret, encrypted_target=True)
    assert migrate(secret, plain, encrypted_source=True, verify=True).differences == []
    with open_saver(plain) as saver:
        assert_same(source, saver)
    with SqliteSaver.from_conn_string(f"{tmp_path}/secret.db") as saver, pytest.raises(Exception, match="encrypted"):
        list(saver.list(None))


def test_types_that_this_program_does_not_know_stay_what_they_are(tmp_path):
    source = InMemorySaver()
    one, two = f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"
    grow(source, "t", 3)
    migrate(source, one)
    from perdure.checkpoint.serde import jsonplus
    from perdure.checkpoint.serde.registry import TypeRegistry

    with pytest.MonkeyPatch.context() as patch:
        forgetful = jsonplus.JsonPlusSerializer
        patch.setattr(
            "perdure.ops.opening.JsonPlusSerializer", lambda **options: forgetful(registry=TypeRegistry(), **options)
        )
        migrate(one, two)
    with open_saver(two) as saver:
        assert_same(source, saver)


def test_mistakes(tmp_path):
    with pytest.raises(UsageError, match="the same"):
        migrate("sqlite:///a.db", "sqlite:///a.db")
    with pytest.raises(UsageError, match="no saver is known"):
        migrate("mongodb://x", InMemorySaver())


def test_an_id_that_the_target_has_with_another_parent_is_named():
    source, target = history(InMemorySaver()), InMemorySaver()
    one = next(one for one in source.list(place("one", "")) if one.parent_config)
    target.put(place("one"), one.checkpoint, one.metadata, one.checkpoint["channel_versions"])
    found = [difference.what for difference in migrate(source, target, verify=True).differences]
    assert found == ["parent"]
