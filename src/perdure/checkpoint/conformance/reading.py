"""Cases: `get_tuple`, `list`, `get_head`, `threads`."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

from typing import Any

from perdure.checkpoint.conformance.case import (
    Case,
    checkpoint,
    collector,
    expect,
    id_of,
    ids,
    place,
    put,
)

CASES: list[Case] = []
case = collector(CASES)


@case
async def nothing_is_found_in_an_empty_store(saver: Any) -> None:
    expect(await saver.get_tuple(place()), None, "get_tuple")
    expect(await saver.get(place()), None, "get")
    expect(await saver.get_tuple(place("t", "", "no-such-id")), None, "get_tuple of an id")
    expect(await saver.list(None), [], "list")
    expect(await saver.list(place()), [], "list of a thread")
    expect(await saver.get_head("t"), None, "get_head")
    expect(await saver.threads(), [], "threads")


@case
async def the_head_is_the_greatest_id_whatever_came_last(saver: Any) -> None:
    older, newer = checkpoint({"x": "older"}), checkpoint({"x": "newer"})
    await saver.put(place(), newer, {}, {"x": 1})
    await saver.put(place(), older, {}, {"x": 1})
    expect((await saver.get(place()))["id"], newer["id"], "get")
    expect(await saver.get_head("t"), newer["id"], "get_head")
    expect(await saver.get_head("t", "other"), None, "get_head of another namespace")


@case
async def a_namespace_sees_only_its_own(saver: Any) -> None:
    root = await put(saver, {"x": "root"})
    sub = await put(saver, {"x": "sub"}, config=place("t", "sub"))
    expect((await saver.get_tuple(place())).config, root, "root")
    expect((await saver.get_tuple(place("t", "sub"))).config, sub, "sub")
    expect(await saver.get_tuple(place("t", "sub", id_of(root))), None, "root's id in sub")


@case
async def list_gives_the_newest_first(saver: Any) -> None:
    chain = [await put(saver)]
    for _ in range(20):
        chain.append(await put(saver, config=chain[-1]))
    newest_first = [id_of(c) for c in reversed(chain)]
    expect(await ids(saver, place()), newest_first, "all")
    expect(await ids(saver, place(), limit=5), newest_first[:5], "limit")
    expect(await ids(saver, place(), limit=0), [], "limit of 0")
    expect(await ids(saver, place(), before=chain[10]), newest_first[11:], "before")
    expect(await ids(saver, place(), before=chain[10], limit=3), newest_first[11:14], "both")
    expect(await ids(saver, chain[7]), [newest_first[13]], "one id")


@case
async def list_restricts_to_thread_and_namespace(saver: Any) -> None:
    a = await put(saver, config=place("a"))
    b = await put(saver, config=place("b"))
    a_sub = await put(saver, config=place("a", "sub"))
    b_sub = await put(saver, config=place("b", "sub"))
    everything = [id_of(c) for c in (b_sub, a_sub, b, a)]
    expect(await ids(saver, None), everything, "everything")
    expect(await ids(saver, None, limit=2), everything[:2], "everything, limited")
    thread: Any = {"configurable": {"thread_id": "a"}}
    expect(await ids(saver, thread), [id_of(a_sub), id_of(a)], "all namespaces of a thread")
    expect(await ids(saver, place("a")), [id_of(a)], "the root namespace")
    expect(await ids(saver, place("a", "sub")), [id_of(a_sub)], "a namespace")
    expect(await ids(saver, place("c")), [], "no such thread")


@case
async def list_walks_over_equal_ids_of_several_namespaces(saver: Any) -> None:
    made = [checkpoint() for _ in range(4)]
    for ns in ("", "a", "b"):
        for one in made:
            await saver.put(place("t", ns), one, {"ns": ns}, {})
    thread: Any = {"configurable": {"thread_id": "t"}}
    found = await saver.list(thread)
    seen = {(item.metadata["ns"], id_of(item.config)) for item in found}
    expect((len(found), len(seen)), (12, 12), "each once")
    expect(len(await saver.list(thread, before=place("t", "", made[2]["id"]))), 6, "before")


@case
async def list_filters_by_metadata(saver: Any) -> None:
    first = await put(saver, source="input", step=-1, tag="x")
    second = await put(saver, config=first, source="loop", step=0, tag="x")
    third = await put(saver, config=second, source="loop", step=1, nested={"a": [1]})
    expect(await ids(saver, place(), filter={"source": "loop"}), [id_of(third), id_of(second)], "one")
    both = {"source": "loop", "tag": "x"}
    expect(await ids(saver, place(), filter=both), [id_of(second)], "two")
    expect(await ids(saver, place(), filter={"nested": {"a": [1]}}), [id_of(third)], "nested")
    expect(await ids(saver, place(), filter={"absent": None}), [], "a key that nothing has")
    expect(await ids(saver, place(), filter={"step": -1}, limit=1), [id_of(first)], "beyond the limit's page")
    for key in ("a' OR 1=1 --", 'a"b', "a.b", "$.source", "\x00"):
        expect(await ids(saver, place(), filter={key: "loop"}), [], f"key {key!r}")


@case
async def list_gives_whole_tuples(saver: Any) -> None:
    first = await put(saver, {"x": 1}, step=0)
    second = await put(saver, {"x": 2}, config=first, versions={"x": 2}, step=1)
    await saver.put_writes(second, [("x", 3)], "task")
    for item in await saver.list(place()):
        expect(item, await saver.get_tuple(item.config), "tuple")


@case
async def threads_come_in_order_by_pages(saver: Any) -> None:
    for name in ("b", "a", "d", "c"):
        await put(saver, config=place(name))
        await put(saver, config=place(name, "sub"))
    expect(await saver.threads(), ["a", "b", "c", "d"], "all")
    expect(await saver.threads(limit=2), ["a", "b"], "first page")
    expect(await saver.threads(limit=2, after="b"), ["c", "d"], "second page")
    expect(await saver.threads(after="d"), [], "the end")


@case
async def a_whole_thread_is_found_whole(saver: Any) -> None:
    first = await put(saver, {"x": "a" * 1000, "y": 1})
    await saver.put_writes(first, [("x", "b" * 1000)], "task")
    second = await put(saver, {"x": "a" * 1000 + "b" * 1000, "y": 1}, config=first)
    await put(saver, {"x": "c" * 1000, "y": 2}, config=first)
    await put(saver, {"x": "inner"}, config=place("t", "inner"))
    await saver.put_writes(second, [("y", 2)], "task")
    expect(await saver.check_thread("t"), [], "check_thread")
    expect(await saver.check_thread("nobody"), [], "check_thread of no thread")
