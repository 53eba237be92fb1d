"""Backups, read back into a database of any kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from perdure.checkpoint.base import Commit
from perdure.checkpoint.serde.base import CipherProtocol
from perdure.errors import CorruptCheckpointError, StorageError
from perdure.ops.archive.file import ArchiveReader
from perdure.ops.archive.records import to_commit, to_item
from perdure.ops.backing import cipher_of
from perdure.ops.items import Kept, store_items
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.reading import Place, Saver, outline
from perdure.ops.selecting import EVERYTHING, Selection
from perdure.ops.writing import store

__all__ = ["restore"]

_PAGE: Final = 100


def restore(
    path: str | os.PathLike[str],
    where: Where,
    *,
    selection: Selection = EVERYTHING,
    encrypted: bool = False,
    decrypt: bool = False,
    on_progress: OnProgress = silent,
) -> Tally:
    """Read a backup back; all of it is checked before anything is written.

    What the database has already stays and isn't written again: stopped at any moment, the same call goes on.

    Args:
        path: The file. One that was made since another needs that one, in the same folder.
        where: A URL, a saver, or a `Database`.
        selection: Which checkpoints. With `until`, the last superstep before that moment is the head, and what had been
            done of the next one by then is done again.
        encrypted: Whether the values in the database are to be encrypted, with the key of the environment.
        decrypt: Whether the file is encrypted, with the same key.
        on_progress: Is told how far it is.

    Raises:
        CorruptCheckpointError: A file is no backup, was changed or cut off, or was encrypted with another key.
        UsageError: It is encrypted, and `decrypt` wasn't asked for.
        StorageError: It can't be read, or the database can't be written.
    """
    files = _with_bases(Path(path), cipher_of(encrypted=decrypt))
    tally = Tally()
    with opened(where, encrypted=encrypted, recognise=False) as database:
        seen: set[str] = set()
        for file in files:
            for thread_id in _restore_threads(file, database.saver, selection, tally, on_progress):
                seen.add(thread_id)
                tally.threads = len(seen)
                on_progress(tally)
        if database.store is not None and selection.is_everything:
            for items in _items_of(files[-1]):
                store_items(database.store, items, tally)
    return tally


def _with_bases(path: Path, cipher: CipherProtocol | None) -> list[ArchiveReader]:
    """Open a backup and those that it goes on from, the first one first."""
    found = [ArchiveReader(path, cipher)]
    while (since_id := found[0].about.since_id) is not None:
        base = path.with_name(found[0].about.since_name or "")
        if not base.is_file():
            raise StorageError(f"{found[0].path} goes on from {base}, which isn't there", hint="put it beside it")
        found.insert(0, ArchiveReader(base, cipher))
        if found[0].about.file_id != since_id:
            raise CorruptCheckpointError(f"{base} is not the backup that {found[1].path} goes on from")
    return found


def _restore_threads(
    file: ArchiveReader, target: Saver, selection: Selection, tally: Tally, tell: OnProgress
) -> Iterator[str]:
    """Restore each thread of a file, and name it then."""
    made = (to_commit(record) for record in file.records() if record[0] == "commit")
    for thread_id, its in groupby(made, key=lambda one: one.thread_id):
        if selection.threads is not None and thread_id not in selection.threads:
            continue
        known = set(outline(target, thread_id, EVERYTHING).parents)
        store(target, _lacking(its, known, selection, tally), tally, tell)
        yield thread_id


def _lacking(its: Iterator[Commit], known: set[Place], selection: Selection, tally: Tally) -> Iterator[Commit]:
    """Leave out what isn't meant, what is there, and writes of what is neither."""
    for one in its:
        before = Place(one.parent_id or "", one.checkpoint_ns)
        if one.checkpoint is None:
            if selection.is_whole or (before in known and selection.until is None):
                yield one
            continue
        place = Place(one.checkpoint["id"], one.checkpoint_ns)
        if place in known:
            tally.present += 1
        elif selection.takes(datetime.fromisoformat(one.checkpoint["ts"]), one.metadata or {}):
            known.add(place)
            yield one if before in known else one._replace(writes=())


def _items_of(file: ArchiveReader) -> Iterator[list[Kept]]:
    page: list[Kept] = []
    for record in file.records():
        if record[0] == "item":
            page.append(to_item(record))
            if len(page) == _PAGE:
                yield page
                page = []
    if page:
        yield page
