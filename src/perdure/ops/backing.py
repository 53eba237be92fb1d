"""Backups: a database in one file, complete or since another backup."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from perdure.checkpoint.base import Commit
from perdure.checkpoint.serde.base import CipherProtocol
from perdure.ops.archive.file import ArchiveReader, ArchiveWriter, writing
from perdure.ops.archive.records import of_commit, of_item
from perdure.ops.items import read_items
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.reading import Place, commits, outline
from perdure.ops.rules import of_rules
from perdure.ops.selecting import EVERYTHING, Selection

__all__ = ["Backup", "backup"]


@dataclass
class Backup:
    """What a backup has.

    Attributes:
        path: Its file; on a shelf, its name there.
        since: The name of the one that it goes on from; None: it is complete.
        size: Its length in bytes.
        copied: What was written to it.
    """

    path: Path
    since: str | None = None
    size: int = 0
    copied: Tally = field(default_factory=Tally)


def cipher_of(*, encrypted: bool) -> CipherProtocol | None:
    """Return what encrypts a backup: the key that `EncryptedSerializer.from_aes` finds, or else that of `from_keys`.

    Raises:
        InvalidConfigError: There is no key.
    """
    if not encrypted:
        return None
    from perdure.checkpoint.serde.encrypted import EncryptedSerializer
    from perdure.checkpoint.serde.keys import SINGLE

    if any(map(os.environ.get, SINGLE)):
        return EncryptedSerializer.from_aes().cipher
    return EncryptedSerializer.from_environment().cipher


def backup(
    where: Where,
    path: str | os.PathLike[str],
    *,
    since: str | os.PathLike[str] | None = None,
    selection: Selection = EVERYTHING,
    encrypted: bool = False,
    encrypt: bool = False,
    on_progress: OnProgress = silent,
) -> Backup:
    """Write what a database has to a file; the database may be in use.

    Each thread is as it was at one moment, different threads at different ones. The file appears when it is whole and
    on the disk; one of the same name is replaced.

    Args:
        where: A URL, a saver, or a `Database`.
        path: The file.
        since: An earlier backup, in the same folder: only what it hasn't is written, and it is needed to restore.
        selection: Which checkpoints; all by default.
        encrypted: Whether the values in the database are encrypted, with the key of the environment.
        encrypt: Whether to encrypt the file, with the same key.
        on_progress: Is told how far it is.

    Raises:
        StorageError: The database can't be read, or the file can't be written.
        CorruptCheckpointError: A checkpoint can't be read, or the earlier backup.
    """
    done = Backup(Path(path), since=None if since is None else Path(since).name)
    cipher = cipher_of(encrypted=encrypt)
    base = None if since is None else ArchiveReader(Path(since), cipher)
    with opened(where, encrypted=encrypted) as database, writing(done.path, cipher, base) as archive:
        index: dict[str, list[list[str]]] = dict(base.index) if base is not None else {}
        for thread_id, rules in database.saver.rules():
            if selection.threads is None or thread_id in selection.threads:
                archive.add(of_rules(thread_id, rules))
        for thread_id in selection.threads_of(database.saver):
            known = {Place(*place) for place in index.get(thread_id, ())}
            meant = outline(database.saver, thread_id, selection)
            had = [_added(archive, one, done.copied) for one in commits(database.saver, meant, known)]
            index[thread_id] = [*map(list, known), *(list(place) for place in had if place is not None)]
            done.copied.threads += 1
            on_progress(done.copied)
        if database.store is not None and selection.is_everything:
            for items in read_items(database.store):
                for one in items:
                    archive.add(of_item(one))
                done.copied.items += len(items)
        archive.end(index)
    done.size = done.path.stat().st_size
    return done


def _added(archive: ArchiveWriter, one: Commit, tally: Tally) -> Place | None:
    archive.add(of_commit(one))
    if one.checkpoint is None:
        return None
    tally.checkpoints += 1
    return Place(one.checkpoint["id"], one.checkpoint_ns)
