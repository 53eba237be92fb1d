"""What a store must be able to do to keep threads as rows: all that a backend has to write.

A store keeps *threads*. A thread is rows, bytes under keys that have an order, and a lease. Besides there are three
*directories*, ordered sets that belong to everybody and say where to look; they are hints.

Rules of all primitives:

1. Each is a generator. It yields batches of commands, which are whatever the saver's driver takes, and is sent their
   replies; so callers of both colours share it. The commands of one batch don't need each other.
2. The driver may begin again what has failed, from the first primitive on. So each may be repeated: what is done twice
   is as if it were done once, and whoever repeats an `apply` finds by its guards what the first one did.
3. Keys and members are compared byte by byte. No row is empty.
4. What was answered is stored as safely as the store can, and whoever asks next sees it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

from perdure.checkpoint.base import Lease
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.rows.keys import END, Space, encoded, opened_state
from perdure.errors import TransientStorageError

__all__ = ["Asking", "Change", "Directory", "Held", "Listed", "Member", "RowBackend", "Sight", "together"]

T = TypeVar("T")

Asking = Generator[Sequence[Any], Sequence[Any], T]
"""What a primitive is: it yields batches of commands, and is sent their replies."""

Directory = Literal["threads", "runs", "ruled"]
Member = tuple[Directory, bytes]

_MOST_LOOKS: Final = 200


class Change(NamedTuple):
    """What becomes of a thread, if it is as it is thought to be.

    Attributes:
        thread_id: The thread.
        guards: What keys must have; None: nothing.
        rows: What keys get; None: they go.
        lease: The lease that must be held, expired or not; None: that doesn't matter.
        drops: Whether all of the thread goes: its rows and its lease. Then no key gets anything.
    """

    thread_id: str
    guards: Mapping[bytes, bytes | None]
    rows: Mapping[bytes, bytes | None]
    lease: Lease | None
    drops: bool


class Held(NamedTuple):
    """A thread's lease as it is stored.

    Attributes:
        holder: Who holds it; empty: it was given back.
        generation: How often it has changed hands.
        stop: Whether its holder shall stop.
    """

    holder: str
    generation: int
    stop: bool


class Sight(NamedTuple):
    """A checkpoint and what hangs on it, of one moment.

    Attributes:
        state: The namespace's row.
        checkpoint_id: The checkpoint's id.
        row: Its row; None: it isn't there.
        following: Id and row of the checkpoint behind it; an empty id: there is none.
        writes: Of each task id and row.
    """

    state: bytes
    checkpoint_id: bytes
    row: bytes | None
    following: tuple[bytes, bytes | None] = (b"", None)
    writes: Sequence[tuple[bytes, bytes | None]] = ()


class Listed(NamedTuple):
    """A namespace's newest checkpoints.

    Attributes:
        name: The namespace's key.
        state: Its row.
        checkpoint_ids: Their ids, in descending order.
    """

    name: bytes
    state: bytes
    checkpoint_ids: Sequence[bytes]


class RowBackend(ABC):
    """The primitives of one store; see the module for the rules of all."""

    spans_threads = True
    """Whether `apply` stores the changes of several threads all or nothing. If not, it gets those of one at a time."""

    # -- rows

    @abstractmethod
    def get(self, thread_id: str, keys: Sequence[bytes]) -> Asking[Sequence[bytes | None]]:
        """Read rows; they needn't be of one moment.

        Args:
            thread_id: The thread.
            keys: Any number of them, in any order.

        Returns:
            For each key its bytes; None: there is no such row.
        """

    @abstractmethod
    def keys(
        self, thread_id: str, start: bytes, end: bytes, *, limit: int | None = None, newest_first: bool = False
    ) -> Asking[Sequence[bytes]]:
        """Read the keys from `start` on, below `end`; what is there all the time is among them.

        Both begin with the kind of rows that is meant: `n`, `c`, `w` or `p`. Those of `p` are asked for without limit.

        Args:
            thread_id: The thread.
            start: The least.
            end: Greater than the greatest.
            limit: At most so many.
            newest_first: Whether they come in descending order; then a limit leaves the greatest.
        """

    @abstractmethod
    def apply(self, changes: Sequence[Change], members: Sequence[Member]) -> Asking[Sequence[bool] | None]:
        """Compare what threads have with what they must have, and if nothing differs store all changes.

        Atomicity: nobody changes what was compared before all is changed, and whoever has seen one of the changes sees
        all others that he asks for. If anything differs, no row is changed; after an error either none or all are.

        Order: the members are in their directories before any row is changed, and are put in again afterwards if
        somebody took them out in between. So what is there is listed, also after a crash at any moment. A store
        whose transactions span directories puts them in by the same one.

        Args:
            changes: One a thread.
            members: What to put into directories.

        Returns:
            For each change whether the holder of its lease shall stop; None: something differs.
        """

    @abstractmethod
    def there(self, thread_ids: Sequence[str]) -> Asking[Sequence[bool]]:
        """Tell of threads whether they have any row."""

    # -- directories

    @abstractmethod
    def members(self, name: Directory, start: bytes, end: bytes | None, limit: int | None) -> Asking[Sequence[bytes]]:
        """Read a directory's members from `start` on, below `end`, in ascending order; None: no end, no limit."""

    @abstractmethod
    def enlist(self, members: Sequence[Member]) -> Asking[None]:
        """Put members into directories; those that are there stay."""

    @abstractmethod
    def unlist(self, members: Sequence[Member], thread_ids: Sequence[str]) -> Asking[Sequence[bool]]:
        """Take members out of directories, and tell then whether their threads have any row.

        Order: the answer is of a moment after the removal, so that whoever is told of a thread can put it back.

        Args:
            members: What to take out.
            thread_ids: The thread of each member; one may be there several times.
        """

    # -- leases

    @abstractmethod
    def lease(self, thread_id: str) -> Asking[Held | None]:
        """Read a thread's lease; None: it has none, and never had."""

    @abstractmethod
    def acquire(self, thread_id: str, holder: str, seconds: float, dead: Lease | None = None) -> Asking[Lease]:
        """Take a thread's lease, if nobody holds it, or no longer.

        Atomicity: of two who take it at once, one gets it. Whoever gets it from another gets the next generation, and
        isn't asked to stop. Whoever holds it keeps its generation; it lasts longer.

        Clock: the store's, if it has one, for those of the callers may differ.

        Args:
            thread_id: The thread.
            holder: Who takes it.
            seconds: How long it lasts from now on.
            dead: A lease that may be taken although it hasn't expired; None: none.

        Returns:
            Who holds it now: this holder, or another who is in the way.
        """

    @abstractmethod
    def renew(self, lease: Lease, seconds: float) -> Asking[bool | None]:
        """Let a lease that is still held, expired or not, last so many seconds from now on.

        Returns:
            Whether its holder shall stop; None: it is lost.
        """

    @abstractmethod
    def release(self, lease: Lease) -> Asking[None]:
        """Give a lease back, if it is still held. Its generation stays: the next holder's is greater."""

    @abstractmethod
    def request_stop(self, thread_id: str) -> Asking[None]:
        """Note for the holder of a lease that it shall stop, if there is a holder."""

    # -- what some stores can do better

    def checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Asking[Sight | None]:
        """Read a checkpoint, its writes and what follows it, of one moment.

        Made of the others, by four batches: a store that can do it by one does it. The state is the same before and
        after, so all is as it was at any moment in between, but for writes that were added.

        Args:
            thread_id: The thread.
            checkpoint_ns: The namespace.
            checkpoint_id: None: the head.

        Returns:
            What was found; None: there is no such namespace, or no head.
        """
        name = b"n" + encoded(checkpoint_ns)
        [state] = yield from self.get(thread_id, [name])
        for _ in range(_MOST_LOOKS):
            if state is None:
                return None
            opened = opened_state(state)
            found_id = opened.head if checkpoint_id is None else checkpoint_id
            if found_id is None:
                return None
            sight = yield from self._sight(Space(thread_id, checkpoint_ns, opened.mark), state, found_id)
            [now] = yield from self.get(thread_id, [name])
            if now == state:
                return sight
            state = now
        raise TransientStorageError("a namespace was changed by others at each of many looks", hint="try again")

    def _sight(self, space: Space, state: bytes, checkpoint_id: str) -> Asking[Sight]:
        key, writes = space.key(b"c", checkpoint_id), space.of_writes(checkpoint_id)
        behind, tasks = yield from together(
            [
                self.keys(space.thread_id, key + b"\x00", space.key(b"c") + END, limit=1),
                self.keys(space.thread_id, writes, writes + END),
            ]
        )
        row, *rows = yield from self.get(space.thread_id, [key, *behind, *tasks])
        ids = [task[len(writes) :] for task in tasks]
        found = (b"", None) if not behind else (behind[0][9:], rows[0])
        return Sight(state, encoded(checkpoint_id), row, found, list(zip(ids, rows[len(behind) :], strict=True)))

    def newest(
        self, thread_id: str, checkpoint_ns: str | None, least: str, greatest: str | None, limit: int
    ) -> Asking[Sequence[Listed]]:
        """Find the newest checkpoints of a thread's namespaces.

        Made of the others, by three batches: a store that can do it by one does it. It needn't be of one moment.

        Args:
            thread_id: The thread.
            checkpoint_ns: The only namespace; None: all.
            least: The least id.
            greatest: The greatest; None: there is none.
            limit: At most so many of each namespace.
        """
        names: Sequence[bytes] = [b"n" + encoded(checkpoint_ns or "")]
        if checkpoint_ns is None:
            names = yield from self.keys(thread_id, b"n", b"o")
        states = yield from self.get(thread_id, names)
        found = [
            (name, state, b"c" + state[:8]) for name, state in zip(names, states, strict=True) if state is not None
        ]
        ends = END if greatest is None else encoded(greatest) + b"\x00"
        lists = yield from together(
            [
                self.keys(thread_id, start + encoded(least), start + ends, limit=limit, newest_first=True)
                for _, _, start in found
            ]
        )
        return [
            Listed(name, state, [key[9:] for key in keys]) for (name, state, _), keys in zip(found, lists, strict=True)
        ]

    # -- the store

    def look(self) -> Asking[None]:
        """Look whether the store can be used, and make what has to be made; done before the first use.

        Raises:
            StorageError: It can't be used.
        """
        yield from ()

    def diagnosing(self) -> Asking[list[Check]]:
        """Look at how the store is set up; a backend that has nothing to say looks at nothing."""
        yield from ()
        return []


def together(askings: Sequence[Asking[T]]) -> Asking[list[T]]:
    """Ask for things that don't need each other, in as many batches as the longest takes."""
    if len(askings) == 1:
        return [(yield from askings[0])]
    answers: dict[int, T] = {}
    given: list[tuple[int, Any]] = [(at, None) for at in range(len(askings))]
    while given:
        asked: list[tuple[int, Sequence[Any]]] = []
        for at, replies in given:
            try:
                asked.append((at, askings[at].send(replies)))
            except StopIteration as end:
                answers[at] = end.value
        if not asked:
            break
        found = iter((yield [command for _, commands in asked for command in commands]))
        given = [(at, [next(found) for _ in commands]) for at, commands in asked]
    return [answers[at] for at in range(len(askings))]
