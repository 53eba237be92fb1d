"""Cases: what `prune` keeps, and what it tells."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from perdure.checkpoint.conformance.case import (
    Case,
    checkpoint,
    collector,
    expect,
    expect_error,
    id_of,
    ids,
    place,
    put,
    values,
)
from perdure.checkpoint.conformance.commits import commit, step
from perdure.types import RunnableConfig

CASES: list[Case] = []
extended = collector(CASES, "commit")

_BIG = os.urandom(1_500).hex()


async def _grow(saver: Any, config: RunnableConfig, steps: int, **metadata: Any) -> list[RunnableConfig]:
    """Add checkpoints one behind the other, each with a write."""
    made = []
    for n in range(steps):
        config = await put(
            saver, {"a": [_BIG, str(n)], "n": n}, config=config, versions={"a": n + 1, "n": n + 1}, step=n, **metadata
        )
        await saver.put_writes(config, [("n", n)], f"task {n}")
        made.append(config)
    return made


async def _same(saver: Any, kept: list[RunnableConfig], before: dict[str, Any]) -> None:
    """Check that checkpoints are as they were, with values, writes, metadata and parents."""
    for config in kept:
        expect(await saver.get_tuple(config), before[id_of(config)], f"checkpoint {id_of(config)}")


async def _all(saver: Any) -> dict[str, Any]:
    return {id_of(one.config): one for one in await saver.list(None)}


@extended
async def prune_keeps_the_last_ones(saver: Any) -> None:
    made = await _grow(saver, place(), 6)
    sub = await _grow(saver, place("t", "sub"), 2)
    before = await _all(saver)
    done = await saver.prune(["t"], keep_last=3)
    expect((done.threads, done.checkpoints), (1, 3), "what went")
    expect(await ids(saver, place()), [id_of(c) for c in reversed(made[3:])], "root")
    expect(await ids(saver, place("t", "sub")), [id_of(c) for c in reversed(sub)], "sub")
    await _same(saver, made[3:] + sub, before)
    done = await saver.prune(["t"], keep_last=3)
    expect((done.threads, done.checkpoints), (0, 0), "once more")
    after = await put(saver, {"n": 9}, config=made[-1], versions={"a": 6, "n": 9}, new={"n": 9})
    expect(await values(saver, after), {"a": [_BIG, "5"], "n": 9}, "the next checkpoint")


@extended
async def prune_combines_what_it_is_asked(saver: Any) -> None:
    trunk = await _grow(saver, place(), 4, user="ada")
    fork = await _grow(saver, trunk[0], 1, user="ada")
    last = await _grow(saver, trunk[3], 3, user="bob")
    before = await _all(saver)
    await saver.prune(["t"], filter={"user": "ada"}, keep_last=2, keep_forks=True, older_than=timedelta(hours=1))
    expect(len(await ids(saver, place())), 8, "nothing is an hour old")
    await saver.prune(["t"], filter={"user": "ada"}, keep_last=2, keep_forks=True, older_than=timedelta(0))
    kept = [*fork, *last]
    expect(sorted(await ids(saver, place())), sorted(map(id_of, kept)), "what stays")
    await _same(saver, kept, before)
    await saver.prune(["t"], keep_forks=True)
    expect(sorted(await ids(saver, place())), sorted(map(id_of, [*fork, last[-1]])), "tips")
    await _same(saver, [*fork, last[-1]], before)
    await saver.prune(["t"])
    expect(await ids(saver, place()), [id_of(last[-1])], "the head")


@extended
async def prune_by_metadata_keeps_the_rest(saver: Any) -> None:
    made = await _grow(saver, place(), 2, user="ada")
    made += await _grow(saver, made[-1], 2, user="bob", more=_BIG)
    made += await _grow(saver, made[-1], 2, user="ada")
    before = await _all(saver)
    done = await saver.prune(["t"], filter={"user": "bob"})
    expect((done.threads, done.checkpoints), (1, 2), "what went")
    kept = made[:2] + made[4:]
    expect(await ids(saver, place()), [id_of(c) for c in reversed(kept)], "what stays")
    await _same(saver, kept, before)
    await saver.prune(["t"], filter={"user": "ada", "step": 1})
    expect(await ids(saver, place()), [id_of(c) for c in (made[5], made[4], made[0])], "by two keys; the head stays")
    await _same(saver, [made[0], made[4], made[5]], before)


@extended
async def prune_keeps_the_writes_of_what_stays_and_no_others(saver: Any) -> None:
    made = [step(None, 1)]
    for n in (2, 3, 4):
        made.append(step(made[-1].checkpoint["id"], n))  # type: ignore[index]
    for one in made:
        await commit(saver, one)
    await saver.put_writes(place("t", "", "0"), [("n", 0)], "of nothing")
    before = await _all(saver)
    places = [place("t", "", one.checkpoint["id"]) for one in made]  # type: ignore[index]
    await saver.prune(["t"], filter={"step": 2})
    await _same(saver, [places[0], *places[2:]], before)
    again = made[1].checkpoint
    assert again is not None
    await saver.put(places[0], again, {"step": 2}, {"n": 2})
    expect((await saver.get_tuple(places[1])).pending_writes, [], "writes of one that is made anew")
    await saver.prune(["t"])
    first = checkpoint({"n": 0})
    first["id"] = "0"
    found = await saver.get_tuple(await saver.put(place(), first, {}, {"n": 1}))
    expect(found.pending_writes, [], "writes that were there before their checkpoint")


@extended
async def prune_tells_and_refuses_before_it_changes_anything(saver: Any) -> None:
    made = await _grow(saver, place(), 6)
    await put(saver, config=place("other"))
    before = await _all(saver)
    told = await saver.prune(["t", "other", "never was"], keep_last=2, dry_run=True)
    expect((told.threads, told.checkpoints, told.bytes > 0), (1, 4, True), "what would go")
    whole = await saver.prune(["t", "other"], strategy="delete", dry_run=True)
    expect((whole.threads, whole.checkpoints, whole.bytes > told.bytes), (2, 7, True), "what deleting would take")
    young = await saver.prune(["t"], strategy="delete", older_than=timedelta(hours=1), dry_run=True)
    expect(tuple(young), (0, 0, 0), "what is young")
    expect(await _all(saver), before, "what is there")
    for bad in (
        {"keep_last": 0},
        {"keep_last": True},
        {"keep_last": "3"},
        {"strategy": "delete", "keep_last": 2},
        {"strategy": "delete", "filter": {"a": 1}},
        {"strategy": "delete", "keep_forks": True},
    ):
        await expect_error(ValueError, saver.prune(["t"], **bad), repr(bad))
    expect(await _all(saver), before, "after what contradicts itself")
    done = await saver.prune(["t", "other"], keep_last=2)
    expect((done.threads, done.checkpoints), (1, 4), "what went")
    again = await saver.prune(["t", "other"], keep_last=2, dry_run=True)
    expect(tuple(again), (0, 0, 0), "what would go then")
    await _same(saver, made[4:], before)
