"""Cases: `keep`, `rules_of`, `rules`, and what of it those that delete must honour."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from perdure.checkpoint.conformance.case import Case, collector, expect, expect_error, ids, place, put, values
from perdure.checkpoint.rules import NEVER, Rules
from perdure.errors import ThreadHeldError

CASES: list[Case] = []
case = collector(CASES, "rules")

_MONTH = timedelta(days=30)
_BIG = "b" * 500


@case
async def rules_are_kept_changed_one_by_one_and_listed(saver: Any) -> None:
    expect(await saver.rules_of("t"), Rules(), "before")
    expect(await saver.keep("t", ttl=_MONTH), Rules(_MONTH), "a time to live")
    expect(await saver.keep("t", hold="case 12 \N{SNOWMAN}"), Rules(_MONTH, "case 12 \N{SNOWMAN}"), "and a hold")
    await put(saver)
    expect(await saver.keep("t", ttl=NEVER), Rules(NEVER, "case 12 \N{SNOWMAN}"), "another time")
    expect(await saver.keep("t"), Rules(NEVER, "case 12 \N{SNOWMAN}"), "nothing given")
    expect(await saver.rules_of("t"), Rules(NEVER, "case 12 \N{SNOWMAN}"), "read")
    expect(await saver.keep("t", ttl=None), Rules(None, "case 12 \N{SNOWMAN}"), "as the default")
    expect(await saver.keep("t", hold=None), Rules(), "lifted")
    expect(await saver.rules(), [], "none left")
    for bad in ({"ttl": timedelta(0)}, {"ttl": timedelta(-1)}, {"ttl": 30}, {"ttl": "soon"}, {"hold": ""}, {"hold": 3}):
        await expect_error(ValueError, saver.keep("t", **bad), repr(bad))
    expect(await saver.rules(), [], "nothing odd")
    for thread_id in ("b", "a", "d", "c"):
        await saver.keep(thread_id, ttl=_MONTH)
    await saver.keep("c", hold="for c")
    await saver.keep("0", hold="for 0")
    await saver.keep("b", ttl=None)
    expect([name for name, _ in await saver.rules()], ["0", "a", "c", "d"], "all")
    expect(await saver.rules(held=True), [("0", Rules(None, "for 0")), ("c", Rules(_MONTH, "for c"))], "held")
    expect([name for name, _ in await saver.rules(limit=2, after="0")], ["a", "c"], "a page")
    expect([name for name, _ in await saver.rules(held=True, limit=1, after="a")], ["c"], "a page of held ones")
    expect(await saver.threads(), ["t"], "threads")


@case
async def a_held_thread_is_not_deleted(saver: Any) -> None:
    for thread_id in ("a", "held", "z"):
        first = await put(saver, {"x": _BIG}, config=place(thread_id), versions={"x": 1}, run_id=f"run of {thread_id}")
        await saver.put_writes(first, [("x", 1)], "task")
        await put(saver, {"x": 2}, config=first, versions={"x": 2}, run_id="last")
    await saver.keep("held", hold="case 12")
    before = await saver.list(None)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "delete_thread": lambda: saver.delete_thread("held"),
        "prune": lambda: saver.prune(["a", "held", "z"]),
        "prune by age": lambda: saver.prune(["a", "held"], older_than=timedelta(0)),
        "prune by deleting": lambda: saver.prune(["a", "held", "z"], strategy="delete"),
        "delete_for_runs": lambda: saver.delete_for_runs(["run of a", "run of held"]),
        "delete_for_runs of one in several threads": lambda: saver.delete_for_runs(["last"]),
    }
    for what, call in calls.items():
        await expect_error(ThreadHeldError, call(), what)
        expect(await saver.list(None), before, f"after {what}")
    await saver.delete_for_runs(["run of a"])
    await saver.prune(["a", "z"])
    await saver.delete_thread("z")
    expect(await saver.threads(), ["a", "held"], "the others")
    await saver.keep("held", hold=None)
    await saver.prune(["held"])
    await saver.delete_thread("held")
    expect(await saver.threads(), ["a"], "once it is lifted")


@case
async def a_held_thread_goes_on_and_one_may_be_held_before_it_begins(saver: Any) -> None:
    first = await put(saver, {"x": 1}, versions={"x": 1})
    await saver.keep("t", hold="case 12")
    second = await put(saver, {"x": 2}, config=first, versions={"x": 2})
    await saver.put_writes(second, [("x", 3)], "task")
    expect(await values(saver, place()), {"x": 2}, "values")
    expect(len(await ids(saver, place())), 2, "checkpoints")
    expect(await saver.rules_of("t"), Rules(None, "case 12"), "rules")
    await saver.keep("later", hold="case 12")
    await expect_error(ThreadHeldError, saver.delete_thread("later"), "delete_thread of nothing")
    config = await put(saver, {"x": 1}, config=place("later"))
    await expect_error(ThreadHeldError, saver.delete_thread("later"), "delete_thread")
    expect(await values(saver, config), {"x": 1}, "values")


@case
async def rules_go_with_their_thread_and_are_not_copied(saver: Any) -> None:
    await put(saver)
    await saver.keep("t", ttl=_MONTH, hold="case 12")
    await saver.copy_thread("t", "copy")
    expect(await saver.rules_of("copy"), Rules(), "of a copy")
    await saver.delete_thread("copy")
    await saver.keep("t", hold=None)
    await saver.delete_thread("t")
    expect(await saver.rules_of("t"), Rules(), "of a deleted thread")
    await put(saver)
    expect(await saver.rules_of("t"), Rules(), "of a new thread of that name")
    await saver.keep("t", ttl=_MONTH)
    await saver.prune(["t"], strategy="delete")
    expect(await saver.rules(), [], "of a thread that was pruned")
