"""What an operation sees of threads while it runs: what is stored, and on top of it what it has changed itself.

1. Nothing is stored before the end. Then one `apply` compares what the operation has relied on, and stores all changes;
   if anything has changed meanwhile, it stores nothing, and the operation is made anew.
2. A namespace's state is relied on by whoever looks at any of it, and changes with every change but writes that are
   added. So those may be added side by side; who must see them all relies on `u` too.
3. At the first attempt an operation *believes*: that namespaces are as this process last saw them, that the lease is
   held, and that tasks have no writes yet. Mostly this is so, and then a commit is one `apply`. An error is true only
   if nothing has changed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from perdure.checkpoint.base import Lease
from perdure.checkpoint.rows.backend import Asking, Change, RowBackend
from perdure.checkpoint.rows.keys import Space, State, decoded, encoded, new_mark, opened_state
from perdure.checkpoint.tables.sights import Sights

Reading = Asking[Any]


class Belief(NamedTuple):
    """A namespace as it was last seen: its state, and its head's row."""

    state: bytes
    row: bytes | None


class ThreadView:
    """A thread as an operation sees it."""

    def __init__(self) -> None:
        self.read: dict[bytes, bytes | None] = {}
        self.guards: dict[bytes, bytes | None] = {}
        self.changes: dict[bytes, bytes | None] = {}
        self.is_dropped = False
        self.lease: Lease | None = None
        self.spaces: dict[str, State] = {}
        self.touched: set[str] = set()
        self.runs: set[str] = set()
        self.is_made = False


class View:
    """What an operation sees.

    Args:
        backend: Reads what is stored.
        beliefs: What to believe; None: nothing.
    """

    def __init__(self, backend: RowBackend, beliefs: Sights[Belief] | None = None) -> None:
        self.backend = backend
        self.beliefs = beliefs
        self.seen: dict[tuple[str, str], Belief] = {}
        self.threads: dict[str, ThreadView] = {}

    def thread(self, thread_id: str) -> ThreadView:
        """Return the view of a thread."""
        found = self.threads.get(thread_id)
        if found is None:
            found = self.threads[thread_id] = ThreadView()
        return found

    # -- reading

    def get(self, thread_id: str, keys: Sequence[bytes]) -> Reading:
        """Read rows."""
        thread = self.thread(thread_id)
        missing = [key for key in keys if key not in thread.changes and key not in thread.read]
        if missing:
            found = yield from self.backend.get(thread_id, missing)
            thread.read.update(zip(missing, found, strict=True))
        changes, read = thread.changes, thread.read
        return [changes[key] if key in changes else read[key] for key in keys]

    def range(
        self, thread_id: str, start: bytes, end: bytes, *, limit: int | None = None, newest_first: bool = False
    ) -> Reading:
        """Read the keys from `start` on, below `end`."""
        changes = self.thread(thread_id).changes
        gone = {key for key, data in changes.items() if data is None}
        most = None if limit is None else limit + len(gone)
        found = yield from self.backend.keys(thread_id, start, end, limit=most, newest_first=newest_first)
        added = [key for key, data in changes.items() if data is not None and start <= key < end]
        return sorted({*found, *added} - gone, reverse=newest_first)[:limit]

    def state(self, thread_id: str, checkpoint_ns: str) -> Reading:
        """Read a namespace's state, and rely on it; None if there is no such namespace."""
        thread = self.thread(thread_id)
        if checkpoint_ns in thread.spaces:
            return thread.spaces[checkpoint_ns]
        key = b"n" + encoded(checkpoint_ns)
        if key not in thread.guards:
            belief = self.beliefs.get((thread_id, checkpoint_ns)) if self.beliefs is not None else None
            if belief is None:
                [data] = yield from self.get(thread_id, [key])
            else:
                thread.read[key] = data = belief.state
            thread.guards[key] = data
            if data is not None:
                found = thread.spaces[checkpoint_ns] = opened_state(data)
                if belief is not None and found.head is not None:
                    thread.read[Space(thread_id, checkpoint_ns, found.mark).key(b"c", found.head)] = belief.row
        return thread.spaces.get(checkpoint_ns)

    # -- changing

    def set(self, thread_id: str, key: bytes, data: bytes | None) -> None:
        """Change a row; None: delete it."""
        self.thread(thread_id).changes[key] = data

    def touch(self, space: Space) -> ThreadView:
        """Note that something of a namespace changes."""
        thread = self.thread(space.thread_id)
        thread.touched.add(space.checkpoint_ns)
        return thread

    def make(self, thread_id: str, checkpoint_ns: str) -> Space:
        """Make a namespace, which isn't there."""
        thread = self.thread(thread_id)
        thread.spaces[checkpoint_ns] = State(new_mark(), None, 0)
        thread.touched.add(checkpoint_ns)
        thread.is_made = True
        return Space(thread_id, checkpoint_ns, thread.spaces[checkpoint_ns].mark)

    def grow(self, space: Space) -> None:
        """Note that writes are added to a namespace."""
        self.set(space.thread_id, space.key(b"u"), secrets.token_bytes(6))

    # -- the end

    def take_back(self) -> None:
        """Undo all changes, and rely on no lease: what is left is what the operation has relied on."""
        for thread in self.threads.values():
            thread.changes.clear()
            thread.touched.clear()
            thread.is_dropped = thread.is_made = False
            thread.lease = None

    def finish(self) -> list[Change]:
        """Return what becomes of the threads that were looked at, with the new states of what was changed in them."""
        for thread in self.threads.values():
            for name in thread.touched & thread.spaces.keys():
                state = thread.spaces[name]
                # One more: so that it differs, whatever has changed.
                thread.spaces[name] = state = state._replace(number=state.number + 1)
                thread.changes[b"n" + encoded(name)] = state.pack()
        return [
            Change(thread_id, thread.guards, thread.changes, thread.lease, thread.is_dropped)
            for thread_id, thread in self.threads.items()
            if thread.guards or thread.changes or thread.is_dropped
        ]

    def note(self, beliefs: Sights[Belief]) -> None:
        """Remember how the namespaces are after the operation."""
        for thread_id, thread in self.threads.items():
            for name in [*thread.spaces, *(thread.touched - thread.spaces.keys())]:
                state = None if thread.is_dropped else thread.spaces.get(name)
                belief = None
                if state is not None:
                    row = None
                    if state.head is not None:
                        key = Space(thread_id, name, state.mark).key(b"c", state.head)
                        row = thread.changes.get(key, thread.read.get(key))
                    if (row is None) == (state.head is None):
                        belief = Belief(state.pack(), row)
                beliefs.note((thread_id, name), belief)

    def forget(self, beliefs: Sights[Belief]) -> None:
        """Stop believing what this operation has looked at."""
        for thread_id, thread in self.threads.items():
            for key in thread.guards:
                if key[:1] == b"n":
                    beliefs.note((thread_id, decoded(key[1:])), None)


def rows_of(keys: Iterable[bytes], data: Iterable[bytes | None]) -> list[tuple[bytes, bytes]]:
    """Return keys with their rows, those that have one."""
    return [(key, found) for key, found in zip(keys, data, strict=True) if found is not None]
