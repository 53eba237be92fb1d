"""Operations run on a backend of rows: their statements answered, and what they change stored by one `apply`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from perdure.checkpoint.base import Lease
from perdure.checkpoint.liveness import is_dead
from perdure.checkpoint.rows.answering import MANY
from perdure.checkpoint.rows.backend import Asking, Directory, Member, RowBackend, together
from perdure.checkpoint.rows.keys import RULES, decoded, encoded, run_member
from perdure.checkpoint.rows.statements import STATEMENTS
from perdure.checkpoint.rows.view import Belief, Reading, View
from perdure.checkpoint.tables.sights import Sights
from perdure.database.operation import Batch, Op
from perdure.errors import PerdureError, TransientStorageError

T = TypeVar("T")

_MOST_ATTEMPTS: Final = 200
_SIDE_BY_SIDE: Final = frozenset({"writes_of_checkpoint", "renew_lease", "head"})
_DIRECTORIES: Final[tuple[Directory, ...]] = ("threads", "runs", "ruled")


class Transactions:
    """Turns operations into what a driver can run.

    Args:
        backend: Keeps the rows.
    """

    def __init__(self, backend: RowBackend) -> None:
        self._backend = backend
        self._beliefs: Sights[Belief] = Sights()

    def reading(self, make: Callable[[], Op[T]]) -> Asking[T]:
        """Run an operation that changes nothing, or whose statements stand alone."""
        view = View(self._backend)
        result: T = yield from _answered(make(), view)
        for key, belief in view.seen.items():
            self._beliefs.note(key, belief)
        return result

    def writing(self, make: Callable[[], Op[T]], leases: Iterable[Lease] = ()) -> Asking[tuple[T, bool]]:
        """Run an operation, and store what it changes if what it has read is as it was.

        Args:
            make: Makes the operation.
            leases: Those that must be held.

        Returns:
            What the operation returns, and whether a holder shall stop.

        Raises:
            TransientStorageError: Others were in the way at each of many attempts.
        """
        for attempt in range(_MOST_ATTEMPTS):
            view = View(self._backend, None if attempt else self._beliefs)
            for lease in leases:
                view.thread(lease.thread_id).lease = lease
            try:
                result: T = yield from _answered(make(), view)
            except PerdureError:
                view.take_back()
                if (yield from self._store(view)) is not None:
                    raise
            else:
                stops = yield from self._store(view)
                if stops is not None:
                    view.note(self._beliefs)
                    return result, any(stops)
            view.forget(self._beliefs)
        raise TransientStorageError("the thread was changed by others at each of many attempts", hint="try again")

    def acquiring(self, thread_id: str, holder: str, seconds: float) -> Asking[Lease | None]:
        """Take a lease that is free, expired, held by a dead process of this machine, or held by this holder."""
        found = yield from self._backend.acquire(thread_id, holder, seconds)
        if found.holder != holder and is_dead(found.holder):
            found = yield from self._backend.acquire(thread_id, holder, seconds, found)
        return found if found.holder == holder else None

    def forgetting(self) -> Asking[int]:
        """Take threads that aren't there any more out of the directories."""
        gone = 0
        for directory in _DIRECTORIES:
            start = b""
            while members := (yield from self._backend.members(directory, start, None, MANY)):
                start = members[-1] + b"\x00"
                listed = [(m, decoded(m.split(b"\x00", 1)[1] if directory == "runs" else m)) for m in members]
                found = yield from self._backend.there([thread_id for _, thread_id in listed])
                expired = [one for one, there in zip(listed, found, strict=True) if not there]
                if expired:
                    again = yield from self._unlisted([(directory, m) for m, _ in expired], [i for _, i in expired])
                    gone += len(expired) - again if directory == "threads" else 0
        return gone

    def _unlisted(self, members: Sequence[Member], thread_ids: Sequence[str]) -> Asking[int]:
        """Take threads' members out of directories; put those back whose thread is there, and count them."""
        found = yield from self._backend.unlist(members, thread_ids)
        again = [member for member, is_there in zip(members, found, strict=True) if is_there]
        if again:
            yield from self._backend.enlist(again)
        return len(again)

    def _store(self, view: View) -> Reading:
        """Store all changes, or nothing; return whom to stop, None if anything has changed."""
        changes = view.finish()
        if not changes:
            return []
        stops: list[bool] = []
        members = _members(view)
        # What concerns several threads may be done again.
        for group in [changes] if self._backend.spans_threads else [[change] for change in changes]:
            asked = yield from self._backend.apply(group, members)
            if asked is None:
                return None
            stops += asked
            members = []
        dropped = [thread_id for thread_id, thread in view.threads.items() if thread.is_dropped]
        listed: list[tuple[Directory, str]] = [(name, one) for one in dropped for name in ("threads", "ruled")]
        if listed:
            yield from self._unlisted([(name, encoded(one)) for name, one in listed], [one for _, one in listed])
        return stops


def _answered(op: Op[T], view: View) -> Asking[T]:
    try:
        batch = next(op)
        while True:
            batch = op.send((yield from _replies(view, batch)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        op.close()


def _replies(view: View, batch: Batch) -> Reading:
    answers = [STATEMENTS[name](view, *values) for name, values in batch]
    if len(answers) > 1 and all(name in _SIDE_BY_SIDE for name, _ in batch):
        return (yield from together(answers))
    replies: list[Any] = []
    for answer in answers:
        replies += [(yield from answer)]
    return replies


def _members(view: View) -> list[Member]:
    """Return where what an operation has made must be found: threads, runs, and rules."""
    found: list[Member] = []
    for thread_id, thread in view.threads.items():
        if thread.is_dropped:
            continue
        if thread.is_made:
            found.append(("threads", encoded(thread_id)))
        for run_id in sorted(thread.runs):
            found.append(("runs", run_member(run_id, thread_id)))  # noqa: PERF401 - mostly there is none, or one
        if thread.changes.get(RULES) is not None:
            found.append(("ruled", encoded(thread_id)))
    return found
