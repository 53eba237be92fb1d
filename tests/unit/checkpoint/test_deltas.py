"""Edit scripts give back what they were made from, alone, in chains, and composed."""

from __future__ import annotations

import random
from functools import reduce
from itertools import pairwise

import ormsgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.checkpoint import deltas
from perdure.errors import CorruptCheckpointError

SMALL = st.binary(max_size=60) | st.text("ab", max_size=60).map(str.encode)


@settings(max_examples=500, deadline=None)
@given(SMALL, SMALL)
def test_a_script_makes_the_new_from_the_old(old: bytes, new: bytes) -> None:
    script = deltas.diff(old, new)
    assert deltas.apply(old, script) == new
    assert deltas.apply(old, deltas.unpack(deltas.pack(script))) == new


@settings(max_examples=500, deadline=None)
@given(st.lists(SMALL, min_size=1, max_size=8))
def test_composed_scripts_do_the_same(values: list[bytes]) -> None:
    scripts = [deltas.diff(a, b) for a, b in pairwise(values)]
    composed = reduce(deltas.compose, scripts, [])
    assert deltas.apply(values[0], composed) == values[-1]
    assert deltas.apply_all(values[0], scripts) == values[-1]
    parts = sum(map(deltas.weight, scripts))
    assert deltas.weight(composed) <= parts


def edited(value: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randrange(1, 4)):
        at, length = rng.randrange(len(value) + 1), rng.choice([0, 1, 30, 500])
        value = value[:at] + rng.randbytes(rng.choice([0, 1, 40, 900])) + value[at + length :]
    return value


@pytest.mark.parametrize("seed", range(40))
def test_long_strings_edited_many_times(seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.randbytes(rng.choice([0, 50, 5_000, 200_000]))]
    for _ in range(12):
        values.append(edited(values[-1], rng))
    scripts = [deltas.diff(a, b) for a, b in pairwise(values)]
    for old, new, script in zip(values, values[1:], scripts, strict=False):
        assert deltas.apply(old, script) == new
        assert deltas.weight(script) < 4_000 + 300
    left = reduce(deltas.compose, scripts)
    right = reduce(lambda a, b: deltas.compose(b, a), reversed(scripts))
    assert deltas.apply(values[0], left) == deltas.apply(values[0], right) == values[-1]


def messages(count: int, seed: int = 1) -> list[dict[str, str]]:
    rng = random.Random(seed)  # a false anchor, if rare, would cost some bytes: the same ones each time
    return [{"role": "user", "content": rng.randbytes(500).hex()} for _ in range(count)]


@pytest.mark.parametrize("count", [1, 15, 16, 300])
def test_what_graphs_do_to_a_list_costs_what_changed(count: int) -> None:
    items = messages(count)
    more = messages(1, 2)
    packed = ormsgpack.packb
    old = packed(items)
    cases = {
        "append": items + more,
        "prepend": more + items,
        "trim and append": items[1:] + more,
        "replace in the middle": items[: count // 2] + more + items[count // 2 + 1 :],
        "change one key": [*items[:-1], {**items[-1], "role": "assistant"}],
    }
    for name, changed in cases.items():
        script = deltas.diff(old, packed(changed))
        assert deltas.apply(old, script) == packed(changed), name
        assert len(deltas.pack(script)) < 1_200, name


def test_equal_strings_have_an_empty_script() -> None:
    assert deltas.diff(b"same" * 50_000, b"same" * 50_000) == []


def test_a_script_for_another_string_is_noticed() -> None:
    with pytest.raises(CorruptCheckpointError):
        deltas.apply(b"short", [(100, 1, b"x")])


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x91\x01", b"\x01"])
def test_bytes_that_are_no_script_are_noticed(data: bytes) -> None:
    with pytest.raises(CorruptCheckpointError):
        deltas.unpack(data)
