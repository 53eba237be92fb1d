"""A saver that has lived long knows nothing wrong: after any calls, also of others, it reads and writes as a fresh one.

Savers remember what they have seen last: heads, versions, values, the numbers of pieces. Here one lives through random
calls, and another process calls in between; after each, a fresh saver must find in the database what the model holds.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from obstore.store import MemoryStore
from tests.contract.shown import open_table
from tests.contract.truth import Child, Entry, Right, Space, Truth, child, commit_of

from perdure.checkpoint import conformance
from perdure.checkpoint.base import ANY_HEAD, TaskWrites
from perdure.checkpoint.conformance.case import paint, place
from perdure.checkpoint.ids import new_id
from perdure.checkpoint.objects import ObjectSaver, flushing
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.redis import RedisSaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.constants import ERROR, RESUME
from perdure.database.objects.buckets import BucketClient
from perdure.errors import ConflictError

THREADS = ("a", "b")
RUNS = ("r1", "r2", "r3")
CHANNELS = ("n", "log", "text")
_numbers = itertools.count()

picks = st.integers(0, 7)
spaces = st.sampled_from([*[("a", "")] * 4, ("a", "sub"), ("b", "")])
threads = st.sampled_from(["a", "a", "b"])
runs = st.sampled_from(RUNS)
edits = st.lists(st.tuples(st.sampled_from(CHANNELS), picks), min_size=1, max_size=2)
parents = st.sampled_from(["head", "head", "head", "none", "any", "gone"])
callers = st.sampled_from(["long", "long", "other"])
expectations = st.sampled_from(["parent", "parent", "any", "wrong"])
tasks = st.lists(st.tuples(st.sampled_from(["t1", "t2"]), picks), max_size=2, unique_by=lambda task: task[0])


def text(seed: int, size: int = 90) -> str:
    return random.Random(seed).randbytes(size).hex()


def changes(base: Entry | None, chosen: list[tuple[str, int]]) -> dict[str, Any]:
    """Return channels' new values; None: empty."""
    values = base.values if base else {}
    found: dict[str, Any] = {}
    for channel, pick in chosen:
        if channel == "n":
            found["n"] = pick
        elif channel == "log":
            old = values.get("log", [])
            found["log"] = [*old, text(len(old) * 8 + pick)] if pick < 6 else old[1:] if pick < 7 else None
        else:
            found["text"] = values.get("text", text(99, 300))[pick * 10 :] + text(pick)
    return found


class Sqlite:
    examples = 30

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = ""

    def empty(self) -> None:
        self._path = str(self._folder / f"{next(_numbers)}.db")

    def open(self) -> AbstractContextManager[Any]:
        return SqliteSaver.from_conn_string(self._path, synchronous="NORMAL")


class Postgres:
    examples = 12

    def __init__(self, url: str) -> None:
        self._url = url
        self._schema = ""

    def empty(self) -> None:
        with closing(psycopg.connect(self._url, autocommit=True)) as connection:
            if self._schema:
                connection.execute(f"DROP SCHEMA {self._schema} CASCADE")  # type: ignore[arg-type]
        self._schema = f"s{next(_numbers)}"

    def open(self) -> AbstractContextManager[Any]:
        return PostgresSaver.from_conn_string(self._url, schema=self._schema)


class Redis:
    examples = 10

    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = ""

    def empty(self) -> None:
        self._prefix = f"s{next(_numbers)}:"

    def open(self) -> AbstractContextManager[Any]:
        return RedisSaver.from_conn_string(self._url, prefix=self._prefix)


class Objects:
    """A store in this process, with next to nothing in roots: each step fills objects, and merges them often."""

    examples = 6

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(flushing, "MOST_ROOT", 1000)
        patch.setattr(flushing, "RUNG", 3)
        self._store = MemoryStore()

    def empty(self) -> None:
        self._store = MemoryStore()

    def open(self) -> AbstractContextManager[Any]:
        return ObjectSaver(BucketClient(self._store, "nothing"))


class Rows(Sqlite):
    examples = 5

    def open(self) -> AbstractContextManager[Any]:
        return open_table(self._path)


