"""The statements that operations name (`perdure.checkpoint.tables`), carried out on the roots of threads.

A statement is a name and its values. It changes copies of what was read; `transactions` makes them durable.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from perdure.checkpoint.address import Scope
from perdure.checkpoint.objects.holding import Holding, Names, Objects, Roots, Step
from perdure.checkpoint.objects.roots import PACK, Entry, Root, RootLease, Row, Space, open_pack
from perdure.checkpoint.rules import Change
from perdure.checkpoint.tables.dialect import Cursor
from perdure.database.objects.exchange import PAGE
from perdure.database.operation import Batch, Replies, Rows


class Statements(Holding):
    """Carries out statements of one operation: each is a method, named as it is, behind an underscore."""

    def __init__(self) -> None:
        super().__init__()
        self._unused: dict[tuple[int, int], int] = {}

    def run(self, batch: Batch) -> Step[Replies]:
        """Carry out a batch."""
        replies: list[Rows] = []
        for name, values in batch:
            replies.append((yield from getattr(self, f"_{name}")(*values)))
        return replies

    # -- namespaces

    def _find_namespace(self, thread_id: str, name: str) -> Step[Rows]:
        space = yield from self._named(thread_id, name)
        return [(space.ns,)] if space else ()

    def _add_namespace(self, thread_id: str, name: str) -> Step[Rows]:
        root = yield from self._own(thread_id)
        space = root.add(name)
        self._places[space.ns] = thread_id, name
        return [(space.ns,)]

    def _namespaces_of_thread(self, thread_id: str) -> Step[Rows]:
        root = yield from self._root(thread_id)
        return [(space.ns, space.name) for space in root.spaces.values()] if root else ()

    def _place_of_namespace(self, ns: int) -> Step[Rows]:
        yield from ()
        return [self._places[ns]]

    def _head(self, thread_id: str, name: str) -> Step[Rows]:
        space = yield from self._named(thread_id, name)
        return [(space.head,)] if space else ()

    def _threads(self, after: str | None, limit: int | None) -> Step[Rows]:
        found = yield Names(after, limit)
        return [(thread_id,) for thread_id in found]

    # -- checkpoints

    def _guard(self, thread_id: str, name: str, parent_id: str | None, checkpoint_id: str | None) -> Step[Rows]:
        space = yield from self._named(thread_id, name)
        if space is None:
            return ()
        parent = (yield from self._entry(space, parent_id)).row if parent_id is not None else None
        done = False
        if checkpoint_id is not None and space.head is not None and checkpoint_id <= space.head:
            row = (yield from self._entry(space, checkpoint_id)).row
            done = row is not None and row.parent_id == parent_id
        return [(space.ns, space.head, space.next_piece, parent.frame if parent else None, done)]

    def _one_checkpoint(self, thread_id: str, name: str, checkpoint_id: str | None) -> Step[Rows]:
        self.forget()
        space = yield from self._named(thread_id, name)
        checkpoint_id = checkpoint_id or (space.head if space else None)
        if space is None or checkpoint_id is None:
            return ()
        row = (yield from self._entry(space, checkpoint_id)).row
        if row is None:
            return ()
        writes = yield from self._writes_of_checkpoint(space.ns, checkpoint_id)
        return [(space.ns, checkpoint_id, row.parent_id, row.frame), *writes]

    def _writes_of_checkpoint(self, ns: int, checkpoint_id: str) -> Step[Rows]:
        space = self._space(ns)
        entry = yield from self._entry(space, checkpoint_id)
        rows: list[Sequence[Any]] = [(task_id, *write) for task_id, write in entry.tasks.items()]
        if space.head is not None and checkpoint_id < space.head:
            for next_id, row in (yield from self._scan(space, checkpoint_id + "\0", 1, down=False)):
                if row.parent_id == checkpoint_id:
                    rows.append((next_id, None, row.frame))
        return rows

    def _from_checkpoint(self, ns: int, checkpoint_id: str) -> Step[Rows]:
        found = yield from self._scan(self._space(ns), checkpoint_id, 2, down=False)
        return [(i, row.parent_id, row.frame) for i, row in found]

    def _has_checkpoint(self, ns: int, checkpoint_id: str | None) -> Step[Rows]:
        entry = yield from self._entry(self._space(ns), checkpoint_id or "")
        return [(1,)] if entry.row else ()

    def _older_records(self, ns: int, before: str, limit: int) -> Step[Rows]:
        found = yield from self._scan(self._space(ns), before, limit, down=True)
        return [(i, row.frame) for i, row in found]

    def _page(self, scope: Scope, cursor: Cursor, size: int) -> Step[Rows]:
        self.forget()
        if scope.thread_id is None:
            self._take((yield Roots(None, is_begun=cursor.checkpoint_id is not None)))
            roots: Iterable[Root | None] = list(self.roots.values())
        else:
            roots = [(yield from self._root(scope.thread_id))]
        rows: list[tuple[Any, ...]] = []
        for root in filter(None, roots):
            for space in root.spaces.values():
                if scope.checkpoint_ns in {None, space.name}:
                    found = yield from self._some(space, scope, cursor, size)
                    rows += [(space.ns, root.thread_id, space.name, i, r.parent_id, r.frame) for i, r in found]
        rows.sort(key=lambda row: (row[3], row[0]), reverse=True)
        return rows[:size]

    def _some(self, space: Space, scope: Scope, cursor: Cursor, size: int) -> Step[list[tuple[str, Row]]]:
        start = cursor.checkpoint_id
        if start is not None and space.ns < cursor.ns:
            start += "\0"
        wanted = scope.checkpoint_id
        if wanted is None:
            return (yield from self._scan(space, start, size, down=True))
        row = (yield from self._entry(space, wanted)).row
        return [(wanted, row)] if row and (start is None or wanted < start) else []

    def _checkpoints_of_run(self, run_id: str) -> Step[Rows]:
        self._take((yield Roots(None)))
        rows: list[Sequence[Any]] = []
        for space in map(self._space, list(self._places)):
            entries = yield from self._all(space)
            rows += [(space.ns, i) for i, entry in entries.items() if entry.row and entry.row.run_id == run_id]
        return rows

    def _tree_of_namespace(self, ns: int) -> Step[Rows]:
        entries = yield from self._all(self._space(ns))
        return [(i, entry.row.parent_id) for i, entry in entries.items() if entry.row]

    def _records_of_namespace(self, ns: int) -> Step[Rows]:
        entries = yield from self._all(self._space(ns))
        return [(i, *entry.row) for i, entry in entries.items() if entry.row]

    def _writes_of_namespace(self, ns: int) -> Step[Rows]:
        entries = yield from self._all(self._space(ns))
        return [(i, task_id, *write) for i, entry in entries.items() for task_id, write in entry.tasks.items()]

    def _add_checkpoint(self, ns: int, checkpoint_id: str, *row: Any) -> Step[Rows]:
        space = yield from self._mine(ns)
        space.entries[checkpoint_id] = Entry(Row(*row)).over(space.entries.get(checkpoint_id, Entry()))
        space.head = max(space.head or "", checkpoint_id)
        return ()

    def _change_record(self, frame: bytes, ns: int, checkpoint_id: str) -> Step[Rows]:
        row = (yield from self._entry(self._space(ns), checkpoint_id)).row
        return (yield from self._add_checkpoint(ns, checkpoint_id, *row[:2], frame)) if row else ()

    # -- writes

    def _add_writes(self, ns: int, checkpoint_id: str, task_id: str, task_path: str, data: bytes) -> Step[Rows]:
        entry = yield from self._entry(self._space(ns), checkpoint_id)
        if task_id in entry.tasks:
            return ()
        yield from self._set_writes(ns, checkpoint_id, task_id, (task_path, data))
        return [(1,)]

    def _set_writes(self, ns: int, checkpoint_id: str, task_id: str, write: tuple[str, bytes]) -> Step[None]:
        space = yield from self._mine(ns)
        held = space.entries.get(checkpoint_id, Entry())
        space.entries[checkpoint_id] = held._replace(tasks={**held.tasks, task_id: write})

    def _find_writes(self, ns: int, checkpoint_id: str, task_id: str) -> Step[Rows]:
        entry = yield from self._entry(self._space(ns), checkpoint_id)
        return [entry.tasks[task_id]] if task_id in entry.tasks else ()

    def _change_writes(self, data: bytes, ns: int, checkpoint_id: str, task_id: str) -> Step[Rows]:
        entry = yield from self._entry(self._space(ns), checkpoint_id)
        yield from self._set_writes(ns, checkpoint_id, task_id, (entry.tasks[task_id][0], data))
        return ()

    # -- pieces

    def _pieces(self, *keys: tuple[int, int]) -> Step[Rows]:
        wanted = {
            self._space(ns).key("p", number // PACK) for ns, number in keys if number not in self._space(ns).pieces
        }
        packs = (yield Objects(sorted(wanted), open_pack, must_exist=False)) if wanted else {}
        rows: list[Sequence[Any]] = []
        for ns, number in keys:
            space = self._space(ns)
            held = space.pieces if number in space.pieces else packs.get(space.key("p", number // PACK), {})
            if number in held:
                rows.append((ns, number, held[number]))
        return rows

    def _add_piece(self, ns: int, number: int, frame: bytes) -> Step[Rows]:
        space = yield from self._mine(ns)
        space.pieces[number] = frame
        space.next_piece = max(space.next_piece, number + 1)
        return ()

    def _change_piece(self, ns: int, number: int, frame: bytes) -> Step[Rows]:
        """Replace a piece; its pack, which never changes, gives way to another under a new key."""
        space = yield from self._mine(ns)
        pack = number // PACK
        if pack in space.packs:
            key = space.key("p", pack)
            found = yield Objects([key], open_pack)
            space.pieces = {**found[key], **space.pieces}
            space.packs.remove(pack)
            space.salts[pack] = secrets.randbits(32)
            self.garbage.append(key)
        space.pieces[number] = frame
        return ()

    def _next_piece_of_namespace(self, ns: int) -> Step[Rows]:
        yield from ()
        return [(self._space(ns).next_piece,)]

    def _pieces_of_namespace(self, ns: int) -> Step[Rows]:
        yield from ()
        space = self._space(ns)
        packed = [(pack * PACK + n,) for pack in space.packs for n in range(PACK)]
        return packed + [(number,) for number in space.pieces if number // PACK not in space.packs]

    def _delete_piece(self, ns: int, number: int) -> Step[Rows]:
        space = yield from self._mine(ns)
        space.pieces.pop(number, None)
        key = (ns, number // PACK)
        self._unused[key] = self._unused.get(key, 0) + 1
        if self._unused[key] == PACK and key[1] in space.packs:
            space.packs.remove(key[1])
            self.garbage.append(space.key("p", key[1]))
        return ()

    def _copy_pieces(self, source: int, target: int, shift: int) -> Step[Rows]:
        held = self._space(source)
        keys = [held.key("p", pack) for pack in held.packs]
        packs = (yield Objects(keys, open_pack)) if keys else {}
        for pieces in (*packs.values(), held.pieces):
            for number, frame in pieces.items():
                yield from self._add_piece(target, number + shift, frame)
        return ()

    # -- deleting

    def _delete_checkpoint(self, ns: int, checkpoint_id: str) -> Step[Rows]:
        space = yield from self._mine(ns)
        space.entries[checkpoint_id] = Entry(is_gone=True)
        return ()

    def _delete_writes_of_checkpoint(self, ns: int, checkpoint_id: str) -> Step[Rows]:
        space = yield from self._mine(ns)
        row = (yield from self._entry(space, checkpoint_id)).row
        space.entries[checkpoint_id] = Entry(row, is_gone=True)
        return ()

    def _settle(self, ns: int) -> Step[Rows]:
        """Find the head anew, and leave nothing of what was deleted in any object."""
        space = yield from self._mine(ns)
        entries = yield from self._all(space)
        self.garbage += [space.key("r", page.number) for page in space.pages]
        space.entries, space.pages = entries, []
        space.head = max((i for i, entry in entries.items() if entry.row), default=None)
        return ()

    def _delete_namespace(self, ns: int) -> Step[Rows]:
        space = yield from self._mine(ns)
        root = yield from self._own(self._places.pop(ns)[0])
        del root.spaces[space.name]
        self.garbage += space.object_keys()
        return ()

    def _nothing(self, ns: int) -> Step[Rows]:
        yield from ()
        return ()

    _delete_namespace_checkpoints = _delete_namespace_writes = _delete_namespace_pieces = _nothing

    # -- rules

    def _rules(self, thread_id: str) -> Step[Rows]:
        root = yield from self._root(thread_id)
        return [root.rules] if root and root.rules else ()

    def _set_rules(self, thread_id: str, *change: Any) -> Step[Rows]:
        root = yield from self._own(thread_id)
        root.rules = Change(*change).over(*(root.rules or (None, None)))
        return [root.rules]

    def _delete_rules(self, thread_id: str) -> Step[Rows]:
        root = yield from self._root(thread_id)
        if root and root.rules and root.rules[1] is None:
            root = yield from self._own(thread_id)
            root.rules = None
        return ()

    def _all_rules(self, after: str | None, limit: int | None, held: bool) -> Step[Rows]:
        found: list[Any] = []
        while limit is None or len(found) < limit:
            names = yield Names(after, PAGE, with_empty=True)
            roots = yield Roots(names)
            for thread_id, root in roots.items():
                if root and root.rules and (root.rules[1] is not None or not held):
                    found.append((thread_id, *root.rules))
            if len(names) < PAGE:
                break
            after = names[-1]
        return sorted(found)[:limit]

    # -- leases

    def _lease(self, thread_id: str) -> Step[Rows]:
        root = yield from self._root(thread_id)
        return [root.lease] if root and root.lease else ()

    def _take_lease(self, thread_id: str, holder: str, generation: int, until: float) -> Step[Rows]:
        root = yield from self._own(thread_id)
        root.lease = RootLease(holder, generation, until)
        return ()

    def _held(self, thread_id: str, holder: str, generation: int) -> Step[Root | None]:
        root = yield from self._root(thread_id)
        if root is None or root.lease is None or root.lease[:2] != (holder, generation):
            return None
        return (yield from self._own(thread_id))

    def _renew_lease(self, until: float, *lease: Any) -> Step[Rows]:
        root = yield from self._held(*lease)
        if root is None or root.lease is None:
            return ()
        root.lease = root.lease._replace(until=until)
        return [(root.lease.stop,)]

    def _release_lease(self, *lease: Any) -> Step[Rows]:
        root = yield from self._held(*lease)
        if root is not None:
            root.lease = RootLease("", lease[2])
        return ()

    def _request_stop(self, thread_id: str) -> Step[Rows]:
        root = yield from self._root(thread_id)
        if root and root.lease and root.lease.holder and not root.lease.stop:
            lease = root.lease
            root = yield from self._own(thread_id)
            root.lease = lease._replace(stop=True)
        return ()

    def _delete_lease(self, thread_id: str) -> Step[Rows]:
        root = yield from self._root(thread_id)
        if root and root.lease:
            root = yield from self._own(thread_id)
            root.lease = None
        return ()
