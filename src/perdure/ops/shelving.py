"""Backups on a shelf: each goes on from the newest, old ones are deleted, and the newest is what is restored."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from perdure.errors import CorruptCheckpointError, StorageError
from perdure.ops.archive.file import ArchiveReader, about_of
from perdure.ops.archive.shelves import Entry, Shelf, chain_of, expired, is_shelf, new_name, open_shelf
from perdure.ops.backing import Backup, backup, cipher_of
from perdure.ops.opening import Where
from perdure.ops.progress import OnProgress, silent

__all__ = ["CHAIN", "fetched", "shelve", "tidy"]

CHAIN: Final = 24
"""Backups that go on from each other, before a complete one is made again."""

Place = str | os.PathLike[str]


def shelve(
    where: Where,
    place: Place,
    *,
    chain: int = CHAIN,
    encrypted: bool = False,
    encrypt: bool = False,
    on_progress: OnProgress = silent,
) -> Backup:
    """Add a backup of a database to a shelf; it goes on from the newest, if that can be used.

    It is there when it is whole. Others may add theirs at the same time, each its own.

    Args:
        where: A URL, a saver, or a `Database`.
        place: A folder, or `s3://bucket/prefix`.
        chain: Every so many backups one is complete; 1: all are.
        encrypted: Whether the values in the database are encrypted, with the key of the environment.
        encrypt: Whether to encrypt the backup, with the same key.
        on_progress: Is told how far it is.

    Raises:
        StorageError: The database can't be read, or the shelf not be written.
        ConflictError: What it goes on from was deleted meanwhile; or, in a folder, another backup is being made.
    """
    with open_shelf(place) as (shelf, name), shelf.working() as folder:
        if name is not None:
            raise StorageError(f"{place} is one backup, and not a place for them", hint="leave out its name")
        since = _since(shelf, folder, chain, encrypt=encrypt)
        path = folder / new_name()
        done = backup(where, path, since=since, encrypted=encrypted, encrypt=encrypt, on_progress=on_progress)
        about = about_of(path)
        shelf.publish(path, Entry(path.name, about.since_name, about.made, about.is_encrypted, done.size))
    done.path, done.since = Path(path.name), about.since_name
    return done


def _since(shelf: Shelf, folder: Path, chain: int, *, encrypt: bool) -> Path | None:
    """Return the newest backup's file, if one may go on from it: the chain isn't full, and it can be read."""
    entries = shelf.entries()
    if not entries or entries[-1].is_encrypted != encrypt:
        return None
    with suppress(StorageError, CorruptCheckpointError):  # then a new chain begins: a bad one isn't made longer
        if len(chain_of(entries, entries[-1].name)) < chain:
            path = shelf.fetch(entries[-1], folder)
            ArchiveReader(path, cipher_of(encrypted=encrypt))
            return path
    return None


def tidy(place: Place, *, keep: timedelta | None = None, keep_last: int | None = None) -> Sequence[str]:
    """Delete old backups of a shelf that none of the others needs; return their names.

    Args:
        place: A folder, or `s3://bucket/prefix`.
        keep: Keep those that are younger.
        keep_last: Keep so many of the newest. With both, what either keeps is kept; the newest always is.
    """
    with open_shelf(place) as (shelf, _), shelf.working():
        gone = shelf.remove(lambda entries: expired(entries, datetime.now(UTC), keep, keep_last))
    return [entry.name for entry in gone]


@contextmanager
def fetched(place: Place) -> Iterator[Path]:
    """Give the file of a backup, beside those that it goes on from: of a shelf the newest, or the one that is named.

    Raises:
        StorageError: There is none.
    """
    if not is_shelf(place):
        yield Path(place)
        return
    with open_shelf(place) as (shelf, name):
        entries = shelf.entries()
        if not entries:
            raise StorageError(f"there are no backups in {place}", hint="`perdure backup URL PLACE` makes one")
        chain = chain_of(entries, name or entries[-1].name)
        with tempfile.TemporaryDirectory(prefix="perdure-restore-") as folder:
            yield [shelf.fetch(entry, Path(folder)) for entry in chain][-1]