class Calls(RuleBasedStateMachine):
    """Random calls on a saver, and on another process's."""

    store: Any
    colour: Any

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.store.empty()
        self.truth = Truth()
        self.opened = {who: self.store.open() for who in ("long", "other")}
        self.savers = {who: paint(saver.__enter__(), self.colour) for who, saver in self.opened.items()}
        self.lost: list[Any] = []  # leases

    def teardown(self) -> None:
        for opened in getattr(self, "opened", {}).values():
            opened.__exit__(None, None, None)
        if hasattr(self, "runner"):
            self.runner.close()

    def ask(self, who: str, name: str, *args: Any, **options: Any) -> Any:
        return self.runner.run(getattr(self.savers[who], name)(*args, **options))

    # -- storing

    def base(self, space: Space, kind: str, pick: int) -> Entry | None:
        """Choose a parent."""
        held = self.truth.of(space)
        if kind == "gone":
            gone = [entry for entry in self.truth.ever.get(space, []) if entry.id not in held]
            return gone[pick % len(gone)] if gone else None
        if kind == "none" or not held:
            return None
        return held[max(held)] if kind == "head" else held[sorted(held)[pick % len(held)]]

    def stores(self, who: str, space: Space, parent: str | None, calls: Any, model: Any) -> Any:
        """Store something. A saver may refuse what goes on from a checkpoint that isn't there."""
        try:
            found = calls()
        except ConflictError:
            if not self.truth.has(space, parent):
                return
            with pytest.raises(ConflictError):
                model()
            return
        assert found == model()

    @rule(who=callers, space=spaces, parent=parents, pick=picks, chosen=edits, run=runs)
    def put(self, who: str, space: Space, parent: str, pick: int, chosen: Any, run: str) -> None:
        base = self.base(space, parent, pick)
        self._put(who, space, child(base, changes(base, chosen), run))

    def _put(self, who: str, space: Space, one: Child) -> None:
        def call() -> None:
            self.ask(who, "put", place(*space, one.entry.parent), one.made, one.metadata, one.changed)

        self.stores(who, space, one.entry.parent, call, lambda: self.truth.put(space, one))

    @rule(who=callers, space=spaces, pick=picks, chosen=edits, run=runs)
    def put_again(self, who: str, space: Space, pick: int, chosen: Any, run: str) -> None:
        old = self.base(space, "any", pick)
        if old is not None:
            parent = self.truth.of(space).get(old.parent or "")
            self._put(who, space, child(parent, changes(parent, chosen), run, old.id))

    @rule(
        who=callers,
        space=spaces,
        parent=parents,
        pick=picks,
        steps=st.lists(st.tuples(edits, tasks), min_size=1, max_size=3),
        run=runs,
        expects=expectations,
        changes_only=st.booleans(),
        lease=st.sampled_from(["none", "held", "held", "lost"]),
        again=st.booleans(),
    )
    def commit(self, **chosen: Any) -> None:
        self._commit(**chosen)

    def _commit(
        self,
        who: str,
        space: Space,
        parent: str,
        pick: int,
        steps: Any,
        run: str,
        expects: str,
        changes_only: bool,
        lease: str,
        again: bool,
    ) -> None:
        base = self.base(space, parent, pick)
        first = base
        carried = self.lease(space[0], lease, pick)
        commits, entries = [], []
        for chosen, done in steps:
            one = child(base, changes(base, chosen), run)
            expected = {"parent": base.id if base else None, "any": ANY_HEAD, "wrong": "nobody"}[expects]
            writes = [TaskWrites(name, f"path {name}", self.written(one, n)) for name, n in done]
            made = commit_of(space, one, writes, expected, changes_only=changes_only)
            commits.append(made._replace(lease=carried))
            entries.append(one.entry)
            base = one.entry
        saver = self.savers[who].saver

        def call() -> Any:
            stop = self.ask(who, "commit", [saver.prepare(commit) for commit in commits])
            if again:
                assert self.ask(who, "commit", [saver.prepare(commit) for commit in commits]) == stop
            return stop

        self.stores(who, space, first.id if first else None, call, lambda: self.truth.commit(space, commits, entries))

    @rule(who=callers, space=spaces, steps=st.lists(st.tuples(edits, tasks), min_size=1, max_size=4), run=runs)
    def go_on(self, who: str, space: Space, steps: Any, run: str) -> None:
        """Commit supersteps one by one, as a run does that nobody disturbs."""
        for step in steps:
            self._commit(
                who=who,
                space=space,
                parent="head",
                pick=0,
                steps=[step],
                run=run,
                expects="parent",
                changes_only=True,
                lease="held",
                again=False,
            )

    @rule(
        who=callers,
        other=callers,
        space=spaces,
        steps=st.lists(st.tuples(edits, tasks), min_size=2, max_size=4),
        what=st.sampled_from(["put", "put_again", "go_on", "delete_thread", "delete_for_runs", "copy_thread", "prune"]),
        pick=picks,
        run=runs,
    )
    def be_disturbed(self, who: str, other: str, space: Space, steps: Any, what: str, pick: int, run: str) -> None:
        """Go on, let somebody do something, and go on as if nothing had happened."""
        self.go_on(who=who, space=space, steps=steps[:-1], run=run)
        chosen = {"space": space, "pick": pick, "chosen": steps[0][0], "run": RUNS[pick % 3]}
        thread = space[0]
        options = {
            "put": {**chosen, "parent": ("head", "any")[pick % 2]},
            "put_again": chosen,
            "go_on": {"space": space, "steps": steps[:1], "run": run},
            "delete_thread": {"thread": thread},
            "delete_for_runs": {"gone": [RUNS[pick % 3]]},
            "copy_thread": {"source": THREADS[thread == "a"], "into": thread},
            "prune": {"thread": thread, "strategy": ("keep_latest", "delete")[pick > 6]},
        }
        getattr(self, what)(who=other, **options[what])
        self.go_on(who=who, space=space, steps=steps[-1:], run=run)

    @staticmethod
    def written(one: Child, n: int) -> list[tuple[str, Any]]:
        values = one.entry.values
        channel = CHANNELS[n % 3]
        return [(channel, values.get(channel)), ("other", n), *([(RESUME, [n])] if n > 5 else [])]

    @rule(who=callers, space=spaces, kind=st.sampled_from(["head", "any"]), pick=picks, task=picks, count=picks)
    def put_writes(self, who: str, space: Space, kind: str, pick: int, task: int, count: int) -> None:
        entry = self.base(space, kind, pick)
        if entry is not None:
            self._put_writes(who, space, entry.id, f"t{task % 3}", count)

    def _put_writes(self, who: str, space: Space, checkpoint_id: str, task: str, count: int) -> None:
        writes = [("log", text(n)) for n in range(count % 3)] + [(ERROR, count)] * (count > 3)
        self.ask(who, "put_writes", place(*space, checkpoint_id), writes, task, f"path {task}")
        self.truth.put_writes(space, checkpoint_id, writes, task, f"path {task}")

    @rule(who=callers, other=callers, space=spaces, pick=picks, chosen=edits, run=runs)
    def put_writes_first(self, who: str, other: str, space: Space, pick: int, chosen: Any, run: str) -> None:
        made_id = new_id(self.truth.head(space))
        self._put_writes(who, space, made_id, "early", pick)
        base = self.base(space, "head", pick)
        self._put(other, space, child(base, changes(base, chosen), run, made_id))

    # -- deleting and copying

    @rule(who=callers, thread=threads)
    def delete_thread(self, who: str, thread: str) -> None:
        self.forget_lease(thread)
        self.ask(who, "delete_thread", thread)
        self.truth.delete_thread(thread)

    @rule(who=callers, gone=st.lists(runs, min_size=1, max_size=2))
    def delete_for_runs(self, who: str, gone: list[str]) -> None:
        self.ask(who, "delete_for_runs", gone)
        self.truth.delete_for_runs(gone)

    @rule(who=callers, source=threads, into=threads)
    def copy_thread(self, who: str, source: str, into: str) -> None:
        self.ask(who, "copy_thread", source, into)
        self.truth.copy_thread(source, into)

    @rule(who=callers, thread=threads, strategy=st.sampled_from(["keep_latest", "keep_latest", "delete"]))
    def prune(self, who: str, thread: str, strategy: str) -> None:
        if strategy == "delete":
            self.forget_lease(thread)
        self.ask(who, "prune", [thread], strategy=strategy)
        self.truth.prune(thread, strategy)

    # -- leases

    def lease(self, thread: str, kind: str, pick: int) -> Any:
        right = self.truth.rights.get(thread)
        if kind == "lost" and (lost := [one for one in self.lost if one.thread_id == thread]):
            return lost[pick % len(lost)]
        return right.lease if kind == "held" and right is not None else None

    def forget_lease(self, thread: str) -> None:
        if (right := self.truth.rights.pop(thread, None)) is not None:
            self.lost.append(right.lease)

    @rule(who=callers, thread=threads, holder=st.sampled_from(["h1", "h2"]))
    def acquire(self, who: str, thread: str, holder: str) -> None:
        right = self.truth.rights.get(thread)
        found = self.ask(who, "acquire", thread, holder, 1000)
        if right is not None:
            assert found == (right.lease if right.lease.holder == holder else None)
            return
        assert found is not None
        self.truth.rights[thread] = Right(found)
        # A deleted thread's lease counts from the beginning again.
        self.lost = [lease for lease in self.lost if lease != found]

    @rule(who=callers, thread=threads)
    def release(self, who: str, thread: str) -> None:
        if (lease := self.lease(thread, "held", 0)) is not None:
            self.forget_lease(thread)
            self.ask(who, "release", lease)

    @rule(who=callers, thread=threads)
    def request_stop(self, who: str, thread: str) -> None:
        self.ask(who, "request_stop", thread)
        if (right := self.truth.rights.get(thread)) is not None:
            right.stop = True

    @rule(who=callers, thread=threads, kind=st.sampled_from(["held", "lost"]), pick=picks)
    def renew(self, who: str, thread: str, kind: str, pick: int) -> None:
        if (lease := self.lease(thread, kind, pick)) is not None:
            right = self.truth.rights.get(thread)
            held = right is not None and right.lease == lease
            wanted = "lost" if not held else "stop" if right is not None and right.stop else "held"
            assert self.ask(who, "renew", [lease], 1000) == [wanted]

    # -- reading

    @rule(who=callers, space=spaces, kind=parents, pick=picks)
    def get(self, who: str, space: Space, kind: str, pick: int) -> None:
        entry = self.base(space, kind, pick)
        wanted = place(*space, entry.id if entry is not None and kind != "head" else None)
        assert self.ask(who, "get_tuple", wanted) == self.truth.saver.get_tuple(wanted)
        assert self.ask(who, "get_head", *space) == self.truth.head(space)

    @rule(who=callers, thread=threads)
    def list_thread(self, who: str, thread: str) -> None:
        found = self.ask(who, "list", {"configurable": {"thread_id": thread}})
        assert found == self.truth.tuples(thread)

    @invariant()
    def a_fresh_saver_finds_what_the_model_holds(self) -> None:
        if not hasattr(self, "truth"):
            return
        with self.store.open() as fresh:
            held = [thread for thread in THREADS if self.truth.tuples(thread)]
            assert list(fresh.threads()) == held
            for thread in THREADS:
                assert list(fresh.list({"configurable": {"thread_id": thread}})) == self.truth.tuples(thread)


@pytest.fixture(params=["sqlite", "postgres", "redis", "rows", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "objects":
        return Objects(monkeypatch)
    if request.param == "redis":
        return Redis(request.getfixturevalue("empty_valkey").url)
    if request.param == "rows":
        return Rows(tmp_path)
    return Sqlite(tmp_path) if request.param == "sqlite" else Postgres(request.getfixturevalue("database"))


@pytest.mark.timeout(600)  # what fails is made smaller first
@pytest.mark.parametrize("colour", conformance.COLOURS)
def test_random_calls(store: Any, colour: str) -> None:
    machine = type("Calls", (Calls,), {"store": store, "colour": colour})
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(max_examples=store.examples, stateful_step_count=40, suppress_health_check=slow, print_blob=False)
    run_state_machine_as_test(machine, settings=chosen)
