"""One thread, one run at a time: callers wait for the thread's turn, in this process and across processes.

Rules:
1. Within a process, callers of one saver's thread queue up first come, first served; nobody polls.
2. Where the saver has leases, the first in the queue also takes the thread's lease, trying with a growing wait.
3. A turn is given back exactly once: by its run, or, when the run was abandoned, when the turn is garbage-collected.
4. The commit's compare-and-set holds even where a turn is lost: this module is for order, not for safety.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.liveness import holder as holder_name
from perdure.errors import ThreadBusyError

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, Lease
    from perdure.types import BusyPolicy

LEASE_SECONDS = 10.0
"""How long a lease lasts without being renewed."""

_LATE = (0.1, 1.0)
"""Seconds after which a cancelled attempt to take a lease is looked after again."""

_FIRST_WAIT = 0.002
_LONGEST_WAIT = 0.1
_GROWTH = 1.5


class Turn:
    """The right to run a thread.

    Attributes:
        lease: The saver's lease, if it has leases.
        is_asked_to_stop: Whether another caller asked this run to stop at its next superstep.
        is_lost: Whether the lease ran out, and another run may go on with the thread.
    """

    __slots__ = ("__weakref__", "_line", "_wake", "is_asked_to_stop", "is_given_back", "is_lost", "lease", "thread_id")

    def __init__(self, line: Line, thread_id: str, wake: Callable[[], None]) -> None:
        self._line = line
        self._wake = wake
        self.thread_id = thread_id
        self.lease: Lease | None = None
        self.is_asked_to_stop = False
        self.is_lost = False
        self.is_given_back = False

    def __del__(self) -> None:
        # An abandoned run. Garbage collection may strike anywhere, even inside the saver: no I/O here.
        if not self.is_given_back:
            if self.lease is not None:
                _keeper.drop_later(self._line.saver, self.lease)
            self._line.give_back(self)


class Line:
    """The queues of one saver, by thread."""

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        self._saver = weakref.ref(saver)
        self._lock = threading.RLock()  # a turn's __del__ may run while its own thread holds it
        self._holder: dict[str, weakref.ref[Turn]] = {}
        self._waiting: dict[str, deque[Turn]] = {}

    @property
    def saver(self) -> BaseCheckpointSaver[Any] | None:
        """The saver, while it lives."""
        return self._saver()

    def join(self, turn: Turn, *, wait: bool) -> bool:
        """Take the turn if it is free (True); otherwise queue up, if asked to wait (False)."""
        with self._lock:
            if turn.thread_id not in self._holder:
                self._holder[turn.thread_id] = weakref.ref(turn)
                return True
            if wait:
                self._waiting.setdefault(turn.thread_id, deque()).append(turn)
            return False

    def ask_to_stop(self, thread_id: str) -> None:
        """Ask the current holder to stop at its next superstep."""
        with self._lock:
            if (ref := self._holder.get(thread_id)) and (turn := ref()) is not None:
                turn.is_asked_to_stop = True

    def has_turn(self, turn: Turn) -> bool:
        """Tell whether a queued turn has come up."""
        with self._lock:
            ref = self._holder.get(turn.thread_id)
            return ref is not None and ref() is turn

    def give_back(self, turn: Turn) -> None:
        """Give the turn to the next in the queue, or leave the queue."""
        with self._lock:
            if turn.is_given_back:
                return
            turn.is_given_back = True
            queue = self._waiting.get(turn.thread_id)
            if queue and turn in queue:
                queue.remove(turn)
                return
            holder = self._holder.get(turn.thread_id)
            if holder is None or ((held := holder()) is not None and held is not turn):
                return
            self._holder.pop(turn.thread_id, None)
            while queue:
                following = queue.popleft()
                self._holder[turn.thread_id] = weakref.ref(following)
                try:
                    following._wake()  # noqa: SLF001 - a part of this module
                except RuntimeError:  # the waiter's event loop is closed: nobody waits there any more
                    following.is_given_back = True
                    self._holder.pop(turn.thread_id, None)
                    continue
                break
            if not queue:
                self._waiting.pop(turn.thread_id, None)


_lines: weakref.WeakKeyDictionary[Any, Line] = weakref.WeakKeyDictionary()
_lines_lock = threading.Lock()


def line_of(saver: BaseCheckpointSaver[Any]) -> Line:
    """Return the saver's queues."""
    with _lines_lock:
        line = _lines.get(saver)
        if line is None:
            line = _lines[saver] = Line(saver)
        return line


