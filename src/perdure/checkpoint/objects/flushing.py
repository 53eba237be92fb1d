"""What moves out of a root when it gets long: entries to a page, pieces to packs. See `roots`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from perdure.checkpoint.objects.holding import Objects
from perdure.checkpoint.objects.roots import (
    MOST_ROOT,
    PACK,
    RUNG,
    Entry,
    Page,
    Root,
    Space,
    open_page,
    seal_pack,
    seal_page,
)
from perdure.database.objects.exchange import Exchange, Put


class Flushed(NamedTuple):
    """An object to put before the root, and whose it is: the namespace, page (`r`) or pack (`p`), and its number."""

    put: Put
    burns: tuple[int, str, int]


class Flush(NamedTuple):
    """What to put before a root, and what it doesn't name any more."""

    puts: list[Flushed]
    garbage: list[str]


Read = Callable[[Objects], Exchange[dict[str, Any]]]


def flush(root: Root, read: Read) -> Exchange[Flush]:
    """Make a root short, if it is long: the namespaces that hold most go first, their heads' entries last."""
    done = Flush([], [])
    weights = {name: space.weight() for name, space in root.spaces.items()}
    if sum(weights.values()) <= MOST_ROOT:
        return done
    for with_head in (False, True):
        for name in sorted(weights, key=lambda name: weights[name], reverse=True):
            if sum(weights.values()) <= MOST_ROOT // 2:
                return done
            space = root.spaces[name] = root.spaces[name].copy()
            _pack(space, done)
            yield from _page(root.thread_id, space, done, read, with_head=with_head)
            weights[name] = space.weight()
    return done


def _pack(space: Space, done: Flush) -> None:
    by_pack: dict[int, dict[int, bytes]] = {}
    for number, frame in space.pieces.items():
        by_pack.setdefault(number // PACK, {})[number] = frame
    for pack, pieces in by_pack.items():
        put = Put(space.key("p", pack), seal_pack(pieces), None)
        done.puts.append(Flushed(put, (space.ns, "p", pack)))
        space.packs.append(pack)
        space.next_piece = max(space.next_piece, (pack + 1) * PACK)
    space.pieces = {}


def _page(thread_id: str, space: Space, done: Flush, read: Read, *, with_head: bool) -> Exchange[None]:
    moved = {i: e for i, e in space.entries.items() if with_head or i != space.head}
    if not moved:
        return
    level = 0
    while len(run := [page for page in space.pages if page.level == level]) >= RUNG - 1:
        keys = [space.key("r", page.number) for page in reversed(run)]
        layers = {one.put.key: open_page(one.put.data) for one in done.puts if one.put.key in keys}
        stored = [key for key in keys if key not in layers]
        layers |= yield from read(Objects(stored, open_page, thread_id=thread_id))
        for key in keys:
            for checkpoint_id, entry in layers[key].items():
                moved[checkpoint_id] = moved.get(checkpoint_id, Entry()).over(entry)
        space.pages = [page for page in space.pages if page.level != level]
        done.garbage.extend(keys)
        level += 1
    number = space.next_page
    space.next_page += 1
    put = Put(space.key("r", number), seal_page(dict(sorted(moved.items()))), None)
    done.puts.append(Flushed(put, (space.ns, "r", number)))
    space.pages.append(Page(number, level, min(moved), max(moved)))
    space.entries = {} if with_head else {i: e for i, e in space.entries.items() if i == space.head}
