"""Chains of pieces stay short, small and readable, whatever the values do."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator

import ormsgpack
import pytest

from perdure.checkpoint import chains, deltas
from perdure.checkpoint.chains import Change, Link, Tip
from perdure.errors import CorruptCheckpointError


class Store:
    """All values of a channel, each with its chain, as a saver keeps them."""

    def __init__(self) -> None:
        self.tip: Tip | None = None
        self.stored: list[tuple[bytes, bytes, tuple[Link, ...]]] = []
        self.bytes = 0

    def add(self, value: bytes) -> Change:
        old = self.tip.links if self.tip else ()
        change, self.tip = chains.follow(self.tip, "msgpack", value)
        links = (*old[: change.keep], change.link)
        self.stored.append((value, change.digest, links))
        self.bytes += len(deltas.pack(change.link.script)) + len(change.link.whole)
        return change

    def check(self) -> None:
        for number, (value, digest, links) in enumerate(self.stored):
            assert chains.read(links, digest) == value
            assert len(links) <= 1 + 15 * math.ceil(math.log(number + 2, 16))
            assert sum(link.weight for link in links) <= 2 * len(value) + 1024


def message() -> dict[str, str]:
    return {"role": "user", "content": os.urandom(500).hex()}


def appending(rng: random.Random) -> Iterator[list[object]]:
    items: list[object] = []
    while True:
        items = [*items, message()]
        yield items


def trimming(rng: random.Random) -> Iterator[list[object]]:
    items: list[object] = [message() for _ in range(40)]
    while True:
        items = [*items[1:], message()]
        yield items


def replacing(rng: random.Random) -> Iterator[list[object]]:
    items: list[object] = [message() for _ in range(200)]
    while True:
        items = list(items)
        items[rng.randrange(len(items))] = message()
        yield items


def one_key(rng: random.Random) -> Iterator[list[object]]:
    held = {f"key{n}": os.urandom(50).hex() for n in range(500)}
    while True:
        held = {**held, f"key{rng.randrange(500)}": os.urandom(50).hex()}
        yield [held]


@pytest.mark.parametrize(
    ("make", "changed", "most"),
    [(appending, 1_030, 3.5), (trimming, 1_030, 5), (replacing, 1_030, 5), (one_key, 110, 5)],
)
def test_stored_bytes_are_linear_in_what_changed(
    make: Callable[[random.Random], Iterator[list[object]]], changed: int, most: float
) -> None:
    store, values = Store(), make(random.Random(1))
    first = ormsgpack.packb(next(values))
    store.add(first)
    steps = 300
    for _ in range(steps):
        store.add(ormsgpack.packb(next(values)))
    store.check()
    assert store.bytes - len(first) <= most * steps * changed


def test_values_that_share_nothing_are_stored_whole() -> None:
    store = Store()
    for _ in range(20):
        value = os.urandom(5_000)
        assert store.add(value).link.whole == value
    store.check()


def test_small_values_are_stored_whole() -> None:
    store = Store()
    for n in range(20):
        assert store.add(b"x" * n).link.level == chains.WHOLE
    assert store.tip is None


def test_another_type_begins_a_new_chain() -> None:
    value = os.urandom(1_000)
    _, tip = chains.follow(None, "a", value)
    change, _ = chains.follow(tip, "b", value + b"x")
    assert change.link.level == chains.WHOLE


def test_a_script_fits_only_the_chain_that_it_was_made_for() -> None:
    value = os.urandom(1_000)
    first, tip = chains.follow(None, "a", value)
    assert tip is not None
    second, _ = chains.follow(tip, "a", value + b"x")
    assert second.fits(first.digest, chains.shape_of(tip.links))
    assert not second.fits(b"otherone", chains.shape_of(tip.links))
    assert not second.fits(first.digest, b"\x00\x01")
    assert not first.fits(b"", b"")
    assert second.made_whole().link.whole == value + b"x"


def test_pieces_that_do_not_fit_together_are_noticed() -> None:
    store = Store()
    value = os.urandom(2_000)
    for n in range(5):
        store.add(value + b"y" * n)
    _, digest, links = store.stored[-1]
    with pytest.raises(CorruptCheckpointError):
        chains.read((*links[:2], *links[3:]), digest)