def _busy(thread_id: str) -> ThreadBusyError:
    return ThreadBusyError(
        f"thread {thread_id!r} is being run by another caller",
        hint="wait for it (busy='wait', the default), or ask it to stop (busy='interrupt')",
        thread_id=thread_id,
    )


def _waits() -> Iterator[float]:
    wait = _FIRST_WAIT
    while True:
        yield wait
        wait = min(_LONGEST_WAIT, wait * _GROWTH)


def take(saver: BaseCheckpointSaver[Any], thread_id: str, policy: BusyPolicy) -> Turn:
    """Take a thread's turn, waiting for it as the policy says.

    Raises:
        ThreadBusyError: The turn is taken, and the policy is `reject`.
    """
    line = line_of(saver)
    event = threading.Event()
    turn = Turn(line, thread_id, event.set)
    try:
        if not line.join(turn, wait=policy != "reject"):
            _ask(line, thread_id, policy)
            event.wait()
        if saver.leases:
            _take_lease(saver, turn, policy)
    except BaseException:
        line.give_back(turn)
        raise
    return turn


def _ask(line: Line, thread_id: str, policy: BusyPolicy) -> None:
    if policy == "reject":
        raise _busy(thread_id)
    if policy == "interrupt":
        line.ask_to_stop(thread_id)


def _take_lease(saver: BaseCheckpointSaver[Any], turn: Turn, policy: BusyPolicy) -> None:
    holder = holder_name(os.urandom(16).hex())
    asked = False
    for wait in _waits():
        lease = saver.acquire(turn.thread_id, holder, LEASE_SECONDS)
        if lease is not None:
            turn.lease = lease
            _keeper.add(saver, turn)
            return
        if policy == "reject":
            raise _busy(turn.thread_id)
        if policy == "interrupt" and not asked:
            asked = True
            saver.request_stop(turn.thread_id)
        time.sleep(wait)


async def atake(saver: BaseCheckpointSaver[Any], thread_id: str, policy: BusyPolicy) -> Turn:
    """Do what `take` does, without blocking the event loop."""
    import asyncio

    line = line_of(saver)
    loop = asyncio.get_running_loop()
    came_up = asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(came_up.set)

    turn = Turn(line, thread_id, wake)
    try:
        if not line.join(turn, wait=policy != "reject"):
            _ask(line, thread_id, policy)
            await came_up.wait()
        if saver.leases:
            await _atake_lease(saver, turn, policy)
    except BaseException:
        line.give_back(turn)
        raise
    return turn


async def _atake_lease(saver: BaseCheckpointSaver[Any], turn: Turn, policy: BusyPolicy) -> None:
    import asyncio

    holder = holder_name(os.urandom(16).hex())
    asked = False
    for wait in _waits():
        try:
            lease = await saver.aacquire(turn.thread_id, holder, LEASE_SECONDS)
        except asyncio.CancelledError:
            # It may be taken all the same, by a driver's thread that goes on unseen.
            _keeper.drop_holder_later(saver, turn.thread_id, holder)
            raise
        if lease is not None:
            turn.lease = lease
            _keeper.add(saver, turn)
            return
        if policy == "reject":
            raise _busy(turn.thread_id)
        if policy == "interrupt" and not asked:
            asked = True
            await saver.arequest_stop(turn.thread_id)
        await asyncio.sleep(wait)


def give_back(turn: Turn) -> None:
    """Give a turn back, its lease first."""
    saver, lease = turn._line.saver, turn.lease  # noqa: SLF001 - a part of this module
    try:
        if saver is not None and lease is not None:
            turn.lease = None
            saver.release(lease)
    finally:
        turn._line.give_back(turn)  # noqa: SLF001 - a part of this module


