"""What a process remembers of a store: roots as it last saw them, and immutable objects that it has read."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

from perdure.checkpoint.objects.holding import Objects
from perdure.checkpoint.objects.roots import Root, open_root, root_key
from perdure.database.objects.exchange import Exchange, Object, Patience, parts, read
from perdure.errors import CorruptCheckpointError

Known = tuple[str | None, Root | None]
"""A root's etag, None if there is no such object; and the root, None if there is no such thread."""


class Memory:
    """What the transactions of one store share. Roots are guesses: a conditional put tells whether they still hold."""

    def __init__(self) -> None:
        self._roots = _Bounded(32 * 1024 * 1024, _weight)
        self._objects = _Bounded(64 * 1024 * 1024, lambda held: held[1])

    def known(self, thread_id: str) -> Known | None:
        """Return a thread's root as it was last seen."""
        return self._roots.get(thread_id)

    def found(self, thread_id: str, found: Object | None) -> Known:
        """Open a root that was read.

        Raises:
            CorruptCheckpointError: It is damaged.
        """
        try:
            root = None if found is None else open_root(found.data, thread_id)
        except CorruptCheckpointError as e:
            what = f"thread {thread_id!r}, object {root_key(thread_id)}: {e.args[0]}"
            raise CorruptCheckpointError(what, hint=e.hint, thread_id=thread_id) from e
        known = (found.etag if found else None), root
        self._roots.note(thread_id, known)
        return known

    def stored(self, etag: str, root: Root) -> None:
        """Take note of a root that was put."""
        self._roots.note(root.thread_id, (etag, None if root.is_empty() else root))

    def forget(self, thread_id: str) -> None:
        """Forget a root."""
        self._roots.forget(thread_id)

    def burn(self, thread_id: str, ns: int, kind: str, number: int) -> None:
        """Take other keys: under one another writer, perhaps a dead one, has put something that no root names."""
        _, root = self.known(thread_id) or (None, None)
        if root is None:
            return
        for space in root.spaces.values():
            if space.ns == ns:
                if kind == "r":
                    space.next_page = max(space.next_page, number + 1)
                elif number not in space.packs:
                    space.salts[number] = secrets.randbits(32)
                return
        root.next_index += 1

    def objects(self, wanted: Objects, patience: Patience) -> Exchange[dict[str, Any]]:
        """Read immutable objects, those that are there."""
        held = {key: one for key in wanted.keys if (one := self._objects.get(key)) is not None}
        for keys in parts([key for key in wanted.keys if key not in held]):
            for key, data in (yield from read(keys, patience)).items():
                held[key] = _opened(wanted, key, data), len(data)
                self._objects.note(key, held[key])
        return {key: opened for key, (opened, _) in held.items()}


class _Bounded(dict[Any, Any]):
    """A dict that forgets its oldest items; safe for several threads."""

    def __init__(self, most: int, weigh: Callable[[Any], int]) -> None:
        super().__init__()
        self._most = most
        self._weigh = weigh
        self._held = 0
        self._lock = threading.RLock()  # a finalizer may come back in

    def note(self, key: Any, value: Any) -> None:
        """Remember an item."""
        with self._lock:
            self.forget(key)
            self[key] = value
            self._held += self._weigh(value)
            while self._held > self._most and len(self) > 1:
                self.forget(next(iter(self)))

    def forget(self, key: Any) -> None:
        """Forget an item."""
        with self._lock:
            if key in self:
                self._held -= self._weigh(self.pop(key))


def _weight(known: Known) -> int:
    return 500 + sum([300 + space.weight() for space in known[1].spaces.values()] if known[1] else [])


def _opened(wanted: Objects, key: str, data: bytes) -> Any:
    try:
        return wanted.open(data)
    except CorruptCheckpointError as e:
        raise CorruptCheckpointError(
            f"the object {key} of thread {wanted.thread_id!r} is damaged: part of its list of checkpoints",
            hint="restore it from a backup, or go on from a checkpoint that isn't in it",
            thread_id=wanted.thread_id,
        ) from e
