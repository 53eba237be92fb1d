"""Backups, read back into a database of any kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby, takewhile
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
from perdure.ops.rules import set_rules, to_rules
from perdure.ops.selecting import EVERYTHING, Selection
from perdure.ops.shelving import fetched
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
        path: The file. One that was made since another needs that one, in the same folder. Or a shelf, a folder or
            `s3://bucket/prefix`, of which the newest is restored; `s3://bucket/prefix/NAME` is one of them.
        where: A URL, a saver, or a `Database`.
        selection: Which checkpoints. With `until`, the last superstep before that moment is the head, and what had been
            done of the next one by then is done again; with `up_to`, that checkpoint is the head.
        encrypted: Whether the values in the database are to be encrypted, with the key of the environment.
        decrypt: Whether the file is encrypted, with the same key.
        on_progress: Is told how far it is.

    Raises:
        CorruptCheckpointError: A file is no backup, was changed or cut off, or was encrypted with another key.
        UsageError: It is encrypted, and `decrypt` wasn't asked for.
        StorageError: It can't be read, or the database can't be written.
    """
    tally = Tally()
    with fetched(path) as file_here, ExitStack() as stack:
        files = _with_bases(file_here, cipher_of(encrypted=decrypt))  # before the database is touched
        _check_last(files[-1], selection)
        database = stack.enter_context(opened(where, encrypted=encrypted, recognise=False, is_new=True))
        seen: set[str] = set()
        for record in takewhile(lambda one: one[0] == "rules", files[-1].records()):
            thread_id, rules = to_rules(record)
            if selection.threads is None or thread_id in selection.threads:
                set_rules(database.saver, thread_id, rules)
        for file in files:
            for thread_id in _restore_threads(file, database.saver, selection, tally, on_progress):
                seen.add(thread_id)
                tally.threads = len(seen)
                on_progress(tally)
        if database.store is not None and selection.is_everything:
            for items in _items_of(files[-1]):
                store_items(database.store, items, tally)
    return tally


def _check_last(file: ArchiveReader, selection: Selection) -> None:
    """Check that the checkpoint that is to be the last is in the backup."""
    last = selection.up_to
    held = file.index.items()
    if last is not None and not any(
        last == checkpoint_id
        for thread_id, places in held
        if selection.threads is None or thread_id in selection.threads
        for checkpoint_id, _ in places
    ):
        of = "" if selection.threads is None else f" of {', '.join(selection.threads)}"
        raise StorageError(f"{file.path} has no checkpoint {last!r}{of}", hint="`perdure history` lists them")


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
            if selection.is_whole or (before in known and not selection.ends):
                yield one
            continue
        place = Place(one.checkpoint["id"], one.checkpoint_ns)
        if place in known:
            tally.present += 1
        elif selection.takes(one.checkpoint, one.metadata or {}):
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
