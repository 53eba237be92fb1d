"""Operations as transactions over roots: run one on what is known of its threads, then replace each root it changed.

1. A root that this process has put or read is taken for current. If it wasn't, the conditional put is refused, and the
   operation is made anew on what is there now. A guess that no put of the same root proves, or an error, counts for
   nothing: then the roots are asked for.
2. Pages and packs are put before the root that names them. If the process dies between, nobody refers to them.
3. A thread is one unit: an operation on several commits each by itself, in any order, and each of these is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.checkpoint.objects.flushing import Flush, flush
from perdure.checkpoint.objects.holding import Names, Objects, Roots
from perdure.checkpoint.objects.remembering import Known, Memory
from perdure.checkpoint.objects.roots import Root, has_checkpoint, open_root, root_key, seal_root, thread_of
from perdure.checkpoint.objects.statements import Statements
from perdure.database.objects.exchange import (
    PAGE,
    Delete,
    Exchange,
    Get,
    List,
    Lost,
    Patience,
    Put,
    Refused,
    Same,
    ask,
    deletes,
    parts,
    read,
    swap,
)
from perdure.database.operation import Batch, Op, Replies
from perdure.errors import CorruptCheckpointError, PerdureError, TransientStorageError, UsageError


class _Gone(Exception):
    """An immutable object that a root names isn't there."""


class Transactions:
    """Runs operations on one store.

    Args:
        retry_for: Seconds to go on trying when the store is away, or others are faster.
    """

    def __init__(self, retry_for: float) -> None:
        self.retry_for = retry_for
        self._memory = Memory()

    def run(self, make: Callable[[], Op[Any]], kind: str) -> Exchange[Any]:
        """Carry out an operation.

        Raises:
            TransientStorageError: The store doesn't answer, or others are always faster.
            UsageError: A commit is of several threads, or an id can't be stored.
        """
        patience = Patience(self.retry_for)
        is_trusting, is_again, lost = kind != "read", False, 0
        while True:
            one = _Transaction(self._memory, patience, is_trusting=is_trusting, is_again=is_again)
            try:
                result = yield from one.carry_out(make())
                _check(one.statements, kind)
                unproven = one.guessed - one.statements.changed
                if one.statements.changed and not unproven and (yield from one.store()):
                    return result
            except PerdureError:
                if not one.guessed:
                    raise
                is_trusting = False
                continue
            except _Gone as e:
                if is_again:
                    raise CorruptCheckpointError(
                        f"an object that a thread's root names is missing: {e}", hint="restore it from a backup"
                    ) from e
                is_trusting, is_again = False, True
                continue
            except TypeError as e:
                if "surrogates" not in str(e):
                    raise
                raise UsageError(f"an id is not valid Unicode: {e}", hint="lone surrogates can't be ids") from e
            if unproven:
                is_trusting = False
                continue
            if not one.statements.changed:
                return result
            is_trusting, lost = True, lost + 1
            if patience.is_over():
                raise TransientStorageError(
                    f"others were always faster to write to {', '.join(map(repr, one.statements.changed))}",
                    hint="fewer writers to one thread at once, or a longer retry_for",
                )
            if lost > 1:
                yield patience.pause()

    def erase(self, thread_id: str) -> Exchange[None]:
        """Delete a thread's root, which an operation has emptied."""
        self._memory.forget(thread_id)
        yield from ask([Delete([root_key(thread_id)])], Patience(self.retry_for))


