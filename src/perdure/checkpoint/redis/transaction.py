"""Operations run on Redis: their statements answered, and what they change stored by one script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

from perdure.checkpoint.base import Lease
from perdure.checkpoint.liveness import is_dead
from perdure.checkpoint.redis.keys import RULES, Keys, decoded, encoded, run_member
from perdure.checkpoint.redis.statements import STATEMENTS, lease_command
from perdure.checkpoint.redis.statements.answering import MANY, script
from perdure.checkpoint.redis.view import Beliefs, Life, Reading, ThreadView, View
from perdure.database.operation import Batch, Op
from perdure.database.redis.driver import Command, Exchange
from perdure.errors import PerdureError, TransientStorageError

T = TypeVar("T")

APPLY: Final = script("apply")

_MOST_ATTEMPTS: Final = 200
_SIDE_BY_SIDE: Final = frozenset({"writes_of_checkpoint", "renew_lease", "head"})


class Transactions:
    """Turns operations into exchanges.

    Args:
        keys: The names of keys.
        life: How long threads last.

    Attributes:
        is_cluster: Whether a script can use the keys of one thread only.
    """

    def __init__(self, keys: Keys, life: Life) -> None:
        self._keys = keys
        self._life = life
        self._beliefs = Beliefs()
        self.is_cluster = False

    def reading(self, make: Callable[[], Op[T]]) -> Exchange[T]:
        """Run an operation that changes nothing, or whose statements are commands that stand alone."""
        view = View(self._keys, self._life)
        result: T = yield from _answered(make(), view)
        for key, belief in view.seen.items():
            self._beliefs.note(key, belief)
        return result

    def writing(self, make: Callable[[], Op[T]], leases: Iterable[Lease] = ()) -> Exchange[tuple[T, bool]]:
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
            view = View(self._keys, self._life, None if attempt else self._beliefs)
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

    def forgetting(self) -> Exchange[int]:
        """Take threads that aren't there any more off the lists."""
        gone = 0
        for key, start in ((self._keys.threads, 0), (self._keys.runs, 1), (self._keys.ruled, 0)):
            after = b"-"
            while True:
                [members] = yield [("ZRANGEBYLEX", key, after, b"+", "LIMIT", 0, MANY)]
                if not members:
                    break
                after = b"(" + members[-1]
                ids = [decoded(member.split(b"\x00", 1)[1] if start else member) for member in members]
                found = yield [("EXISTS", self._keys.of(thread_id)[0]) for thread_id in ids]
                expired = [member for member, there in zip(members, found, strict=True) if not there]
                if expired:
                    yield [("ZREM", key, *expired)]
                    # One that was made anew at this moment is listed again.
                    back = yield [
                        ("EXISTS", self._keys.of(i)[0]) for m, i in zip(members, ids, strict=True) if m in expired
                    ]
                    again = [member for member, there in zip(expired, back, strict=True) if there]
                    if again:
                        yield [("ZADD", key, *[word for member in again for word in (0, member)])]
                    gone += len(expired) - len(again) if key == self._keys.threads else 0
        return gone

    def _store(self, view: View) -> Reading:
        """Store all changes, or nothing; return whom to stop, None if anything has changed."""
        threads = view.finish()
        if not threads:
            return []
        stops: list[bool] = []
        before, after = _indexing(view)
        # The nodes of a cluster can't act as one; what concerns several threads may be done again.
        for group in [[thread] for thread in threads] if self.is_cluster else [threads]:
            words: list[Any] = [self._life.ttl, *chain.from_iterable(thread.arguments() for thread in group)]
            names = [key for thread in group for key in (thread.rows, thread.order, thread.lease_key)]
            replies = yield [*before, (APPLY, len(names), *names, *words), *after]
            done, *asked = replies[len(before)]
            if not done:
                return None
            stops += map(bool, asked)
            before = after = []
        yield from _unlist(view)
        return stops


def _answered(op: Op[T], view: View) -> Exchange[T]:
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
        return (yield from _side_by_side(answers))
    replies = []
    for answer in answers:
        replies += [(yield from answer)]
    return replies


def _side_by_side(answers: Sequence[Reading]) -> Reading:
    """Answer statements that don't need each other, in as many round trips as the longest takes."""
    replies: list[Any] = [None] * len(answers)
    given: list[tuple[int, Any]] = [(at, None) for at in range(len(answers))]
    while given:
        asked: list[tuple[int, Sequence[Command]]] = []
        for at, reply in given:
            try:
                asked.append((at, answers[at].send(reply)))
            except StopIteration as end:
                replies[at] = end.value
        if not asked:
            break
        found = iter((yield [command for _, commands in asked for command in commands]))
        given = [(at, [next(found) for _ in commands]) for at, commands in asked]
    return replies


def _indexing(view: View) -> tuple[list[Command], list[Command]]:
    """Return what lists new threads and runs where they are looked for, before they are stored and after.

    Before, so that none is ever missing; and after, for one that was deleted at the same moment.
    """
    commands: list[Command] = []
    for thread_id, thread in view.threads.items():
        if thread.is_dropped:
            continue
        if thread.is_made:
            commands.append(("ZADD", view.keys.threads, 0, encoded(thread_id)))
        if thread.runs:
            commands.append(("ZADD", view.keys.runs, *_scored(thread_id, thread)))
        if thread.changes.get(RULES) is not None:
            commands.append(("ZADD", view.keys.ruled, 0, encoded(thread_id)))
    return commands, commands


def _scored(thread_id: str, thread: ThreadView) -> list[Any]:
    return [word for run_id in sorted(thread.runs) for word in (0, run_member(run_id, thread_id))]


def _unlist(view: View) -> Reading:
    """Take threads that were dropped off the lists, unless somebody has made them anew."""
    for thread_id, thread in view.threads.items():
        if not thread.is_dropped:
            continue
        runs = [run_member(run_id, thread_id) for run_id in sorted(thread.runs)]
        removing = [("ZREM", view.keys.runs, *runs)] if runs else []
        *_, is_there = yield [
            *removing,
            ("ZREM", view.keys.threads, encoded(thread_id)),
            ("ZREM", view.keys.ruled, encoded(thread_id)),
            ("EXISTS", thread.rows),
        ]
        if is_there:
            adding = [("ZADD", view.keys.runs, *_scored(thread_id, thread))] if runs else []
            yield [*adding, *[("ZADD", key, 0, encoded(thread_id)) for key in (view.keys.threads, view.keys.ruled)]]


def acquire(keys: Keys, life: Life, thread_id: str, holder: str, ttl: float) -> Exchange[Lease | None]:
    """Take a lease that is free, expired, held by a dead process of this machine, or held by this holder."""
    view = View(keys, life)
    [reply] = yield [lease_command(view, "acquire", thread_id, holder, seconds=ttl)]
    if len(reply) > 1 and is_dead(dead := decoded(reply[1])):
        [reply] = yield [lease_command(view, "inherit", thread_id, holder, reply[2], ttl, dead)]
    return Lease(thread_id, holder, int(reply[0])) if len(reply) == 1 else None
