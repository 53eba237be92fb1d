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


async def _three_steps(saver: Any) -> list[str]:
    """Commit three supersteps, each of a run of its own; return their ids."""
    made: list[str] = []
    for n in range(3):
        one = step(made[-1] if made else None, n)
        await commit(saver, one._replace(metadata={"step": n, "run_id": f"run-{n}"}))
        made.append(one.checkpoint["id"])  # type: ignore[index]
    return made


async def _writes(saver: Any, checkpoint_id: str, thread_id: str = "t") -> list[Any]:
    found = await saver.get_tuple(place(thread_id, "", checkpoint_id))
    return list(found.pending_writes)


@own
async def writes_of_a_superstep_outlive_the_checkpoint_they_led_to(saver: Any) -> None:
    first, second, third = await _three_steps(saver)
    await saver.delete_for_runs(["run-2"])
    expect(await _writes(saver, second), [("task-2", "n", 2)], "writes that led to what was deleted")
    expect(await _writes(saver, first), [("task-1", "n", 1)], "other writes")
    expect(await saver.get_tuple(place("t", "", third)), None, "what was deleted")


@own
async def writes_of_a_superstep_go_with_the_checkpoint_they_are_on(saver: Any) -> None:
    first, second, _ = await _three_steps(saver)
    await saver.delete_for_runs(["run-1"])
    expect(await _writes(saver, first), [("task-1", "n", 1)], "writes that led to what was deleted")
    made = checkpoint({"n": 1}, {"n": 1}, after=first)
    made["id"] = second
    await saver.put(place("t", "", first), made, {}, {"n": 1})
    expect(await _writes(saver, second), [], "writes of a new checkpoint in the place of a deleted one")


@own
async def writes_can_be_added_to_those_of_a_superstep(saver: Any) -> None:
    first, second, _ = await _three_steps(saver)
    await saver.put_writes(place("t", "", first), [("n", "late"), ("more", 1)], "task-1", "path")
    expect(await _writes(saver, first), [("task-1", "n", 1), ("task-1", "more", 1)], "the first of an index stays")
    await saver.put_writes(place("t", "", first), [("n", "another's")], "task-9", "path")
    expect(len(await _writes(saver, first)), 3, "writes of two tasks")
    expect(await _writes(saver, second), [("task-2", "n", 2)], "writes of the next")


@own
async def writes_of_a_superstep_stay_when_checkpoints_come_between_or_again(saver: Any) -> None:
    first, second, third = await _three_steps(saver)
    between = checkpoint({"n": 7}, {"n": 7})
    between["id"] = f"{second}0"
    await saver.put(place("t", "", first), between, {}, {"n": 7})
    expect(await _writes(saver, second), [("task-2", "n", 2)], "with another checkpoint behind it")
    expect(await _writes(saver, between["id"]), [], "writes of the other")
    again = checkpoint({"n": 8}, {"n": 8})
    again["id"] = third
    await saver.put(place("t", "", first), again, {}, {"n": 8})
    expect(await _writes(saver, second), [("task-2", "n", 2)], "with the next one replaced")
    expect(await _writes(saver, first), [("task-1", "n", 1)], "with another child")


@own
async def writes_of_supersteps_are_copied_into_a_thread_that_has_others(saver: Any) -> None:
    made = await _three_steps(saver)
    for n in range(3):
        await put(saver, {"x": n}, config=place("other"), versions={"x": n + 1})
    await saver.copy_thread("t", "other")
    await saver.copy_thread("t", "new")
    for thread_id in ("other", "new"):
        for n, checkpoint_id in enumerate(made[:2], 1):
            expect(await _writes(saver, checkpoint_id, thread_id), [(f"task-{n}", "n", n)], f"writes in {thread_id}")
    await saver.prune(["t", "other"])
    expect(await _writes(saver, made[2]), [], "writes of the head")
    expect(await _writes(saver, made[1], "new"), [("task-2", "n", 2)], "writes of what wasn't pruned")


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
