"""Making a database smaller: what is old or more than enough goes, and threads whose time is over."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from perdure.checkpoint.ids import first_id
from perdure.checkpoint.liveness import holder
from perdure.checkpoint.pruning import Pruned
from perdure.checkpoint.rules import NEVER, Rules
from perdure.errors import ThreadHeldError, UsageError
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.reading import Saver
from perdure.ops.selecting import EVERYTHING, Selection

__all__ = ["Pruning", "prune", "sweep"]

_TURN: Final = 60.0
"""Seconds that a thread is taken for while it is deleted."""


@dataclass
class Pruning:
    """What went, or would go.

    Attributes:
        dry_run: Whether nothing was changed.
        threads: Threads of which something went; of a sweep, those that are gone.
        checkpoints: Checkpoints that went.
        bytes: What these took in the store, without what a database adds; only of a dry run.
        looked_at: Threads that were looked at.
        held: Threads that were left as they are, for they are on hold.
        busy: Threads that a sweep left, for a run has them.
    """

    dry_run: bool
    threads: int = 0
    checkpoints: int = 0
    bytes: int | None = None
    looked_at: int = 0
    held: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    def add(self, done: Pruned | None) -> None:
        """Count what was done."""
        if done is not None:
            self.threads += done.threads
            self.checkpoints += done.checkpoints
            self.bytes = (self.bytes or 0) + (done.bytes or 0) if self.dry_run else None


def prune(
    where: Where,
    *,
    selection: Selection = EVERYTHING,
    strategy: Literal["keep_latest", "delete"] = "keep_latest",
    older_than: datetime | timedelta | None = None,
    keep_last: int = 1,
    keep_forks: bool = False,
    dry_run: bool = False,
    encrypted: bool = False,
    on_progress: OnProgress = silent,
) -> Pruning:
    """Delete checkpoints, thread by thread; the database may be in use.

    Each thread is pruned as a whole or not at all, so whoever is stopped at any moment calls it again. Threads on hold
    are left, and named.

    Args:
        where: A URL, a saver, or a `Database`.
        selection: Which threads, and what the metadata of checkpoints that go must have.
        strategy: `keep_latest`, or `delete`: whole threads without a younger checkpoint.
        older_than: Only what was made before this moment, or this long ago.
        keep_last: So many of the newest checkpoints of each namespace stay.
        keep_forks: Whether the tips of all branches stay.
        dry_run: Tell what would go, and change nothing; every record is read then.
        encrypted: Whether the values are encrypted, with the key of the environment.
        on_progress: Is told how far it is.

    Raises:
        UsageError: What is asked contradicts itself, or the saver can't.
        StorageError: The database can't be read or written; what was done stays done.
    """
    if selection.since is not None or selection.ends:
        raise UsageError("what is pruned is selected by threads and metadata", hint="older_than says how old")
    asked: dict[str, Any] = {"strategy": strategy, "older_than": older_than, "keep_last": keep_last}
    asked |= {"filter": dict(selection.metadata), "keep_forks": keep_forks, "dry_run": dry_run}
    done, tally = Pruning(dry_run), Tally()
    with opened(where, encrypted=encrypted, recognise=False) as database:
        saver = database.saver
        for thread_id in selection.threads_of(saver):
            try:
                if dry_run and saver.rules_of(thread_id).hold is not None:
                    done.held.append(thread_id)
                else:
                    done.add(saver.prune([thread_id], **asked))
            except ThreadHeldError:
                done.held.append(thread_id)
            except NotImplementedError as error:
                raise _cannot(saver) from error
            _tell(done, tally, on_progress)
    return done


def sweep(
    where: Where,
    *,
    default_ttl: timedelta | None = None,
    selection: Selection = EVERYTHING,
    dry_run: bool = False,
    encrypted: bool = False,
    on_progress: OnProgress = silent,
) -> Pruning:
    """Delete the threads whose time to live is over, since their last checkpoint; the database may be in use.

    A thread on hold, or that a run has, is left and named. Whoever is stopped calls it again.

    Args:
        where: A URL, a saver, or a `Database`.
        default_ttl: For threads that have no time to live of their own; None: these stay.
        selection: Which threads.
        dry_run: Tell what would go, and change nothing.
        encrypted: Whether the values are encrypted, with the key of the environment.
        on_progress: Is told how far it is.

    Raises:
        UsageError: The selection is about more than threads.
        StorageError: The database can't be read or written; what was done stays done.
    """
    if not selection.is_whole:
        raise UsageError("a thread expires as a whole", hint="select threads, not times or metadata")
    done, tally = Pruning(dry_run), Tally()
    with opened(where, encrypted=encrypted, recognise=False) as database:
        rules = dict(database.saver.rules())
        for thread_id in selection.threads_of(database.saver):
            _expire(database.saver, thread_id, rules.get(thread_id, Rules()), default_ttl, done)
            _tell(done, tally, on_progress)
    return done


def _expire(saver: Saver, thread_id: str, rules: Rules, default_ttl: timedelta | None, done: Pruning) -> None:
    ttl = default_ttl if rules.ttl is None else rules.ttl
    if ttl is None or ttl == NEVER:
        return
    moment = datetime.now(UTC) - ttl
    if (saver.get_head(thread_id) or "") >= first_id(moment):
        return
    asked: Any = {"strategy": "delete", "older_than": moment}
    if rules.hold is not None:
        if (would := saver.prune([thread_id], **asked, dry_run=True)) is not None and would.threads:
            done.held.append(thread_id)
    elif done.dry_run:
        done.add(saver.prune([thread_id], **asked, dry_run=True))
    else:
        _delete(saver, thread_id, asked, done)


def _delete(saver: Saver, thread_id: str, asked: Any, done: Pruning) -> None:
    """Delete a thread if it still rests, and no run has it."""
    lease = saver.acquire(thread_id, holder(f"sweep {uuid.uuid4()}"), _TURN) if saver.leases else None
    if lease is None and saver.leases:
        done.busy.append(thread_id)
        return
    gone: Pruned | None = None
    try:
        gone = saver.prune([thread_id], **asked)
        done.add(gone)
    except ThreadHeldError:
        done.held.append(thread_id)
    finally:
        if lease is not None and not (gone and gone.threads):
            saver.release(lease)


def _tell(done: Pruning, tally: Tally, tell: OnProgress) -> None:
    done.looked_at += 1
    tally.threads, tally.checkpoints = done.looked_at, done.checkpoints
    tell(tally)


def _cannot(saver: Saver) -> UsageError:
    return UsageError(
        f"{type(saver).__name__} can't be pruned in this way",
        hint="by `delete` any saver can; `perdure migrate` moves threads to one of perdure's own",
    )
