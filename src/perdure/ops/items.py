"""Items of a store, copied: namespaces, keys and values, when they were made, and how long they live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

from perdure.ops.progress import OnProgress, Tally
from perdure.store.base import BaseStore, GetOp, Item, PutOp, SearchOp
from perdure.store.base.expiring import ExpiringStore, Life

_PAGE: Final = 100


class Key(NamedTuple):
    """Where an item is."""

    namespace: tuple[str, ...]
    key: str


class Kept(NamedTuple):
    """An item with its times, which a store of another kind doesn't tell."""

    where: Key
    value: dict[str, Any]
    life: Life | None


def keys_of(store: BaseStore) -> list[Key]:
    """Return the keys of all items, what was updated first first."""
    found: dict[Key, None] = {}
    for offset in count(0, _PAGE):
        page: Any = store.batch([SearchOp((), None, _PAGE, offset, None, refresh_ttl=False)])[0]
        found.update(dict.fromkeys(Key(item.namespace, item.key) for item in page))
        if len(page) < _PAGE:
            return list(reversed(found))
    raise AssertionError


def read_items(store: BaseStore) -> Iterator[list[Kept]]:
    """Iterate over all items, what was updated first first, some at once."""
    keys = keys_of(store)
    for start in range(0, len(keys), _PAGE):
        some = keys[start : start + _PAGE]
        lives = store.lives(some) if isinstance(store, ExpiringStore) else [None] * len(some)
        found = store.batch([GetOp(*key, refresh_ttl=False) for key in some])
        yield [
            Kept(key, item.value, life)
            for key, life, item in zip(some, lives, found, strict=True)
            if isinstance(item, Item)
        ]


def store_items(target: BaseStore, items: Sequence[Kept], tally: Tally) -> None:
    """Put items, but for those that the target has with the same value."""
    held = target.batch([GetOp(*one.where, refresh_ttl=False) for one in items])
    new = [one for one, has in zip(items, held, strict=True) if not (isinstance(has, Item) and has.value == one.value)]
    puts = [(PutOp(*one.where, one.value), one.life) for one in new]
    if isinstance(target, ExpiringStore):
        target.restore([(op, life) for op, life in puts if life is not None])
        puts = [(op, life) for op, life in puts if life is None]
    target.batch([op for op, _ in puts])
    tally.items += len(new)


def copy_items(source: BaseStore, target: BaseStore, tally: Tally, tell: OnProgress) -> None:
    """Copy all items; what the target has besides stays."""
    for items in read_items(source):
        store_items(target, items, tally)
        tell(tally)
