"""What is pruned and swept, on every backend; what stays is as it was."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.ops.conftest import KINDS
from tests.ops.kills import prune_killed_at_all
from tests.ops.making import THREADS, grow, history

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.findings import Kind
from perdure.checkpoint.ids import first_id
from perdure.checkpoint.liveness import holder
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.rules import NEVER, Rules
from perdure.cli import app
from perdure.errors import UsageError
from perdure.ops import Selection, backup, migrate, prune, restore, stats, sweep, verify
from perdure.ops.opening import opened


def contents(where):
    with opened(where, is_new=True) as database:
        found = {}
        for one in database.saver.list(None):
            at = one.config["configurable"]
            found[at["thread_id"], at["checkpoint_ns"], at["checkpoint_id"]] = one
        return found


def expected(before, keep_last, forks):
    """Say by brute force what stays."""
    kept = set()
    for thread_id, ns in {key[:2] for key in before}:
        ids = sorted(key[2] for key in before if key[:2] == (thread_id, ns))
        kept |= {(thread_id, ns, one) for one in ids[-keep_last:]}
        if forks:
            its = [before[thread_id, ns, one] for one in ids]
            parents = {(one.parent_config or {"configurable": {}})["configurable"].get("checkpoint_id") for one in its}
            kept |= {(thread_id, ns, one) for one in ids if one not in parents}
    return kept


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_is_as_it_was(kind, place_of):
    where = place_of(kind)
    with opened(where, is_new=True) as database:
        history(database.saver)
        database.saver.keep(THREADS[2], hold="case 12")
    before, size = contents(where), stats(where).total(lambda one: one.stored)
    told = prune(where, keep_last=2, keep_forks=True, dry_run=True)
    assert contents(where) == before
    kept = expected(before, 2, forks=True) | {key for key in before if key[0] == THREADS[2]}
    done = prune(where, keep_last=2, keep_forks=True)
    after = contents(where)
    assert after.keys() == kept
    assert all(after[key] == before[key] for key in after)
    assert done.held == told.held == [THREADS[2]]
    assert done.checkpoints == told.checkpoints == len(before) - len(after) > 0
    assert {one.kind for one in verify(where).findings} <= {Kind.PARENT}
    if kind != "s3":  # where a pack stays as long as one of its pieces is needed
        assert size - stats(where).total(lambda one: one.stored) == told.bytes
    with opened(where, is_new=True) as database:
        grow(database.saver, THREADS[0], 3)
    assert {one.kind for one in verify(where).findings} <= {Kind.PARENT}


@pytest.mark.parametrize("kind", [*KINDS, "memory"])
def test_a_sweep_takes_what_rests(kind, place_of):
    where = place_of(kind)
    half, old = timedelta(minutes=30), checkpoint({"x": 1})
    old["id"] = first_id(datetime.now(UTC) - timedelta(hours=1))
    with opened(where, is_new=True) as database:
        saver = database.saver
        for thread in ("mine", "never", "default", "held", "busy", "sub"):
            saver.put(place(thread), old, {}, {"x": 1})
        saver.put(place("sub", "inner"), checkpoint({"x": 1}), {}, {"x": 1})
        saver.keep("mine", ttl=half)
        saver.keep("never", ttl=NEVER)
        saver.keep("held", ttl=half, hold="case 12")
        saver.keep("sub", ttl=half)
        saver.keep("unborn", ttl=half)
        if saver.leases:
            assert saver.acquire("busy", holder("a run"), 60)
        told = sweep(saver, dry_run=True)
        assert (told.threads, told.checkpoints, told.bytes > 0, told.held) == (1, 1, True, ["held"])
        assert len(list(saver.threads())) == 6
        assert sweep(saver, default_ttl=timedelta(days=1)).threads == 1
        assert list(saver.threads()) == ["busy", "default", "held", "never", "sub"]
        some = Selection(["default", "busy", "never", "unborn", "sub"])
        done = sweep(saver, default_ttl=half, selection=some)
        left = ["busy", "held", "never", "sub"] if saver.leases else ["held", "never", "sub"]
        assert (list(saver.threads()), done.busy) == (left, ["busy"] if saver.leases else [])
        saver.keep("held", hold=None)
        assert sweep(saver).threads == 1
        assert [name for name, _ in saver.rules()] == ["never", "sub", "unborn"]


def test_a_prune_that_is_killed_loses_nothing_else(tmp_path):
    assert prune_killed_at_all(tmp_path, 7) > 8


@pytest.mark.parametrize("kind", KINDS)
def test_rules_travel(kind, place_of, tmp_path):
    source = f"sqlite:///{tmp_path}/source.db"
    with opened(source, is_new=True) as database:
        grow(database.saver, "one", 1, steps=3)
        grow(database.saver, "two", 1, steps=3)
        database.saver.keep("one", ttl=timedelta(days=30), hold="case 12")
        database.saver.keep("two", ttl=NEVER)
        database.saver.keep("unborn", hold="case 13")
        rules = list(database.saver.rules())
    target = place_of(kind, "target")
    with opened(target, is_new=True) as database:
        database.saver.keep("two", ttl=timedelta(days=1))
    assert migrate(source, target, verify=True).rules_left is False
    with opened(target, is_new=True) as database:
        mine = dict(rules) | {"two": Rules(timedelta(days=1))}
        assert dict(database.saver.rules()) == mine
    backup(target, tmp_path / "all.perdure")
    restore(tmp_path / "all.perdure", f"sqlite:///{tmp_path}/again.db")
    restore(tmp_path / "all.perdure", f"sqlite:///{tmp_path}/one.db", selection=Selection(["one"]))
    with opened(f"sqlite:///{tmp_path}/again.db", is_new=True) as database:
        assert dict(database.saver.rules()) == mine
    with opened(f"sqlite:///{tmp_path}/one.db", is_new=True) as database:
        assert dict(database.saver.rules()) == {"one": mine["one"]}


def test_what_contradicts_itself_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    with opened(url, is_new=True) as database:
        grow(database.saver, "one", 1, steps=2)
    with pytest.raises(UsageError, match="expires as a whole"):
        sweep(url, selection=Selection(metadata={"a": 1}))
    with pytest.raises(UsageError, match="keeps nothing"):
        prune(url, strategy="delete", keep_last=2)


@pytest.fixture
def cli(monkeypatch, capsys):
    def call(*words, code=0):
        monkeypatch.setattr("sys.argv", ["perdure", *map(str, words)])
        assert app.start() == code, capsys.readouterr()
        return capsys.readouterr()

    return call


def test_the_commands(tmp_path, cli):
    db = f"{tmp_path}/x.db"
    with opened(db, is_new=True) as database:
        for thread in ("ada", "bob"):
            config = place(thread)
            for n in range(4):
                made = checkpoint({"x": n}, {"x": n + 1}, after=config["configurable"].get("checkpoint_id"))
                config = database.saver.put(config, made, {"user": thread, "n": n}, {"x": n + 1})
    assert "no thread has rules" in cli("keep", db).err
    assert json.loads(cli("keep", db, "ada", "--ttl", "30d", "--hold", "case 12", "--json").out) == {
        "ada": {"ttl": 2592000.0, "hold": "case 12"}
    }
    assert "30 days" in cli("keep", db).out
    cli("keep", db, "ada", "--hold", "x", "--release", code=2)
    cli("keep", db, "--hold", "x", code=2)
    assert "case 12" in cli("delete", "ada", "--db", db, "--yes", code=2).err
    told = json.loads(cli("prune", db, "--metadata", "user=bob", "--metadata", "n=1", "--dry-run", "--json").out)
    assert (told["threads"], told["checkpoints"], told["held"]) == (1, 1, ["ada"])
    assert "nobody is there to ask" in cli("prune", db, code=2).err
    assert "2 checkpoints of 1 threads deleted" in cli("prune", db, "--keep-last", "2", "--yes").out
    cli("keep", db, "ada", "--release", "--ttl", "never")
    assert "0 checkpoints" in cli("prune", db, "--older-than", "1d", "--yes").out
    assert "1 threads" in cli("sweep", db, "--default-ttl", "0s", "--yes", code=0).out
    assert "ada" in cli("threads", "--db", db).out
    cli("sweep", db, "--default-ttl", "soon", "--yes", code=2)
    assert "4 checkpoints of 1 threads deleted" in cli("prune", db, "--delete", "--yes").out


def test_a_target_that_has_no_rules_is_told_of(tmp_path):
    class Classic(InMemorySaver):
        has_rules = False

    url = f"sqlite:///{tmp_path}/x.db"
    with opened(url, is_new=True) as database:
        grow(database.saver, "one", 1, steps=2)
        assert not migrate(url, Classic()).rules_left
        database.saver.keep("one", hold="case 12")
    assert migrate(url, Classic()).rules_left


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis", "s3"])
def test_encrypted_threads_are_pruned_and_measured(kind, place_of, monkeypatch):
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", f"one:{base64.b64encode(bytes(32)).decode()}")
    url = place_of(kind)
    with opened(url, encrypted=True, is_new=True) as database:
        grow(database.saver, "one", 1, steps=12)
    wanted = {"keep_last": 2, "encrypted": True}
    told = prune(url, dry_run=True, **wanted)
    done = prune(url, **wanted)
    assert (told.threads, told.checkpoints) == (done.threads, done.checkpoints)
    assert done.checkpoints > 5
    assert told.bytes > 0
    assert {one.kind for one in verify(url, encrypted=True).findings} <= {Kind.PARENT}
    assert prune(url, selection=Selection(metadata={"no": "such"}), **wanted).checkpoints == 0
