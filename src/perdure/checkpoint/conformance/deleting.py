"""Cases: `delete_thread`, `delete_for_runs`, `copy_thread`, `prune`."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure.checkpoint.conformance.case import (
    Case,
    collector,
    expect,
    expect_error,
    id_of,
    ids,
    place,
    put,
    values,
)

CASES: list[Case] = []
case = collector(CASES)
extended = collector(CASES, "commit")

_LONG = os.urandom(2_000).hex()
_BIG = "b" * 500  # longer than what a store may keep beside the checkpoint


@case
async def delete_thread_deletes_all_of_it_and_nothing_else(saver: Any) -> None:
    for thread in ("gone", "kept"):
        root = await put(saver, {"x": _BIG}, config=place(thread))
        await saver.put_writes(root, [("x", 1)], "task")
        await put(saver, {"x": 1}, config=place(thread, "sub"))
    await saver.delete_thread("gone")
    await saver.delete_thread("never was")
    expect(await saver.list({"configurable": {"thread_id": "gone"}}), [], "the deleted thread")
    expect(await saver.threads(), ["kept"], "threads")
    found = await saver.get_tuple(place("kept"))
    expect(found.checkpoint["channel_values"], {"x": _BIG}, "the other thread")
    again = await put(saver, {"y": 1}, config=place("gone"))
    expect((await saver.get_tuple(again)).pending_writes, [], "a new thread of that name")
    expect(await values(saver, again), {"y": 1}, "its values")


@extended
async def delete_for_runs_keeps_what_others_need(saver: Any) -> None:
    first = await put(saver, {"a": _BIG, "b": 1}, versions={"a": 1, "b": 1}, run_id="r1")
    second = await put(saver, {"b": 2}, config=first, versions={"a": 1, "b": 2}, new={"b": 2}, run_id="r2")
    sub = await put(saver, {"x": _BIG}, config=place("t", "sub"), run_id="r1")
    await saver.put_writes(first, [("x", 1)], "task")
    await saver.delete_for_runs(["r1", "never was"])
    await saver.delete_for_runs([])
    expect(await ids(saver, {"configurable": {"thread_id": "t"}}), [id_of(second)], "checkpoints left")
    expect(await saver.get_tuple(sub), None, "other namespaces")
    expect(await values(saver, second), {"a": _BIG, "b": 2}, "an inherited value")
    found = await saver.get_tuple(second)
    expect(found.parent_config, first, "the name of the parent")


@case
async def copy_thread_copies_everything(saver: Any) -> None:
    first = await put(saver, {"a": _BIG, "b": 1}, versions={"a": 1, "b": 1}, step=0)
    await saver.put_writes(first, [("b", 2)], "task-2", "path-1")
    await saver.put_writes(first, [("b", 3)], "task-1", "path-2")
    second = await put(saver, {"b": 2}, config=first, versions={"a": 1, "b": 2}, new={"b": 2}, step=1)
    await put(saver, {"x": 1}, config=place("t", "sub"))
    await saver.copy_thread("t", "copy")
    await saver.copy_thread("never was", "nothing")
    for original in (first, second):
        found = await saver.get_tuple(original)
        copied = await saver.get_tuple(place("copy", "", id_of(original)))
        expect(copied.checkpoint, found.checkpoint, "checkpoint")
        expect(copied.metadata, found.metadata, "metadata")
        expect(copied.pending_writes, found.pending_writes, "writes")
    expect(len(await saver.list({"configurable": {"thread_id": "copy"}})), 3, "checkpoints")
    await saver.delete_thread("t")
    expect(await values(saver, place("copy")), {"a": _BIG, "b": 2}, "after the source was deleted")


@extended
async def copy_thread_adds_to_what_is_there(saver: Any) -> None:
    mine = await put(saver, {"x": "mine" * 50}, config=place("copy"))
    theirs = await put(saver, {"x": "theirs" * 50})
    await saver.copy_thread("t", "copy")
    await saver.copy_thread("t", "copy")
    await saver.copy_thread("t", "t")
    expect(await ids(saver, place("copy")), [id_of(theirs), id_of(mine)], "checkpoints")
    expect(await values(saver, mine), {"x": "mine" * 50}, "what was there")
    expect(await values(saver, place("copy")), {"x": "theirs" * 50}, "what came")


@extended
async def copy_thread_adds_writes_to_those_that_are_there(saver: Any) -> None:
    first = await put(saver, {"x": 1})
    await saver.put_writes(first, [("x", 1)], "task")
    await saver.copy_thread("t", "copy")
    await saver.put_writes(first, [("x", "not this"), ("y", _BIG)], "task")
    await saver.put_writes(place("copy", "", id_of(first)), [("z", 3)], "other")
    await saver.copy_thread("t", "copy")
    found = await saver.get_tuple(place("copy"))
    expect(found.pending_writes, [("other", "z", 3), ("task", "x", 1), ("task", "y", _BIG)], "writes of both")


@case
async def long_metadata_and_writes_are_copied_and_deleted(saver: Any) -> None:
    config = place()
    for step in range(3):
        config = await put(saver, {"x": step}, config=config, versions={"x": step}, about=str(step) + _LONG)
        await saver.put_writes(config, [("x", _LONG)], "task")
    await put(saver, {"mine": _LONG}, config=place("copy"), about=_LONG)
    await saver.copy_thread("t", "copy")
    for item in (await saver.list(place("copy")))[1:]:
        source = await saver.get_tuple(place("t", "", id_of(item.config)))
        expect((item.metadata, item.pending_writes), (source.metadata, source.pending_writes), "copied")
    expect(len(await saver.list(place("t"), filter={"about": "1" + _LONG})), 1, "found by a filter")
    await saver.delete_thread("t")
    found = await saver.get_tuple(place("copy", "", id_of(config)))
    expect((found.metadata["about"], found.pending_writes), ("2" + _LONG, [("task", "x", _LONG)]), "the copy")


@extended
async def prune_keeps_long_metadata_and_writes(saver: Any) -> None:
    first = await put(saver, {"x": 1}, versions={"x": 1}, about="1" + _LONG)
    second = await put(saver, {"x": 2}, config=first, versions={"x": 2}, about="2" + _LONG)
    await saver.put_writes(second, [("x", _LONG)], "task")
    await saver.put_writes(second, [("x", 1), ("y", _LONG)], "task")
    await saver.prune(["t"])
    found = await saver.get_tuple(place())
    expect(found.metadata["about"], "2" + _LONG, "metadata")
    expect(found.pending_writes, [("task", "x", _LONG), ("task", "y", _LONG)], "writes")
    third = await put(saver, {"x": 3}, config=second, versions={"x": 3})
    expect(await values(saver, third), {"x": 3}, "the next checkpoint")


@extended
async def prune_keeps_the_heads(saver: Any) -> None:
    first = await put(saver, {"a": _BIG, "b": 1}, versions={"a": 1, "b": 1})
    await saver.put_writes(first, [("b", 0)], "task")
    second = await put(saver, {"b": 2}, config=first, versions={"a": 1, "b": 2}, new={"b": 2})
    await saver.put_writes(second, [("b", 3)], "task")
    sub = await put(saver, {"x": 1}, config=await put(saver, {"x": 0}, config=place("t", "sub")))
    other = await put(saver, config=await put(saver, config=place("other")))
    await saver.prune(["t", "never was"])
    await saver.prune([])
    expect(await ids(saver, place()), [id_of(second)], "root")
    expect(await ids(saver, place("t", "sub")), [id_of(sub)], "sub")
    expect(len(await saver.list(place("other"))), 2, "the other thread")
    expect(await values(saver, place()), {"a": _BIG, "b": 2}, "values")
    expect((await saver.get_tuple(place())).pending_writes, [("task", "b", 3)], "writes")
    third = await put(saver, {"b": 4}, config=second, versions={"a": 1, "b": 4}, new={"b": 4})
    expect(await values(saver, third), {"a": _BIG, "b": 4}, "the next checkpoint")
    expect((await saver.get_tuple(other)).config, other, "the other thread's head")


@extended
async def prune_by_age_keeps_what_is_younger_and_the_heads(saver: Any) -> None:
    config = place()
    made = []
    moment = datetime.now(UTC)
    for n in range(4):
        if n == 2:
            await asyncio.sleep(0.01)
            moment = datetime.now(UTC)
        config = await put(saver, {"a": _BIG + str(n), "b": n}, config=config, versions={"a": n + 1, "b": n + 1})
        await saver.put_writes(config, [("b", n)], "task")
        made.append(config)
    old = await put(saver, {"x": 1}, config=place("old"))
    await saver.prune(["t"], older_than=timedelta(hours=1))
    expect(len(await saver.list(place())), 4, "none is an hour old")
    await saver.prune(["t", "old"], older_than=moment)
    expect(await ids(saver, place()), [id_of(made[3]), id_of(made[2])], "what is younger")
    for n in (2, 3):
        found = await saver.get_tuple(made[n])
        expect(found.checkpoint["channel_values"], {"a": _BIG + str(n), "b": n}, "values")
        expect(found.pending_writes, [("task", "b", n)], "writes")
    await saver.prune(["t", "old"], older_than=timedelta(0))
    expect(await ids(saver, place()), [id_of(made[3])], "the head, however old")
    expect(await values(saver, old), {"x": 1}, "the other thread's head")


@extended
async def prune_by_age_deletes_threads_that_rest(saver: Any) -> None:
    old = await put(saver, config=place("old"))
    await put(saver, config=place("mixed"))
    await asyncio.sleep(0.01)
    moment = datetime.now(UTC)
    await put(saver, config=place("mixed", "sub"))
    await put(saver, config=place("young"))
    await saver.prune(["old", "mixed", "young", "never was"], strategy="delete", older_than=moment)
    expect(await saver.get_tuple(old), None, "what rests")
    expect(sorted(await saver.threads()), ["mixed", "young"], "threads")
    await expect_error(ValueError, saver.prune(["young"], older_than=3), "an age of no unit")


@case
async def prune_can_delete(saver: Any) -> None:
    await put(saver, config=await put(saver))
    await put(saver, config=place("other"))
    await saver.prune(["t"], strategy="delete")
    expect(await saver.threads(), ["other"], "threads")


@extended
async def prune_refuses_what_it_does_not_know(saver: Any) -> None:
    await put(saver)
    await expect_error(ValueError, saver.prune(["t"], strategy="everything"), "an unknown strategy")
    expect(await saver.threads(), ["t"], "threads")
