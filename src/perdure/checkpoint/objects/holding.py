"""What an operation holds of threads: roots, namespaces, and the entries of checkpoints, read as far as it needs them.

What must be read is asked for by yielding: roots by thread, objects by key. What is changed are copies.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from perdure.checkpoint.objects.roots import Entry, Root, Row, Space, new_root, open_page

T = TypeVar("T")


class Roots(NamedTuple):
    """Asks for the roots of threads; None: of all that have a checkpoint. The answer: a map.

    A walk that `is_begun` may go on with what it has read.
    """

    thread_ids: Sequence[str] | None
    is_begun: bool = False


class Objects(NamedTuple):
    """Asks for immutable objects. The answer: what they hold, by key; those that are gone are left out.

    If one that `must_exist` is gone, the operation begins anew.
    """

    keys: Sequence[str]
    open: Callable[[bytes], Any]
    must_exist: bool = True
    thread_id: str | None = None


class Names(NamedTuple):
    """Asks for the ids of threads that have a checkpoint, behind one, in ascending order; or `with_empty`: a root."""

    after: str | None
    limit: int | None
    with_empty: bool = False


Step = Generator[Roots | Objects | Names, Any, T]


class Holding:
    """What one operation has read and changed.

    Attributes:
        roots: Those that were read; None: there is no such thread.
        changed: The threads that statements have changed.
        garbage: Keys of objects that nothing names any more.
    """

    def __init__(self) -> None:
        self.roots: dict[str, Root | None] = {}
        self.changed: set[str] = set()
        self.garbage: list[str] = []
        self._places: dict[int, tuple[str, str]] = {}
        self._copied: set[int] = set()

    def forget(self) -> None:
        """Read anew from here on."""
        self.roots.clear()
        self._places.clear()

    # -- roots and namespaces

    def _root(self, thread_id: str) -> Step[Root | None]:
        if thread_id not in self.roots:
            self._take((yield Roots([thread_id])))
        return self.roots[thread_id]

    def _take(self, found: Mapping[str, Root | None]) -> None:
        for thread_id, root in found.items():
            if self.roots.setdefault(thread_id, root) is root and root is not None:
                self._places.update({space.ns: (thread_id, space.name) for space in root.spaces.values()})

    def _own(self, thread_id: str) -> Step[Root]:
        """Return a root that may be changed."""
        root = yield from self._root(thread_id)
        if root is None:
            root = new_root(thread_id)
        elif thread_id not in self.changed:
            root = replace(root, spaces=root.spaces.copy())
        self.changed.add(thread_id)
        self.roots[thread_id] = root
        return root

    def _mine(self, ns: int) -> Step[Space]:
        """Return a namespace that may be changed."""
        thread_id, name = self._places[ns]
        root = yield from self._own(thread_id)
        if ns not in self._copied:
            self._copied.add(ns)
            root.spaces[name] = root.spaces[name].copy()
        return root.spaces[name]

    def _space(self, ns: int) -> Space:
        thread_id, name = self._places[ns]
        root = self.roots[thread_id]
        assert root is not None
        return root.spaces[name]

    def _named(self, thread_id: str, name: str) -> Step[Space | None]:
        root = yield from self._root(thread_id)
        return root.spaces.get(name) if root else None

    # -- entries

    def _pages(self, space: Space, numbers: Iterable[int]) -> Step[list[dict[str, Entry]]]:
        keys = [space.key("r", number) for number in numbers]
        if not keys:
            return []
        found = yield Objects(keys, open_page, thread_id=self._places[space.ns][0])
        return [found[key] for key in keys]

    def _entry(self, space: Space, checkpoint_id: str) -> Step[Entry]:
        """Return what is known of a checkpoint id."""
        entry = space.entries.get(checkpoint_id, Entry())
        if entry.is_gone:
            return entry
        numbers = [page.number for page in reversed(space.pages) if page.low <= checkpoint_id <= page.high]
        for page in (yield from self._pages(space, numbers)):
            entry = entry.over(page.get(checkpoint_id, Entry()))
        return entry

    def _scan(self, space: Space, start: str | None, limit: int | None, *, down: bool) -> Step[list[tuple[str, Row]]]:
        """Find checkpoints below an id, the greatest first; or from it on, the lowest first. Reads few pages."""

        def is_in(checkpoint_id: str) -> bool:
            return start is None or (checkpoint_id < start if down else checkpoint_id >= start)

        pages = [page for page in space.pages if is_in(page.low if down else page.high)]
        pages.sort(key=lambda page: page.high if down else page.low, reverse=down)
        read: dict[int, dict[str, Entry]] = {1 << 62: space.entries}
        for at in range(len(pages) + 1):
            following = pages[at] if at < len(pages) else None
            found = _rows([read[n] for n in sorted(read, reverse=True)], is_in)
            ids = sorted(found, reverse=down)[:limit]
            if following is None or (len(ids) == limit and _is_before(ids, following.high, following.low, down=down)):
                return [(i, found[i]) for i in ids]
            # All at once, if all are wanted.
            batch = pages[at:] if limit is None else [following]
            for page in batch:
                if page.number not in read:
                    [read[page.number]] = yield from self._pages(space, [page.number])
        raise AssertionError

    def _all(self, space: Space) -> Step[dict[str, Entry]]:
        """Read all entries of a namespace, the deleted ones left out."""
        found: dict[str, Entry] = {}
        layers = yield from self._pages(space, [page.number for page in reversed(space.pages)])
        for layer in (space.entries, *layers):
            for checkpoint_id, entry in layer.items():
                found[checkpoint_id] = found.get(checkpoint_id, Entry()).over(entry)
        return {i: entry for i, entry in sorted(found.items()) if entry.row or entry.tasks}


def _rows(layers: Sequence[Mapping[str, Entry]], is_in: Callable[[str], bool]) -> dict[str, Row]:
    """Return the checkpoints of layers, the newest first, that are in a range."""
    found: dict[str, Entry] = {}
    for layer in layers:
        for checkpoint_id, entry in layer.items():
            if is_in(checkpoint_id):
                held = found.get(checkpoint_id)
                found[checkpoint_id] = entry if held is None else held.over(entry)
    return {i: entry.row for i, entry in found.items() if entry.row}


def _is_before(ids: Sequence[str], high: str, low: str, *, down: bool) -> bool:
    return not ids or (ids[-1] > high if down else ids[-1] < low)