class _Transaction:
    """One attempt at an operation.

    Attributes:
        guessed: The threads whose roots were used, and that the store wasn't asked for.
    """

    def __init__(self, memory: Memory, patience: Patience, *, is_trusting: bool, is_again: bool) -> None:
        self.statements = Statements()
        self.guessed: set[str] = set()
        self._memory = memory
        self._patience = patience
        self._is_trusting = is_trusting
        self._is_again = is_again
        self._etags: dict[str, str | None] = {}

    def carry_out(self, op: Op[Any]) -> Exchange[Any]:
        """Run an operation; change nothing in the store."""
        try:
            batch = next(op)
            while True:
                batch = op.send((yield from self._replies(batch)))
        except StopIteration as done:
            return done.value

    def _replies(self, batch: Batch) -> Exchange[Replies]:
        steps = self.statements.run(batch)
        answer: Any = None
        while True:
            try:
                wanted = steps.send(answer)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            answer = yield from self._answer(wanted)

    def _answer(self, wanted: Roots | Objects | Names) -> Exchange[Any]:
        if isinstance(wanted, Names):
            return (yield from self._names(wanted))
        if isinstance(wanted, Objects):
            found = yield from self._memory.objects(wanted, self._patience)
            if len(found) < len(wanted.keys) and wanted.must_exist:
                raise _Gone(", ".join(set(wanted.keys) - set(found)))
            return found
        if wanted.thread_ids is not None:
            return (yield from self._roots(wanted.thread_ids, is_trusting=self._is_trusting))
        thread_ids = yield from self._names(Names(None, None))
        return (yield from self._roots(thread_ids, is_trusting=wanted.is_begun and not self._is_again))

    def _roots(self, thread_ids: Any, *, is_trusting: bool) -> Exchange[Mapping[str, Root | None]]:
        known: dict[str, Known] = {}
        asked: list[str] = []
        for thread_id in thread_ids:
            held = self._memory.known(thread_id)
            if held is not None and is_trusting:
                known[thread_id] = held
                if self._is_trusting:  # or a walk goes on, see `Roots`
                    self.guessed.add(thread_id)
            else:
                asked.append(thread_id)
        for some in parts(asked):
            held_ones = [self._memory.known(thread_id) or (None, None) for thread_id in some]
            gets = [Get(root_key(t), etag) for t, (etag, _) in zip(some, held_ones, strict=True)]
            for thread_id, held, found in zip(some, held_ones, (yield from ask(gets, self._patience)), strict=True):
                known[thread_id] = held if found is Same else self._memory.found(thread_id, found)
        self._etags.update({thread_id: etag for thread_id, (etag, _) in known.items()})
        return {thread_id: root for thread_id, (_, root) in known.items()}

    def _names(self, wanted: Names) -> Exchange[list[str]]:
        after = None if wanted.after is None else root_key(wanted.after)
        found: list[str] = []
        while wanted.limit is None or len(found) < wanted.limit:
            [page] = yield from ask([List("t/", after)], self._patience)
            for key in [one.key for one in page if has_checkpoint(one.size) or wanted.with_empty]:
                name = thread_of(key)
                found += (yield from self._name_of(key)) if name is None else [name]
            if len(page) < PAGE:
                break
            after = page[-1].key
        return found[: wanted.limit]

    def _name_of(self, key: str) -> Exchange[list[str]]:
        found = yield from read([key], self._patience)
        return [root.thread_id for data in found.values() if (root := open_root(data, None))]

    def store(self) -> Exchange[bool]:
        """Make the changes durable; tell whether nobody else was faster."""
        for thread_id in sorted(self.statements.changed):
            root = self.statements.roots[thread_id]
            assert root is not None
            flushed = yield from flush(root, self._answer)
            if not (yield from self._store_one(root, flushed)):
                for one in flushed.puts:  # these keys are taken now, by whomsoever
                    self._memory.burn(thread_id, *one.burns)
                return False
            self.statements.garbage += flushed.garbage
        if self.statements.garbage:
            # If this fails the operation has succeeded all the same; `sweep` finds what is left.
            yield deletes(self.statements.garbage)
        return True

    def _store_one(self, root: Root, flushed: Flush) -> Exchange[bool]:
        if flushed.puts:
            answers = yield [one.put for one in flushed.puts]
            for one, answer in zip(flushed.puts, answers, strict=True):
                if answer == Refused or isinstance(answer, Lost):
                    answer = yield from swap(one.put, self._patience)  # noqa: PLW2901
                if not isinstance(answer, str):
                    return False
        put = Put(root_key(root.thread_id), seal_root(root), self._etags[root.thread_id])
        if put.data or put.etag is not None:
            answer = yield from swap(put, self._patience)
            if not isinstance(answer, str):
                self._memory.found(root.thread_id, answer)
                return False
            self._memory.stored(answer, root)
        return True


def _check(statements: Statements, kind: str) -> None:
    if kind == "commit" and len(statements.changed) > 1:
        raise UsageError(
            f"a commit of several threads is no unit here: {', '.join(map(repr, sorted(statements.changed)))}",
            hint="an object store replaces one object at a time; commit each thread by itself",
        )
