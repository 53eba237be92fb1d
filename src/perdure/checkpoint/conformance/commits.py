"""Cases: the engine's door, `prepare` and `commit`."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

from typing import Any

from perdure.checkpoint.base import Commit, TaskWrites
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
from perdure.errors import ConflictError, SerializationError

CASES: list[Case] = []
case = collector(CASES)
own = collector(CASES, "commit")


async def commit(saver: Any, *commits: Commit) -> bool:
    """Prepare and commit."""
    stop: bool = await saver.commit([saver.saver.prepare(one) for one in commits])
    return stop


def step(parent: str | None, n: int, **more: Any) -> Commit:
    """Make the commit of a superstep: one task's writes and the checkpoint that counts them."""
    made = checkpoint({"n": n}, {"n": n}, after=parent)
    tasks = () if parent is None else (TaskWrites(f"task-{n}", "path", [("n", n)]),)
    return Commit("t", "", parent, tasks, made, {"step": n}, {"n": n}, **more)


@case
async def a_commit_stores_writes_and_checkpoint(saver: Any) -> None:
    first = step(None, 1, expected_head=None)
    expect(await commit(saver, first), False, "nobody asked to stop")
    second = step(first.checkpoint["id"], 2, expected_head=first.checkpoint["id"])  # type: ignore[index]
    await commit(saver, second)
    found = await saver.get_tuple(place())
    expect(found.checkpoint, second.checkpoint, "checkpoint")
    expect(found.metadata, {"step": 2}, "metadata")
    expect(id_of(found.parent_config), second.parent_id, "parent")
    parent = await saver.get_tuple(found.parent_config)
    expect(parent.pending_writes, [("task-2", "n", 2)], "writes of the parent")


@case
async def another_head_is_a_conflict(saver: Any) -> None:
    first = step(None, 1)
    await commit(saver, first)
    head = first.checkpoint["id"]  # type: ignore[index]
    winner = step(head, 2, expected_head=head)
    loser = step(head, 3, expected_head=head)
    await commit(saver, winner)
    await expect_error(ConflictError, commit(saver, loser), "the loser's commit")
    await expect_error(ConflictError, commit(saver, step(None, 4, expected_head=None)), "a second first")
    expect(await ids(saver, place()), [winner.checkpoint["id"], head], "checkpoints")  # type: ignore[index]
    found = await saver.get_tuple(place("t", "", head))
    expect(found.pending_writes, [("task-2", "n", 2)], "writes")


@case
async def a_put_is_seen_by_the_next_commit(saver: Any) -> None:
    first = step(None, 1, expected_head=None)
    await commit(saver, first)
    root = first.checkpoint["id"]  # type: ignore[index]
    head = id_of(await put(saver, {"n": 5}, config=place("t", "", root), versions={"n": 5}))
    await expect_error(ConflictError, commit(saver, step(root, 2, expected_head=root)), "one that expects the old head")
    second = step(head, 6, expected_head=head)
    await commit(saver, second)
    head = second.checkpoint["id"]  # type: ignore[index]
    again = {**checkpoint({"n": 6, "m": 7}, {"n": 6, "m": 7}), "id": head}
    await saver.put(place("t", "", second.parent_id), again, {}, {"m": 7})
    third = checkpoint({"n": 8}, {"n": 8, "m": 7}, after=head)
    if not saver.saver.takes_changes:
        third["channel_values"]["m"] = 7
    await commit(saver, Commit("t", "", head, (), third, {}, {"n": 8}, head, None, saver.saver.takes_changes))
    expect(await values(saver, place()), {"n": 8, "m": 7}, "values, one of them of the head as it was put again")


@case
async def a_retry_changes_nothing(saver: Any) -> None:
    first = step(None, 1, expected_head=None)
    second = step(first.checkpoint["id"], 2, expected_head=first.checkpoint["id"])  # type: ignore[index]
    for _ in range(2):
        await commit(saver, first)
    for _ in range(2):
        await commit(saver, second)
    expect(len(await saver.list(place())), 2, "checkpoints")
    found = await saver.get_tuple(place("t", "", second.parent_id))
    expect(found.pending_writes, [("task-2", "n", 2)], "writes")


@own
async def several_commits_are_one(saver: Any) -> None:
    first = step(None, 1, expected_head=None)
    second = step(first.checkpoint["id"], 2, expected_head=first.checkpoint["id"])  # type: ignore[index]
    wrong = step(second.checkpoint["id"], 3, expected_head="something else")  # type: ignore[index]
    await expect_error(ConflictError, commit(saver, first, second, wrong), "the third")
    expect(await saver.list(None), [], "nothing of them is stored")
    await commit(saver, first, second)
    expect(len(await saver.list(place())), 2, "both are stored")


@own
async def writes_alone_can_be_committed(saver: Any) -> None:
    config = await put(saver, {"n": 1})
    tasks = [TaskWrites("a", "1", [("n", 1)]), TaskWrites("b", "0", [("n", 2), ("__resume__", 3)])]
    await commit(saver, Commit("t", "", id_of(config), tasks))
    expected = [("b", "__resume__", 3), ("b", "n", 2), ("a", "n", 1)]
    expect((await saver.get_tuple(config)).pending_writes, expected, "writes")


@own
async def a_commit_is_what_was_prepared(saver: Any) -> None:
    one = step(None, 1)
    one.checkpoint["channel_values"]["n"] = mine = [1]  # type: ignore[index]
    prepared = saver.saver.prepare(one)
    mine.append(2)
    await saver.commit([prepared])
    expect(await values(saver, place()), {"n": [1]}, "the value")


@own
async def a_commit_inherits_from_one_that_is_not_stored_yet(saver: Any) -> None:
    first = checkpoint({"a": "kept" * 50, "b": 1}, {"a": 1, "b": 1})
    second = checkpoint({"b": 2}, {"a": 1, "b": 2}, after=first["id"])
    prepared = [
        saver.saver.prepare(Commit("t", "", None, (), first, {}, {"a": 1, "b": 1})),
        saver.saver.prepare(Commit("t", "", first["id"], (), second, {}, {"b": 2})),
    ]
    await saver.commit(prepared[:1])
    await saver.commit(prepared[1:])
    expect(await values(saver, place()), {"a": "kept" * 50, "b": 2}, "values")


@own
async def a_commit_without_its_parent_loses_nothing_silently(saver: Any) -> None:
    first = checkpoint({"a": 1, "b": 1}, {"a": 1, "b": 1})
    second = checkpoint({"a": 1, "b": 2}, {"a": 1, "b": 2}, after=first["id"])
    prepare = saver.saver.prepare
    prepare(Commit("t", "", None, (), first, {}, {"a": 1, "b": 1}))  # and never committed
    orphan = prepare(Commit("t", "", first["id"], (), second, {}, {"b": 2}))
    try:
        await saver.commit([orphan])
    except ConflictError:
        expect(await saver.list(None), [], "nothing is stored")
    else:
        expect(await values(saver, place()), {"a": 1, "b": 2}, "values")


@own
async def prepare_names_the_channel_that_cannot_be_stored(saver: Any) -> None:
    one = step(None, 1)
    one.checkpoint["channel_values"]["n"] = {"deep": [1, object()]}  # type: ignore[index]
    try:
        saver.saver.prepare(one)
    except SerializationError as e:
        expect((e.channel, e.path), ("n", "$.deep[1]"), "channel and path")
    else:
        expect("no error", "SerializationError", "prepare")
