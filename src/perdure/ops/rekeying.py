"""Threads put under another key: so that the old one can be dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perdure.errors import UsageError
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.selecting import Selection

__all__ = ["Rekeying", "rekey"]


@dataclass
class Rekeying:
    """What was found, and done.

    Attributes:
        threads: Threads that were gone through.
        rewritten: Rows that were under another key, and are under the current one now.
        current: Rows that were so already.
        items: Items of the store in the same database that were rewritten.
    """

    threads: int = 0
    rewritten: int = 0
    current: int = 0
    items: int = 0


def rekey(
    where: Where,
    *,
    threads: Sequence[str] | None = None,
    on_progress: OnProgress = silent,
) -> Rekeying:
    """Encrypt with the current key whatever is encrypted with another one, thread by thread.

    The database may be in use. Stopped at any moment, the same call goes on; a second call does nothing. When all
    processes that write have the new key as the current one, and a call afterwards has ended, nothing is under
    the old key any more: neither threads, nor items of a store in the same database.

    Args:
        where: A URL, with the keys of the environment (`PERDURE_ENCRYPTION_KEYS`); or a saver or `Database` with keys.
        threads: Only these, and no items; all by default.
        on_progress: Is told how far it is.

    Raises:
        UsageError: The saver has no keys, or can't do it.
        CorruptCheckpointError: A row can't be read, or its key isn't there. What was done stays done.
        StorageError: The database can't be read or written.
    """
    done = Rekeying()
    tally = Tally()
    with opened(where, encrypted=True, recognise=False) as database:
        saver = database.saver
        for thread_id in Selection(threads).threads_of(saver):
            try:
                found = saver.rekey_thread(thread_id)
            except NotImplementedError as error:
                raise UsageError(f"{type(saver).__name__} has no keys that could be changed") from error
            done.threads += 1
            done.rewritten += found.rewritten
            done.current += found.current
            tally.threads += 1
            on_progress(tally)
        store: Any = database.store
        if threads is None and getattr(store, "has_keys", False):
            done.items = store.rekey().rewritten
    return done