async def agive_back(turn: Turn) -> None:
    """Do what `give_back` does, without blocking the event loop."""
    import asyncio

    saver, lease = turn._line.saver, turn.lease  # noqa: SLF001 - a part of this module
    try:
        if saver is not None and lease is not None:
            turn.lease = None
            try:
                await saver.arelease(lease)
            except asyncio.CancelledError:
                _keeper.drop_later(saver, lease)  # nobody knows whether it is released
                raise
    finally:
        turn._line.give_back(turn)  # noqa: SLF001 - a part of this module


class _Keeper:
    """A daemon thread that renews the leases of running turns; it lives while there are any."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._turns: weakref.WeakSet[Turn] = weakref.WeakSet()
        self._dropped: list[tuple[BaseCheckpointSaver[Any], Lease]] = []
        self._left: list[tuple[BaseCheckpointSaver[Any], str, str, float]] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, saver: BaseCheckpointSaver[Any], turn: Turn) -> None:
        with self._lock:
            self._turns.add(turn)
            self._start()

    def drop_later(self, saver: BaseCheckpointSaver[Any] | None, lease: Lease) -> None:
        if saver is not None:
            self._dropped.append((saver, lease))
            self._wake.set()

    def drop_holder_later(self, saver: BaseCheckpointSaver[Any], thread_id: str, holder: str) -> None:
        """Release whatever a holder has of a thread, also if it only takes it in the next moment."""
        now = time.monotonic()
        with self._lock:
            self._left += [(saver, thread_id, holder, now + delay) for delay in (0.0, *_LATE)]
            self._start()
        self._wake.set()

    def _drop_left(self) -> float | None:
        """Release what is due; return how long the rest has to wait."""
        with self._lock:
            now = time.monotonic()
            due = [one for one in self._left if one[3] <= now]
            self._left = [one for one in self._left if one[3] > now]
            rest = min((one[3] - now for one in self._left), default=None)
        for saver, thread_id, holder, _ in due:
            # To take what one has is to be told its generation.
            if (lease := _quietly(saver.acquire, thread_id, holder, LEASE_SECONDS)) is not None:
                _quietly(saver.release, lease)
        return rest

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._keep, name="perdure-leases", daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        idle = 0
        rest: float | None = None
        while True:
            self._wake.wait(LEASE_SECONDS / 3 if rest is None else rest)
            self._wake.clear()
            rest = self._drop_left()
            while self._dropped:
                saver, lease = self._dropped.pop()
                _quietly(saver.release, lease)
            turns = [t for t in list(self._turns) if t.lease is not None and not t.is_given_back]
            idle = 0 if turns else idle + 1
            by_saver: dict[int, list[Turn]] = {}
            for turn in turns:
                by_saver.setdefault(id(turn._line), []).append(turn)  # noqa: SLF001 - a part of this module
            for group in by_saver.values():
                self._renew(group)
            with self._lock:
                if idle > 2 and not self._dropped and not self._left and not self._turns:
                    self._thread = None
                    return

    @staticmethod
    def _renew(turns: list[Turn]) -> None:
        saver = turns[0]._line.saver  # noqa: SLF001 - a part of this module
        leases = [(turn, turn.lease) for turn in turns if turn.lease is not None]
        if saver is None or not leases:
            return
        states = _quietly(saver.renew, [lease for _, lease in leases], LEASE_SECONDS) or ()
        for (turn, _), state in zip(leases, states, strict=False):
            turn.is_lost = turn.is_lost or state == "lost"
            turn.is_asked_to_stop = turn.is_asked_to_stop or state == "stop"


def _quietly(call: Callable[..., Any], *args: Any) -> Any:
    """Call storage from the keeper's thread: a failure here shows at the run's next commit, which is guarded."""
    from perdure.errors import StorageError, UsageError

    try:
        return call(*args)
    except (StorageError, UsageError):  # the latter: the saver was closed meanwhile
        return None


_keeper = _Keeper()
