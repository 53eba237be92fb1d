"""Scripts do what they should, chains stay short, and forged scripts are refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ormsgpack import packb, unpackb

from perdure.checkpoint import chains
from perdure.checkpoint.chains import BASE, Chain, Value
from perdure.checkpoint.deltas import Script, apply, compose, diff, difference, growth, pack, unpack
from perdure.errors import CorruptCheckpointError

# Few distinct bytes: texts that agree in many wrong places are the hard ones.
_TEXTS = st.one_of(st.binary(max_size=3000), st.text("ab", max_size=3000).map(str.encode))
_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 400), st.binary(max_size=400)), min_size=1, max_size=4)


def _edited(text: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, cut, insert in edits:
        at = int(where * len(text))
        text = text[:at] + insert + text[at + cut :]
    return text


@given(_TEXTS, _TEXTS)
def test_a_script_makes_the_new_text(old: bytes, new: bytes) -> None:
    script = diff(old, new)
    assert apply(old, script) == new
    assert script.result_size() == len(new)
    assert len(script.literal) <= len(new)
    assert (not script.hunks) == (old == new)
    assert unpack(pack(script, 7)) == (Script(script.size, list(script.hunks), script.literal), 7)


@given(_TEXTS, st.lists(_EDITS, min_size=1, max_size=8))
def test_scripts_compose(text: bytes, steps: list[list[tuple[float, int, bytes]]]) -> None:
    texts = [text]
    for edits in steps:
        texts.append(_edited(texts[-1], edits))
    scripts = [diff(a, b) for a, b in pairwise(texts)]
    one = compose(*scripts)
    assert apply(text, one) == apply(text, *scripts) == texts[-1]
    assert len(one.literal) <= sum(len(s.literal) for s in scripts)
    assert len(one.hunks) <= sum(len(s.hunks) for s in scripts)
    half = len(scripts) // 2
    if half:
        assert apply(text, compose(compose(*scripts[:half]), compose(*scripts[half:]))) == texts[-1]


@given(st.binary(min_size=40, max_size=90), st.lists(st.binary(min_size=1, max_size=50), min_size=2, max_size=40))
def test_growth_composes_to_growth(start: bytes, more: list[bytes]) -> None:
    texts = [b"count" + start]
    for n, added in enumerate(more):
        texts.append(n.to_bytes(5, "big") + texts[-1][5:] + added)
    scripts = [growth(a, b) for a, b in pairwise(texts)]
    one = compose(*scripts)
    assert apply(texts[0], one) == texts[-1]
    assert one == growth(texts[0], texts[-1])
    other = difference(texts[-1], texts[-1][:20] + b"!" + texts[-1][20:])
    assert apply(texts[0], compose(*scripts, other)) == texts[-1][:20] + b"!" + texts[-1][20:]
    with pytest.raises(CorruptCheckpointError):
        compose(scripts[1], scripts[0])


@given(_TEXTS.filter(lambda t: len(t) > 500), _EDITS)
def test_one_edit_costs_about_its_size(text: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    where, cut, insert = edits[0]
    script = diff(text, _edited(text, [(where, cut, insert)]))
    count = 5  # the most bytes of a header that are taken for a list's new count
    assert len(script.literal) <= len(insert) + count
    assert len(script.hunks) <= 2 * 3


# -- the patterns of use

_random = random.Random(7)


def _hex(length: int) -> str:
    return _random.randbytes(length // 2).hex()


def _append() -> Iterator[object]:
    items: list[object] = []
    while True:
        items.append({"role": "user", "content": _hex(1000)})
        yield items


def _window() -> Iterator[object]:
    items: list[object] = []
    while True:
        items = [*items, {"role": "user", "content": _hex(1000)}][-50:]
        yield items


def _replace_in_the_middle() -> Iterator[object]:
    items = [{"role": "user", "content": _hex(1000)} for _ in range(100)]
    while True:
        yield items
        items[_random.randrange(100)]["content"] = _hex(1000)


def _one_key() -> Iterator[object]:
    items = {f"key-{i}": _hex(100) for i in range(1000)}
    while True:
        yield items
        items[f"key-{_random.randrange(1000)}"] = _hex(100)


def _growing_text() -> Iterator[object]:
    text = _hex(300)
    while True:
        yield text
        text += _hex(40)


def _number() -> Iterator[object]:
    yield from iter(int, 1)


def _mutate_and_append() -> Iterator[object]:
    items: list[dict[str, object]] = []
    while True:
        items.append({"role": "user", "content": _hex(1000), "seen": 0})
        items[_random.randrange(len(items))]["seen"] = _random.randrange(100)
        yield items


_PATTERNS = {  # how many bytes a step changes
    _append: 1030,
    _window: 1030,
    _replace_in_the_middle: 1000,
    _one_key: 100,
    _growing_text: 40,
    _number: 1,
    _mutate_and_append: 1040,
}


def _stored(chain: Chain) -> int:
    content = chain.links[-1].content
    return len(content) if isinstance(content, bytes) else len(pack(content, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", _PATTERNS, ids=lambda p: p.__name__)
def test_chains_are_short_and_linear(pattern: Callable[[], Iterator[object]]) -> None:
    steps, total, largest = 1100, 0, 0
    base: Value | None = None
    chain: Chain | None = None
    for number, content in zip(range(steps), pattern(), strict=False):
        value = Value("msgpack", packb(content))
        new = chains.change(value, base)
        if new.script is None or new.script.hunks:
            chain = chains.extend(chain, new, number, None)
            total += _stored(chain)
        assert chain is not None
        assert chains.put_together(chain) == value.data
        assert len(chain.links) <= 1 + 3 * (BASE - 1)
        assert sum(link.weight for link in chain.links) <= 2 * len(value.data) + chains.MOST_WASTE
        largest = max(largest, len(value.data))
        base = value
    # Twice for the levels, once for the wholes between, and the third level begins after 1,024 steps.
    assert total <= largest + 4 * steps * (_PATTERNS[pattern] + 48)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=300, max_size=2000), st.lists(_EDITS, min_size=80, max_size=120))
def test_every_version_of_a_chain_reads_back(text: bytes, steps: list[list[tuple[float, int, bytes]]]) -> None:
    versions: list[tuple[Chain, bytes]] = []
    base: Value | None = None
    chain: Chain | None = None
    for number, edits in enumerate(steps):
        value = Value("bytes", text)
        new = chains.change(value, base)
        if new.script is None or new.script.hunks or chain is None:
            chain = chains.extend(chain, new, number, None)
        versions.append((chain, text))
        base, text = value, _edited(text, edits)
    assert [chains.put_together(c) for c, _ in versions] == [t for _, t in versions]
    for c, t in versions:
        assert len(c.links) <= 1 + 2 * (BASE - 1)
        assert sum(link.weight for link in c.links) <= 2 * len(t) + chains.MOST_WASTE


# -- forged scripts


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"\xc1",
        packb(1),
        packb([0, 10, []]),
        packb([0, 10, [], b"", 1]),
        packb(["0", 10, [], b""]),
        packb([0, -10, [], b""]),
        packb([0, True, [], b""]),
        packb([0, 10, {}, b""]),
        packb([0, 10, [], "text"]),
        packb([0, 10, [1, 2], b""]),
        packb([0, 10, [1, 2, 0.0], b""]),
        packb([0, 10, [-1, 2, 0], b""]),
        packb([0, 10, [5, 6, 0], b""]),
        packb([0, 10, [2**62, 2**62, 0], b""]),
        packb([0, 10, [5, 0, 3], b"ab"]),
        packb([0, 10, [5, 0, 1], b"ab"]),
    ],
    ids=repr,
)
def test_forged_scripts_are_refused(forged: bytes) -> None:
    with pytest.raises(CorruptCheckpointError):
        unpack(forged)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 10**6), st.integers(0, 255))
def test_damaged_scripts_are_refused_or_stay_in_bounds(literal: bytes, at: int, byte: int) -> None:
    old = bytes(300)
    good = bytearray(pack(diff(old, old[:100] + literal + old[150:]), 0))
    good[at % len(good)] = byte
    try:
        script, _ = unpack(bytes(good))
        result = apply(old, script)
    except CorruptCheckpointError:
        return
    assert len(result) <= len(old) + len(literal) + 1


def test_scripts_that_do_not_follow_each_other_are_refused() -> None:
    first, second = diff(b"a" * 100, b"b" * 90), diff(b"c" * 91, b"d" * 10)
    with pytest.raises(CorruptCheckpointError):
        compose(first, second)
    with pytest.raises(CorruptCheckpointError):
        apply(b"a" * 99, first)


def test_a_wrong_chain_is_caught() -> None:
    versions = [packb([f"{i}" * 400 for i in range(n)]) for n in (2, 3, 4)]
    base: Value | None = None
    chain: Chain | None = None
    for number, data in enumerate(versions):
        value = Value("msgpack", data)
        chain = chains.extend(chain, chains.change(value, base), number, None, bytes([number] * 8))
        base = value
    assert chain is not None
    assert unpackb(chains.checked(chain)) == unpackb(versions[-1])
    whole, first, last = chain.links
    assert isinstance(last.content, Script)
    other = last._replace(content=last.content._replace(literal=bytes(len(last.content.literal))))
    for wrong in ((whole, first, other), (whole, first), (whole, first, last._replace(checksum=b"8" * 8))):
        with pytest.raises(CorruptCheckpointError):
            chains.checked(chains.chain_of(chain.kind, wrong, None, chain.check))
    with pytest.raises(CorruptCheckpointError):
        chains.put_together(chain._replace(links=(first, last)))


# -- what is remembered


def test_recent_values_are_bounded_by_their_bytes() -> None:
    recent = chains.Recent(most_bytes=10_000)
    for i in range(20):
        recent.note("t", "", f"c{i}", Value("bytes", bytes(1000), i))
    assert [i for i in range(20) if recent.get("t", "", f"c{i}", i)] == [17, 18, 19]
    assert recent.get("t", "", "c19", 18) is None
    recent.note("t", "", "c19", Value("bytes", b"short", 20))
    assert recent.get("t", "", "c19", 19) is None
