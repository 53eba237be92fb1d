"""Long lists that grow are compared slice by slice; what comes out is what comparing them as a whole gives."""

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128

from perdure.checkpoint import growing
from perdure.checkpoint.base import Commit
from perdure.checkpoint.chains import Change, Value
from perdure.checkpoint.chains import change as compared
from perdure.checkpoint.deltas import COUNT, apply
from perdure.checkpoint.records import Lineage, prepare
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import SerializationError

SERDE = JsonPlusSerializer()


def item(n: int, size: int = 1000) -> dict[str, Any]:
    return {"role": "user", "content": f"{n:08}" + "x" * size}


def long_list(count: int = 400) -> list[Any]:
    return [item(n) for n in range(count)]


def stored(items: Any) -> Value:
    return Value(*SERDE.dumps_plain(items))


def check(found: Change, items: list[Any], base: Value) -> None:
    """Hold a change against the one that comparing the whole texts finds."""
    whole = SERDE.dumps_plain(items)[1]
    assert found.value.data == whole
    assert found.value.begin() == whole[:5]
    assert found.value.size == len(whole)
    assert found.base is base
    assert found.script is not None
    assert tuple(found.script) == tuple(compared(stored(items), base).script or ())
    assert apply(base.data, found.script) == whole


def grown(items: list[Any], base: Value) -> Change | None:
    return growing.grown(SERDE.dumps_plain, items, None, base)


@pytest.mark.parametrize("count", [1, 3, 200])
def test_a_list_that_grew_adds_its_new_items(count: int) -> None:
    items = long_list()
    base = stored(items)
    for _ in range(3):
        items = [*items, *[item(len(items) + n) for n in range(count)]]
        found = grown(items, base)
        assert found is not None
        check(found, items, base)
        base = found.value


def changed_in_place(items: list[Any]) -> list[Any]:
    items[7]["content"] = "other"
    return [*items, item(1)]


@pytest.mark.parametrize(
    "edit",
    [
        changed_in_place,
        lambda items: items,
        lambda items: [*items[1:], item(9)],
        lambda items: items[:-1],
        lambda items: [*items[:-1], item(5)],
        lambda items: [*items[:200], item(5), *items[201:], item(6)],
        lambda items: [item(5), *items],
        lambda _: [],
        lambda _: [1, 2],
    ],
)
def test_other_edits_are_left_to_a_comparison_of_the_whole(edit: Any) -> None:
    items = long_list()
    base = stored(items)
    assert grown(edit(items), base) is None


def test_short_lists_and_other_values_are_left_alone() -> None:
    assert grown([1, 2, 3], stored([1, 2])) is None
    assert grown(long_list(), stored({"content": "x" * growing.LEAST})) is None
    assert grown(long_list(), stored("x" * growing.LEAST)) is None
    assert grown(long_list(), stored(b"x" * growing.LEAST)) is None
    large = [item(n, 50_000) for n in range(15)]
    assert grown([*large, item(1)], stored(large)) is None  # the header gets longer


def test_a_header_that_gets_longer_is_left_to_a_comparison_of_the_whole() -> None:
    items: list[Any] = ["12345"] * 65_535
    assert grown([*items, "1"], stored(items)) is None
    items += ["1"] * 3
    base = stored(items)
    found = grown([*items, "more"], base)
    assert found is not None
    check(found, [*items, "more"], base)


def test_branches_of_one_list_do_not_disturb_each_other() -> None:
    items = long_list()
    base = stored(items)
    trunk = grown([*items, item(1)], base)
    assert trunk is not None
    left, right = grown([*items, item(1), item(2)], trunk.value), grown([*items, item(1), item(3)], trunk.value)
    assert left is not None
    assert right is not None
    check(right, [*items, item(1), item(3)], trunk.value)
    check(left, [*items, item(1), item(2)], trunk.value)
    check(trunk, [*items, item(1)], base)


def test_the_hash_goes_on_as_that_of_the_whole() -> None:
    items = long_list()
    base = compared(stored([*items, item(0)]), stored(items)).value
    base.hash = xxh3_128(base.data[COUNT:])
    found = grown([*items, item(0), item(1)], base)
    assert found is not None
    assert found.value.hash is not None
    assert found.value.hash.digest() == xxh3_128(found.value.data[COUNT:]).digest()


def test_threads_that_extend_one_list_at_once_each_get_their_own() -> None:
    items = long_list()
    base = stored(items)
    trunk = grown([*items, item(1)], base)
    assert trunk is not None
    made: dict[int, Change | None] = {}
    start = threading.Barrier(8)

    def extend(n: int) -> None:
        start.wait()
        made[n] = grown([*items, item(1), item(100 + n)], trunk.value)

    threads = [threading.Thread(target=extend, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, found in made.items():
        assert found is not None
        check(found, [*items, item(1), item(100 + n)], trunk.value)


def committed(serde: Any, lineage: Lineage, n: int, items: list[Any]) -> Any:
    """Prepare a commit as the engine does: it says what has changed."""
    checkpoint: Any = {
        "v": 4,
        "id": f"{n:08}",
        "ts": "",
        "channel_values": {"items": items},
        "channel_versions": {"items": n},
        "versions_seen": {},
        "updated_channels": None,
    }
    commit = Commit("t", "", f"{n - 1:08}", (), checkpoint, {}, {"items": n}, changes_only=True)
    return prepare(serde, lineage, commit).pieces["items"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["append", "append", "extend", "in place", "trim", "pop", "same", "fork"]), max_size=12)
)
def test_whatever_was_done_to_a_list_its_text_is_right(edits: list[str]) -> None:
    lineage = Lineage()
    items = long_list(300)
    before = committed(SERDE, lineage, 0, items)
    for n, edit in enumerate(edits, 1):
        match edit:
            case "append":
                items = [*items, item(n)]
            case "extend":
                items += [item(n), item(n + 1)]
            case "in place":
                items[n * 7 % len(items)]["role"] = f"user {n}"
            case "trim":
                items = items[1:]
            case "pop":
                items = items[:-1]
            case "fork":
                items = [*items[:-1], item(-n), item(n)]
        piece = committed(SERDE, lineage, n, items)
        assert isinstance(piece, Change)
        assert piece.value.data == SERDE.dumps_plain(items)[1]
        if piece.script is not None:
            assert piece.base is not None
            assert apply(piece.base.data, piece.script) == piece.value.data
        before = piece
    assert before.value.size == len(before.value.data)


def test_an_item_that_cannot_be_stored_is_named_by_its_place_in_the_whole_list() -> None:
    lineage = Lineage()
    items = long_list()
    committed(SERDE, lineage, 0, items)
    with pytest.raises(SerializationError, match="channel 'items'") as raised:
        committed(SERDE, lineage, 1, [*items, {"when": threading.Lock()}])
    assert raised.value.path == "$[400].when"


class Reversed(JsonPlusSerializer):
    """A program's own encoding, by the one method that the protocol has."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        return f"reversed-{kind}", data[::-1]

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return super().loads_typed((data[0].removeprefix("reversed-"), data[1][::-1]))


def test_a_serializer_with_an_encoding_of_its_own_is_asked_for_every_value() -> None:
    lineage = Lineage()
    serde = Reversed()
    for n, count in enumerate((400, 401)):
        piece = committed(serde, lineage, n, long_list(count))
        assert piece.value.kind.startswith("reversed-")
        assert serde.loads_typed((piece.value.kind, piece.value.data)) == long_list(count)
