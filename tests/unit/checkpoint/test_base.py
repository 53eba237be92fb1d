"""What the base class gives to savers of third parties, which have one colour and few methods."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from perdure.checkpoint import base, conformance
from perdure.checkpoint.adopted import AdoptedSaver
from perdure.checkpoint.base import BaseCheckpointSaver, Commit, TaskWrites
from perdure.checkpoint.conformance.case import Case, Colour, checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.rules import Rules
from perdure.errors import ConflictError, UsageError


class SyncOnly(BaseCheckpointSaver[int]):
    """The classic methods, sync, with the old `put_writes` that knows no path."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: InMemorySaver[int] = InMemorySaver()

    def get_tuple(self, config: Any) -> Any:
        return self.inner.get_tuple(config)

    def list(self, config: Any, *, filter: Any = None, before: Any = None, limit: Any = None) -> Iterator[Any]:
        yield from self.inner.list(config, filter=filter, before=before, limit=limit)

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return self.inner.put(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str) -> None:  # type: ignore[override]
        self.inner.put_writes(config, writes, task_id)

    def delete_thread(self, thread_id: str) -> None:
        self.inner.delete_thread(thread_id)


class AsyncOnly(BaseCheckpointSaver[int]):
    """The classic methods, async."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: InMemorySaver[int] = InMemorySaver()
        self.open_walks = 0

    async def aget_tuple(self, config: Any) -> Any:
        await asyncio.sleep(0)
        return self.inner.get_tuple(config)

    async def alist(
        self, config: Any, *, filter: Any = None, before: Any = None, limit: Any = None
    ) -> AsyncIterator[Any]:
        self.open_walks += 1
        try:
            for item in self.inner.list(config, filter=filter, before=before, limit=limit):
                await asyncio.sleep(0)
                yield item
        finally:
            self.open_walks -= 1

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        await asyncio.sleep(0)
        return self.inner.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        self.inner.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        self.inner.delete_thread(thread_id)


# What the old `put_writes` can't do is to keep the order of paths.
NEEDS_PATH = {"writes_come_back_in_order_of_path_task_and_index", "any_text_is_data", "copy_thread_copies_everything"}


@pytest.mark.parametrize("colour", conformance.COLOURS)
@pytest.mark.parametrize("case", conformance.cases_for(AsyncOnly()), ids=str)
def test_a_saver_of_async_methods_works_in_both_colours(case: Case, colour: Colour) -> None:
    saver = AsyncOnly()
    conformance.run(case, saver, colour)
    assert saver.open_walks == 0


@pytest.mark.parametrize("colour", conformance.COLOURS)
@pytest.mark.parametrize("case", conformance.cases_for(SyncOnly()), ids=str)
def test_a_saver_of_sync_methods_works_in_both_colours(case: Case, colour: Colour) -> None:
    if case.name not in NEEDS_PATH:
        conformance.run(case, SyncOnly(), colour)


@pytest.mark.parametrize("make", [SyncOnly, AsyncOnly])
def test_the_suite_covers_what_can_be_derived(make: Any) -> None:
    names = {case.name for case in conformance.cases_for(make())}
    assert {
        "a_commit_stores_writes_and_checkpoint",
        "copy_thread_copies_everything",
        "a_retry_changes_nothing",
    } <= names


def test_the_default_commit_stores_writes_before_the_checkpoint() -> None:
    calls: list[str] = []

    class Recording(SyncOnly):
        def put(self, *args: Any) -> Any:
            calls.append("put")
            return super().put(*args)

        def put_writes(self, *args: Any) -> None:
            calls.append("put_writes")
            super().put_writes(*args)

    saver = Recording()
    root = checkpoint({"x": 1})
    saver.commit([saver.prepare(Commit("t", "", None, (), root, {}, {"x": 1}, None))])
    child = checkpoint({"x": 2}, after=root["id"])
    tasks = [TaskWrites("a", "", [("x", 1)]), TaskWrites("b", "", [("x", 2)])]
    saver.commit([saver.prepare(Commit("t", "", root["id"], tasks, child, {}, {"x": 2}, root["id"]))])
    assert calls == ["put", "put_writes", "put_writes", "put"]
    with pytest.raises(ConflictError):
        saver.commit([saver.prepare(Commit("t", "", root["id"], tasks, root, {}, {}, root["id"]))])


@pytest.mark.parametrize("make", [SyncOnly, AsyncOnly])
async def test_an_abandoned_walk_is_closed(make: Any) -> None:
    saver = make()
    for _ in range(40):
        await saver.aput(place(), checkpoint({"x": 1}), {}, {"x": 1})
    async with contextlib.aclosing(saver.alist(place())) as walk:
        await anext(walk)
    with contextlib.closing(await asyncio.to_thread(saver.list, place())) as walk:
        await asyncio.to_thread(next, walk)
    assert getattr(saver, "open_walks", 0) == 0


def test_what_cannot_be_derived_says_so() -> None:
    for call in (lambda s: s.prune(["t"]), lambda s: s.delete_for_runs(["r"]), lambda s: s.get_tuple({})):
        with pytest.raises(NotImplementedError, match="Nothing implements neither"):
            call(type("Nothing", (BaseCheckpointSaver,), {})())
    with pytest.raises(UsageError, match="leases"):
        SyncOnly().acquire("t", "me", 1)


@pytest.mark.parametrize("saver", [SyncOnly(), AsyncOnly(), AdoptedSaver(object())], ids=lambda s: type(s).__name__)
async def test_a_saver_without_rules_says_so_when_it_is_asked_for_one(saver: Any) -> None:
    assert not saver.has_rules
    with pytest.raises(UsageError, match="has no rules"):
        saver.keep("t", hold="case 12")
    with pytest.raises(UsageError, match="has no rules"):
        await saver.akeep("t", ttl=timedelta(days=1))
    assert saver.rules_of("t") == await saver.arules_of("t") == Rules()
    assert [*saver.rules()] == [one async for one in saver.arules(held=True)] == []


async def test_a_sync_call_on_the_savers_own_loop_fails_instead_of_hanging() -> None:
    saver = AsyncOnly()
    saver.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="event loop"):
        saver.get_tuple(place())
    await saver.aput(place(), checkpoint({"x": 1}), {}, {"x": 1})
    assert (await asyncio.to_thread(saver.get_tuple, place())) is not None


def test_errors_cross_the_bridge() -> None:
    class Failing(AsyncOnly):
        async def aget_tuple(self, config: Any) -> Any:
            raise ConflictError("from the loop")

    with pytest.raises(ConflictError, match="from the loop"):
        Failing().get_tuple(place())


# -- helpers


@pytest.mark.parametrize(
    ("current", "following"),
    [(None, 1), (1, 2), (2.5, 3.0), (f"{7:032}.{0.123}", f"{8:032}.{0:016}")],
)
def test_versions_grow_in_their_own_form(current: Any, following: Any) -> None:
    found = InMemorySaver[Any]().get_next_version(current, None)
    assert found == following
    assert type(found) is type(following)
    assert current is None or found > current


def test_config_metadata_joins() -> None:
    config: Any = {
        "metadata": {"a": 1, "step": 9, "list": [1], "thread_id": "x"},
        "configurable": {"thread_id": "t", "b": True, "a": 2, "__c": 1, "langgraph_step": 3, "n": "a\x00b"},
    }
    assert base.get_checkpoint_metadata(config, {"step": 1}) == {"step": 1, "a": 1, "b": True, "n": "ab"}
    written: Any = {"step": 1, "writes": {}}
    assert base.get_serializable_checkpoint_metadata({}, written) == {"step": 1}


def test_copies_share_no_dicts() -> None:
    made = checkpoint({"x": [1]})
    copied = base.copy_checkpoint(made)
    copied["channel_values"]["y"] = copied["channel_versions"]["y"] = 1
    copied["versions_seen"]["node"]["y"] = 1
    assert made == {**checkpoint({"x": [1]}), "id": made["id"]}
    empty = base.empty_checkpoint()
    assert (empty["v"], empty["channel_values"]) == (base.LATEST_VERSION, {})


def test_writes_sort_by_path_task_and_index() -> None:
    assert base.writes_sort_key("b", "a", -4) > base.writes_sort_key("", "z", 9)


def test_an_untyped_serializer_is_wrapped() -> None:
    import json

    class Json:
        def dumps(self, obj: Any) -> bytes:
            return json.dumps(obj).encode()

        def loads(self, data: bytes) -> Any:
            return json.loads(data)

    saver: InMemorySaver[int] = InMemorySaver(serde=Json())  # type: ignore[arg-type]
    saver.put(place(), checkpoint({"x": [1, {"y": 2}]}), {"step": 1}, {"x": 1})
    found = saver.get_tuple(place())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"x": [1, {"y": 2}]}
    assert found.metadata == {"step": 1}
