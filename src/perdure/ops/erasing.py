"""Erasing what a database has of a person, with a proof: afterwards no byte of it is in any file that can be looked at.

1. Whether a thread is on hold is asked before anything else, and again by each deletion.
2. Before rows are deleted, samples of them are noted: see `perdure.ops.fingerprints`.
3. Then the storage is made to forget, and all of its files are searched, by the samples and by given markers. What
   can still be read is decoded and searched for the markers too: a value that another thread has is found there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.registry import is_sqlite
from perdure.checkpoint.rules import held
from perdure.checkpoint.scrubbing import Scrub
from perdure.errors import UsageError
from perdure.ops.fingerprints import Fingerprints
from perdure.ops.items import Key
from perdure.ops.opening import Database, Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.reading import Saver
from perdure.ops.searching import Search, search_files, search_values
from perdure.ops.selecting import Selection
from perdure.store.base import BaseStore, PutOp, SearchOp

__all__ = ["Erasure", "erase"]

_PAGE: Final = 100
_LEAST: Final = 4
_TABLES: Final = ("postgres:", "postgresql:")
# What else lies in a database is known to those who put it there; they are found by name, and need no more than tables.
_BESIDE: Final = "perdure.server.erasing"


@dataclass
class Erasure:
    """What was erased, and the proof.

    Attributes:
        threads: The threads.
        checkpoints: How many checkpoints they had.
        items: Items of the store.
        runs: Runs of a server.
        fingerprints: Pieces of what was stored that were noted and looked for.
        scrub: How the storage was made to forget.
        search: What was looked at then, and found.
    """

    threads: list[str] = field(default_factory=list)
    checkpoints: int = 0
    items: int = 0
    runs: int = 0
    fingerprints: int = 0
    scrub: Scrub = field(default_factory=Scrub)
    search: Search = field(default_factory=Search)

    @property
    def is_proven(self) -> bool:
        """Whether the storage could be made to forget, all of its files were looked at, and nothing was found."""
        return not (self.scrub.failed or self.search.found or self.search.unread)


def erase(
    where: Where,
    *,
    selection: Selection | None = None,
    namespaces: Sequence[Sequence[str]] = (),
    prove: Sequence[str] = (),
    timeout: float = 30.0,
    encrypted: bool = False,
    on_progress: OnProgress = silent,
) -> Erasure:
    """Delete threads and items for ever, and prove it.

    Whole threads are deleted: those of `selection.threads`, or all that have a checkpoint with `selection.metadata`.
    What a server keeps of them in the same database goes too: runs, inputs, events. Each thread is deleted as a whole
    or not at all; whoever is stopped calls it again, and gives `prove` what to look for, for the fingerprints are gone.

    Nobody should write to the threads meanwhile. Copies under other names (`copy_thread`, forks on a server) are other
    threads: select these too.

    Args:
        where: A URL; a saver or `Database` too, but then a server's tables aren't looked for.
        selection: Which threads; None: no thread.
        namespaces: Of the store in the same database: all items in these and below them.
        prove: Texts that must not be found anywhere afterwards, such as a name or an address.
        timeout: Seconds to wait for others who keep old states alive.
        encrypted: Whether the values are encrypted, with the key of the environment.
        on_progress: Is told how far it is.

    Raises:
        ThreadHeldError: One of the threads is on hold: nothing was changed.
        UsageError: Nothing is selected, or this database can't be made to forget.
        StorageError: The database can't be read or written.
    """
    if (selection is None or (selection.threads is None and not selection.metadata)) and not namespaces:
        raise UsageError("nothing is selected", hint="threads, metadata, or namespaces of the store")
    if any(len(marker) < _LEAST for marker in prove):
        raise UsageError(f"a marker of less than {_LEAST} characters is found anywhere")
    if not all(namespaces):
        raise UsageError("an empty namespace is all of the store", hint="name one")
    done, prints = Erasure(), Fingerprints()
    with opened(where, encrypted=encrypted, recognise=False) as database:
        saver = database.saver
        _check_able(database, namespaces)
        done.threads = [] if selection is None else _threads(saver, selection)
        _check(saver, done.threads)
        _delete_threads(saver, done, prints, on_progress)
        if isinstance(where, str) and done.threads and (is_sqlite(where) or where.startswith(_TABLES)):
            runs: list[str] = import_module(_BESIDE).erase_threads(where, done.threads)
            done.runs = len(runs)
            prints.add(run.encode() for run in runs)
        for namespace in namespaces:
            done.items += _delete_items(database, namespace, prints)
        done.fingerprints = prints.count
        done.scrub = saver.scrub(timeout)
        search_files(saver, prints, prove, done.search)
        if prove:
            search_values(database, prove, done.search)
    return done


def _threads(saver: Saver, selection: Selection) -> list[str]:
    """Return the threads that are meant: whole ones, of which some checkpoint is."""
    if not selection.metadata:
        return list(selection.threads_of(saver))
    return [t for t in selection.threads_of(saver) if next(selection.browse(saver, t, limit=1), None) is not None]


def _check_able(database: Database, namespaces: Sequence[Sequence[str]]) -> None:
    cls = type(database.saver)
    if cls.scrub is BaseCheckpointSaver.scrub and cls.ascrub is BaseCheckpointSaver.ascrub:
        raise UsageError(
            f"{cls.__name__} can't be made to forget what was deleted", hint="delete the threads, and see to its files"
        )
    if namespaces and database.store is None:
        raise UsageError("this database has no store", hint="stores lie in SQLite or Postgres")


def _check(saver: Saver, thread_ids: Sequence[str]) -> None:
    for thread_id in thread_ids:
        if (reason := saver.rules_of(thread_id).hold) is not None:
            raise held(thread_id, reason)


def _delete_threads(saver: Saver, done: Erasure, prints: Fingerprints, tell: OnProgress) -> None:
    tally = Tally()
    for thread_id in done.threads:
        prints.add(saver.stored_of(thread_id))
        gone = saver.prune([thread_id], strategy="delete")  # which counts, and doesn't mind what is damaged
        saver.delete_thread(thread_id)
        done.checkpoints += gone.checkpoints if gone is not None else 0
        tally.threads, tally.checkpoints = tally.threads + 1, done.checkpoints
        tell(tally)


def _delete_items(database: Database, namespace: Sequence[str], prints: Fingerprints) -> int:
    store = database.store
    assert store is not None
    sweep, stored = getattr(store, "sweep_ttl", None), getattr(store, "stored_below", None)
    if sweep is not None:
        sweep()  # what has expired isn't found any more, and may still be there
    if stored is not None:
        prints.add(stored(namespace))
    keys = _keys(store, tuple(namespace))
    store.batch([PutOp(*key, None) for key in keys])
    return len(keys)


def _keys(store: BaseStore, namespace: tuple[str, ...]) -> list[Key]:
    found: list[Key] = []
    while True:
        page: Any = store.batch([SearchOp(namespace, None, _PAGE, len(found), None, refresh_ttl=False)])[0]
        found += [Key(item.namespace, item.key) for item in page]
        if len(page) < _PAGE:
            return found
