"""Ids grow, whatever the clock does."""

from __future__ import annotations

import os
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.checkpoint import ids
from perdure.checkpoint.ids import new_id, uuid6


def test_they_are_uuids_of_version_6_in_the_order_of_time() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {uuid.UUID(i).version for i in made} == {6}
    assert {uuid.UUID(i).variant for i in made} == {uuid.RFC_4122}
    now = time.time_ns() // 100 + 0x01B21DD213814000
    assert abs(ids._tick_of(made[-1]) - now) < 10_000_000


def test_the_clock_may_stand_still_or_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    monkeypatch.setattr(ids, "time_ns", lambda: 0)
    made = [before] + [new_id() for _ in range(100)]
    assert made == sorted(set(made))


@given(st.integers(0, (1 << 60) - 3), st.integers(0, (1 << 62) - 1))
def test_they_exceed_the_parent_of_a_machine_with_another_clock(tick: int, bits: int) -> None:
    text = f"{tick:015x}"
    low = f"{bits | 1 << 63:016x}"
    parent = f"{text[:8]}-{text[8:12]}-6{text[12:]}-{low[:4]}-{low[4:]}"
    child = new_id(parent)
    assert child > parent
    assert new_id(child) > child


def test_a_parent_from_the_future_does_not_drag_other_threads_along() -> None:
    far = "ffff0000-0000-6000-8000-000000000000"
    children = {new_id(far) for _ in range(100)}
    assert min(children) > far
    assert len(children) == 100
    assert new_id() < far


def test_a_parent_of_a_clock_that_runs_ahead_is_followed() -> None:
    soon = f"{ids._tick_of(new_id()) + 3600 * 10_000_000:015x}"
    parent = f"{soon[:8]}-{soon[8:12]}-6{soon[12:]}-8000-000000000000"
    children = [new_id(parent) for _ in range(100)]
    assert [parent, *children] == sorted({parent, *children})
    ids._last = 0


@given(st.uuids(version=4))
def test_they_exceed_uuids_of_other_versions_if_that_can_be(parent: uuid.UUID) -> None:
    if not str(parent).startswith("ffffffff-ffff"):
        assert new_id(str(parent)) > str(parent)


@pytest.mark.parametrize("parent", ["", "no id", "x" * 36, None])
def test_a_parent_that_is_no_uuid_is_ignored(parent: str | None) -> None:
    assert uuid.UUID(new_id(parent)).version == 6


def test_threads_never_get_the_same() -> None:
    made: list[list[str]] = [[] for _ in range(8)]

    def work(mine: list[str]) -> None:
        for _ in range(2_000):
            mine.append(new_id(mine[-1] if mine else None))

    workers = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({i for mine in made for i in mine}) == 16_000


def test_a_forked_child_draws_its_own_bits() -> None:
    before = new_id()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, new_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        child = pipe.read()
    assert child > before
    assert child[19:] != before[19:]
    assert new_id() > before


def test_uuid6_takes_node_and_clock_seq() -> None:
    made = uuid6(node=7, clock_seq=-1)
    assert (made.version, made.node, made.clock_seq) == (6, 7, 0x3FFF)
    assert str(uuid6()) < str(uuid6())
