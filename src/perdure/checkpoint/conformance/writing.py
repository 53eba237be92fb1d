"""Cases: `put` and `put_writes`."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

from typing import Any

from perdure.checkpoint.base import WRITES_IDX_MAP
from perdure.checkpoint.conformance.case import (
    Case,
    checkpoint,
    collector,
    expect,
    expect_error,
    id_of,
    place,
    put,
    values,
)
from perdure.errors import SerializationError

CASES: list[Case] = []
case = collector(CASES)


@case
async def put_returns_the_config_of_the_new_checkpoint(saver: Any) -> None:
    made = checkpoint({"x": 1})
    config = await saver.put(place("t", "ns"), made, {"source": "input"}, {"x": 1})
    expect(config, place("t", "ns", made["id"]), "config")


@case
async def a_checkpoint_comes_back_as_it_was(saver: Any) -> None:
    made = checkpoint({"x": [1, (2, "three")], "y": None}, {"x": 1, "y": 2, "empty": 3})
    metadata = {"source": "loop", "step": 5, "parents": {"": "p"}, "user": "me", "deep": {"a": [1]}}
    config = await saver.put(place(), made, metadata, made["channel_versions"])
    found = await saver.get_tuple(config)
    expect(found.checkpoint, made, "checkpoint")
    expect(found.metadata, metadata, "metadata")
    expect(found.config, config, "config")
    expect(found.parent_config, None, "parent")
    expect(found.pending_writes, [], "pending writes")


@case
async def metadata_takes_scalars_of_the_config(saver: Any) -> None:
    config = place()
    config["metadata"] = {"team": "red", "step": 99}
    config["configurable"]["user_id"] = 7
    config["configurable"]["__private"] = "no"
    found = await saver.get_tuple(await saver.put(config, checkpoint(), {"step": 1}, {}))
    expect(found.metadata, {"step": 1, "team": "red", "user_id": 7}, "metadata")


@case
async def unchanged_channels_keep_the_parents_values(saver: Any) -> None:
    first = await put(saver, {"a": "old", "b": "kept"}, versions={"a": 1, "b": 1})
    second = await put(saver, {"a": "new", "b": "kept"}, config=first, versions={"a": 2, "b": 1}, new={"a": 2})
    expect(await values(saver, second), {"a": "new", "b": "kept"}, "values of the child")
    expect(await values(saver, first), {"a": "old", "b": "kept"}, "values of the parent")


@case
async def unchanged_values_need_not_be_handed_in(saver: Any) -> None:
    first = await put(saver, {"a": 1, "b": "kept"}, versions={"a": 1, "b": 1})
    second = await put(saver, {"a": 2}, config=first, versions={"a": 2, "b": 1}, new={"a": 2})
    expect(await values(saver, second), {"a": 2, "b": "kept"}, "values")


@case
async def a_channel_that_became_empty_is_gone(saver: Any) -> None:
    first = await put(saver, {"a": 1, "b": 2}, versions={"a": 1, "b": 1})
    second = await put(saver, {"a": 1}, config=first, versions={"a": 1, "b": 2}, new={"b": 2})
    third = await put(saver, {"a": 3}, config=second, versions={"a": 3, "b": 2}, new={"a": 3})
    expect(await values(saver, second), {"a": 1}, "values")
    expect(await values(saver, third), {"a": 3}, "values of the next")


@case
async def branches_with_equal_versions_keep_their_own_values(saver: Any) -> None:
    root = await put(saver, {"x": "root"}, versions={"x": 1})
    left = await put(saver, {"x": "left"}, config=root, versions={"x": 2})
    right = await put(saver, {"x": "right"}, config=root, versions={"x": 2})
    left_child = await put(saver, {"y": 1}, config=left, versions={"x": 2, "y": 3}, new={"y": 3})
    right_child = await put(saver, {"y": 1}, config=right, versions={"x": 2, "y": 3}, new={"y": 3})
    expect(await values(saver, left_child), {"x": "left", "y": 1}, "left")
    expect(await values(saver, right_child), {"x": "right", "y": 1}, "right")
    found = await saver.get_tuple(right)
    expect(found.parent_config, root, "parent of the branch")


@case
async def a_value_whose_version_the_parent_lacks_is_stored(saver: Any) -> None:
    first = await put(saver, {"a": 1}, versions={"a": 1})
    second = await put(saver, {"a": 5, "b": 6}, config=first, versions={"a": 5, "b": 6}, new={})
    expect(await values(saver, second), {"a": 5, "b": 6}, "values")


@case
async def a_put_without_a_parent_finds_values_of_the_thread(saver: Any) -> None:
    await put(saver, {"a": 1, "b": [2]}, versions={"a": 1, "b": 1})
    second = await put(saver, {"a": 3}, versions={"a": 2, "b": 1}, new={"a": 2})
    expect(await values(saver, second), {"a": 3, "b": [2]}, "values")


@case
async def versions_may_be_ints_floats_or_texts(saver: Any) -> None:
    versions = {"i": 3, "f": 2.5, "s": "00000000000000000000000000000004.0.123"}
    config = await put(saver, {"i": 1, "f": 2, "s": 3}, versions=versions)
    found = await saver.get_tuple(config)
    expect(found.checkpoint["channel_versions"], versions, "versions")


@case
async def putting_an_id_again_replaces_it(saver: Any) -> None:
    made = checkpoint({"x": 1})
    await saver.put(place(), made, {"step": 1}, {"x": 1})
    made["channel_values"]["x"] = 2
    config = await saver.put(place(), made, {"step": 2}, {"x": 1})
    found = await saver.get_tuple(config)
    expect((found.checkpoint["channel_values"], found.metadata), ({"x": 2}, {"step": 2}), "checkpoint")
    expect(len(await saver.list(place())), 1, "number of checkpoints")


@case
async def values_share_nothing_with_the_caller(saver: Any) -> None:
    mine = {"x": [1]}
    config = await put(saver, mine)
    mine["x"].append(2)
    (await values(saver, config))["x"].append(3)
    expect(await values(saver, config), {"x": [1]}, "stored value")


@case
async def large_values_come_back(saver: Any) -> None:
    large = {"text": "ab" * 1_000_000, "list": list(range(50_000)), "bytes": bytes(range(256)) * 4_000}
    config = await put(saver, large)
    expect(await values(saver, config), large, "values")


@case
async def any_text_is_data(saver: Any) -> None:
    for text in ("'; DROP TABLE x; --", '"', "%_\\", "a\x00b", "ü😀\u2028", " ", "x" * 3_000, "a|b:c/d"):
        config = await put(saver, {text: text}, config=place(text, text), about=text)
        await saver.put_writes(config, [(text, text)], text, text)
        found = await saver.get_tuple(place(text, text))
        expect(found.config, config, "config")
        expect(found.checkpoint["channel_values"], {text: text}, "values")
        expect(found.pending_writes, [(text, text, text)], "writes")
        expect(found.metadata["about"], text.replace("\x00", ""), "metadata")


@case
async def a_value_that_cannot_be_stored_changes_nothing(saver: Any) -> None:
    config = await put(saver, {"x": 1})
    bad = put(saver, {"x": {"deep": [object()]}}, config=config, versions={"x": 2})
    await expect_error(SerializationError, bad, "put of an object()")
    writes = saver.put_writes(config, [("x", 1), ("y", object())], "task")
    await expect_error(SerializationError, writes, "put_writes of an object()")
    found = await saver.get_tuple(place())
    expect((found.config, found.pending_writes), (config, []), "head")


# -- pending writes


@case
async def writes_come_back_in_order_of_path_task_and_index(saver: Any) -> None:
    config = await put(saver)
    await saver.put_writes(config, [("c", 1), ("b", 2), ("a", 3)], "task-2", "path-b")
    await saver.put_writes(config, [("z", 4)], "task-3", "path-a")
    await saver.put_writes(config, [("y", 5)], "task-9")
    await saver.put_writes(config, [("y", 6)], "task-1", "path-b")
    expected = [
        ("task-9", "y", 5),
        ("task-3", "z", 4),
        ("task-1", "y", 6),
        ("task-2", "c", 1),
        ("task-2", "b", 2),
        ("task-2", "a", 3),
    ]
    expect((await saver.get_tuple(config)).pending_writes, expected, "pending writes")


@case
async def the_first_write_of_an_index_stays(saver: Any) -> None:
    config = await put(saver)
    await saver.put_writes(config, [("a", 1)], "task")
    await saver.put_writes(config, [("a", 2), ("b", 3)], "task")
    expected = [("task", "a", 1), ("task", "b", 3)]
    expect((await saver.get_tuple(config)).pending_writes, expected, "pending writes")


@case
async def the_last_write_to_a_special_channel_stays(saver: Any) -> None:
    for channel in WRITES_IDX_MAP:
        config = await put(saver, config=place(channel))
        await saver.put_writes(config, [(channel, "first")], "task")
        await saver.put_writes(config, [(channel, "second")], "task")
        expected = [("task", channel, "second")]
        expect((await saver.get_tuple(config)).pending_writes, expected, channel)


@case
async def special_and_ordinary_writes_stand_side_by_side(saver: Any) -> None:
    config = await put(saver)
    await saver.put_writes(config, [("__resume__", [1])], "task")
    await saver.put_writes(config, [("a", 1), ("__resume__", [1, 2])], "task")
    found = (await saver.get_tuple(config)).pending_writes
    expect(sorted(w[1:] for w in found), [("__resume__", [1, 2]), ("a", 1)], "pending writes")


@case
async def writes_may_come_before_their_checkpoint(saver: Any) -> None:
    made = checkpoint({"x": 1})
    await saver.put_writes(place("t", "", made["id"]), [("x", 2)], "task")
    expect(await saver.get_tuple(place()), None, "head before the put")
    config = await saver.put(place(), made, {}, {"x": 1})
    found = await saver.get_tuple(config)
    expect(found.pending_writes, [("task", "x", 2)], "pending writes")


@case
async def writes_belong_to_one_checkpoint_of_one_namespace(saver: Any) -> None:
    root = await put(saver)
    await saver.put_writes(root, [("x", 1)], "task")
    child = await put(saver, config=root)
    same_id = place("t", "sub", id_of(root))
    await saver.put(place("t", "sub"), {**checkpoint(), "id": id_of(root)}, {}, {})
    expect((await saver.get_tuple(child)).pending_writes, [], "of the child")
    expect((await saver.get_tuple(same_id)).pending_writes, [], "of the same id elsewhere")
    expect((await saver.get_tuple(root)).pending_writes, [("task", "x", 1)], "of the root")
