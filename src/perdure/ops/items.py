"""Items of a store, copied: values, keys and namespaces. Times, and how long items live, begin anew in the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

from perdure.ops.progress import OnProgress, Tally
from perdure.store.base import BaseStore, GetOp, Item, PutOp, SearchOp

_PAGE: Final = 100


class Key(NamedTuple):
    """Where an item is."""

    namespace: tuple[str, ...]
    key: str


def keys_of(store: BaseStore) -> list[Key]:
    """Return the keys of all items, what was updated first first."""
    found: dict[Key, None] = {}
    for offset in count(0, _PAGE):
        page: Any = store.batch([SearchOp((), None, _PAGE, offset, None, refresh_ttl=False)])[0]
        found.update(dict.fromkeys(Key(item.namespace, item.key) for item in page))
        if len(page) < _PAGE:
            return list(reversed(found))
    raise AssertionError


def read_items(store: BaseStore) -> Iterator[list[Item]]:
    """Iterate over all items, what was updated first first, some at once."""
    keys = keys_of(store)
    for start in range(0, len(keys), _PAGE):
        found = store.batch([GetOp(*key, refresh_ttl=False) for key in keys[start : start + _PAGE]])
        yield [item for item in found if isinstance(item, Item)]


def store_items(target: BaseStore, items: Sequence[Item], tally: Tally) -> None:
    """Put items, but for those that the target has with the same value."""
    held = target.batch([GetOp(item.namespace, item.key, refresh_ttl=False) for item in items])
    new = [
        item for item, has in zip(items, held, strict=True) if not (isinstance(has, Item) and has.value == item.value)
    ]
    target.batch([PutOp(item.namespace, item.key, item.value) for item in new])
    tally.items += len(new)


def copy_items(source: BaseStore, target: BaseStore, tally: Tally, tell: OnProgress) -> None:
    """Copy all items; what the target has besides stays."""
    for items in read_items(source):
        store_items(target, items, tally)
        tell(tally)
