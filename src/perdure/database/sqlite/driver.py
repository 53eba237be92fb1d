"""Runs operations on one SQLite connection: transactions, retries, and the sharing of commits.

Theory of operation:

1. One caller at a time *leads*: it alone uses the connection. Those who come meanwhile leave their jobs in a queue and
   sleep.
2. A leader takes its own jobs and all queued ones and runs them in one transaction, so that they share one commit and
   its fsync. Then it wakes them, and the first of those who came since leads.
3. A sync caller leads in its own thread: without others there is no hop. Async callers' jobs are collected for one tick
   of their event loop and handed together to a thread of the driver's; one call wakes all that are done.
4. Jobs of one transaction don't fail for each other. One that raises before it has changed anything just fails. One
   that raises after it has changed something makes the transaction roll back, and every job runs anew, by itself.
5. Reads run first, in a transaction of their own, and don't wait for the commit.
6. A finalizer may call in the middle of anything, in the leader's own thread too. What it leaves (`later`) is run by
   whoever leads, and it never waits.
7. Commits remember how they leave a namespace, so that the next need not ask. All that is forgotten as soon as anything
   else has changed the database: another connection (its data version tells), an operation that isn't a commit, or a
   transaction that didn't stand.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.database.operation import Op
from perdure.database.sqlite.connection import Connection, is_busy, mapped
from perdure.database.waking import wake
from perdure.errors import StorageError, TransientStorageError, UsageError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

T = TypeVar("T")

_ATTEMPTS = 3

_generation = 0
"""How often this process was forked off another: cheaper to compare than the process's number is to ask for."""


def _count_fork() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class Job:
    """An operation to run, and how it went.

    Attributes:
        make: Makes the operation; anew for each attempt.
        writes: Whether it changes the database.
        soft: Whether it may be lost at a power failure, so that its commit needs no fsync.
        plain: Whether it takes note itself of what it changes, see rule 7.
    """

    __slots__ = ("error", "future", "make", "plain", "result", "soft", "writes")

    def __init__(self, make: Callable[[], Op[Any]], writes: bool, soft: bool, plain: bool) -> None:
        self.make = make
        self.writes = writes
        self.soft = soft
        self.plain = plain
        self.result: Any = None
        self.error: BaseException | None = None
        self.future: Future[Any] | None = None


class _Ticket:
    """Jobs that wait for a leader, and the sleeper to wake: because they are done, or to lead."""

    __slots__ = ("done", "jobs", "leads", "wake")

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.done = False
        self.leads = False
        self.wake: threading.Event | None = None


class Driver:
    """Owns a connection.

    Args:
        connection: The connection; nobody else may use it.
        synchronous: How a commit is made durable: `FULL` or `NORMAL`, see `SqliteSaver`.
        forget: Called when what commits remember may not hold any more.
    """

    def __init__(self, connection: Connection, synchronous: str, forget: Callable[[], None]) -> None:
        self._connection = connection
        self._is_full = synchronous == "FULL"
        self._forget = forget
        self._version: int | None = None
        self._born = _generation
        # Reentrant: a finalizer may run in the middle of this thread's own call.
        self._mutex = threading.RLock()
        self._leader: int | None = None
        self._queue: deque[_Ticket] = deque()
        self._left: deque[_Ticket] = deque()
        self._inbox: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ticks: dict[AbstractEventLoop, list[Job]] = {}
        self._closed = False

    def begin(self) -> None:
        """Set the connection up, once its tables are ready."""
        self._connection.execute(_FULL if self._is_full else _NORMAL)

    # -- the two doors

    def run(
        self,
        make: Callable[[], Op[T]],
        *,
        writes: bool = False,
        soft: bool = False,
        plain: bool = False,
        later: bool = False,
    ) -> T:
        """Run an operation now, in this thread or as part of another's transaction.

        Args:
            make: Makes the operation.
            writes: Whether it changes the database.
            soft: Whether its commit needs no fsync.
            plain: Whether it takes note itself of what it changes.
            later: Whether it may run after this call, if this thread is in the middle of another one.
        """
        job = Job(make, writes, soft, plain)
        self._submit((job,), later)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[no-any-return]

    def arun(
        self, make: Callable[[], Op[T]], *, writes: bool = False, soft: bool = False, plain: bool = False
    ) -> Future[T]:
        """Run an operation on the driver's thread, together with what others ask in this tick of the event loop."""
        import asyncio  # who is here has it already

        self._check_usable()
        loop = asyncio.get_running_loop()
        job = Job(make, writes, soft, plain)
        job.future = loop.create_future()
        tick = self._ticks.get(loop)
        if tick is None:
            self._ticks[loop] = [job]
            loop.call_soon(self._flush, loop)
        else:
            tick.append(job)
        return job.future

    def close(self, with_connection: bool) -> None:
        """End the thread, and close the connection if asked to; waits for what is under way."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        is_own = self._born == _generation
        if thread is not None and thread.is_alive() and is_own:
            self._inbox.put(None)
            thread.join()
        if is_own:
            self._wait_for_leaders()
        # Closing a connection that came by a fork would drop the parent's locks.
        if with_connection and is_own:
            self._connection.close()

    def _wait_for_leaders(self) -> None:
        """Wait until nobody uses the connection; nobody new comes, for the driver is closed."""
        while True:
            with self._mutex:
                if self._leader in {None, threading.get_ident()}:
                    return
                ticket = _Ticket(())
                ticket.wake = threading.Event()
                self._queue.append(ticket)
            ticket.wake.wait()
            if ticket.leads:
                self._pass_on()

    # -- async: one hop a tick

    def _flush(self, loop: AbstractEventLoop) -> None:
        jobs = self._ticks.pop(loop)
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="perdure-sqlite", daemon=True)
                self._thread.start()
        self._inbox.put(jobs)

    def _serve(self) -> None:
        """Run what event loops hand over, all that has come at once."""
        jobs = self._inbox.get()
        while jobs is not None:
            more: list[Job] | None = []
            while more is not None and not self._inbox.empty():
                more = self._inbox.get()
                jobs += more or ()
            try:
                self._submit(jobs)
            except BaseException as e:  # noqa: BLE001 - belongs to the callers, who wait for it
                for job in jobs:
                    job.error = job.error or e
            wake(jobs)
            is_last = more is None
            jobs = more = None  # nothing of them stays until the next come
            if not is_last:
                jobs = self._inbox.get()

    # -- turns

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("the saver is closed", hint="use it inside of its `with` block")
        if self._born != _generation:
            raise UsageError(
                "the saver was opened before this process was forked",
                hint="open a saver in each process: an SQLite connection doesn't survive a fork",
            )

    def _submit(self, jobs: Sequence[Job], later: bool = False) -> None:
        """Have the jobs run, as a leader or by one."""
        if not self._may_lead():
            ticket = _Ticket(jobs)
            if later or self._leader == threading.get_ident():
                self._leave(ticket, later)
                return
            ticket.wake = threading.Event()
            with self._mutex:
                if not self._may_lead():
                    self._queue.append(ticket)
                else:
                    ticket.wake = None
            if ticket.wake is not None:
                self._sleep(ticket)
                if ticket.done:
                    return
                self._leader = threading.get_ident()
        self._lead(jobs)
        if self._left and self._may_lead():
            self._lead(())

    def _may_lead(self) -> bool:
        """Become the leader if there is none."""
        me = threading.get_ident()
        with self._mutex:
            self._check_usable()
            if self._leader is not None:
                return False
            self._leader = me
            return True

    def _leave(self, ticket: _Ticket, later: bool) -> None:
        """Leave a ticket for the leader, without waiting: it may be this very thread, further up its stack."""
        if not later:
            raise UsageError("a saver was used by a finalizer or a signal handler amid its own call")
        self._left.append(ticket)
        if self._may_lead():  # the leader may have looked just before
            self._lead(())

    def _sleep(self, ticket: _Ticket) -> None:
        assert ticket.wake is not None
        try:
            ticket.wake.wait()
        except BaseException:  # a signal: this thread goes, the lead must not go with it
            with self._mutex:
                if ticket in self._queue:
                    self._queue.remove(ticket)
                elif ticket.leads:
                    self._pass_on()
            raise

    def _lead(self, jobs: Sequence[Job]) -> None:
        """Run the leader's own jobs and all that wait, then hand the lead on."""
        while True:
            tickets = self._waiting() if self._queue or self._left else ()
            if tickets:
                jobs = [*jobs, *[job for ticket in tickets for job in ticket.jobs]]
            try:
                self._execute(jobs)
            except BaseException as e:
                try:
                    self._abandon(jobs, e)
                finally:
                    self._settle(tickets)
                    self._pass_on()
                raise
            if tickets:
                self._settle(tickets)
            if not self._left:
                break
            jobs = ()
        self._pass_on()

    def _waiting(self) -> Sequence[_Ticket]:
        """Take the tickets of those who wait, and those that were left."""
        with self._mutex:
            waiting, self._queue = self._queue, deque()
        tickets = [*waiting]
        while self._left:
            tickets.append(self._left.popleft())
        return tickets

    @staticmethod
    def _settle(tickets: Sequence[_Ticket]) -> None:
        for ticket in tickets:
            ticket.done = True
            if ticket.wake is not None:
                ticket.wake.set()

    def _pass_on(self) -> None:
        """Make the first of the queue the leader."""
        with self._mutex:
            if not self._queue:
                self._leader = None
                return
            heir = self._queue.popleft()
            heir.leads = True
            self._leader = 0  # nobody's number, until the heir is awake
        heir.wake.set()  # type: ignore[union-attr]

    def _abandon(self, jobs: Sequence[Job], cause: BaseException) -> None:
        """Undo what a signal, or the end of the connection, interrupted."""
        for job in jobs:
            if job.error is None:
                job.error = TransientStorageError("the commit was interrupted")
                job.error.__cause__ = cause
        self._forget()
        if self._connection.in_transaction():
            self._connection.execute("ROLLBACK")

    # -- transactions

    def _execute(self, jobs: Sequence[Job]) -> None:
        if len(jobs) == 1 and not jobs[0].soft:
            self._transact(jobs, "BEGIN IMMEDIATE" if jobs[0].writes else "BEGIN")
            return
        reads = [job for job in jobs if not job.writes]
        writes = [job for job in jobs if job.writes]
        if reads:
            self._transact(reads, "BEGIN")
        if writes:
            soft = self._is_full and all(job.soft for job in writes)
            if soft:
                self._connection.execute(_NORMAL)
            try:
                self._transact(writes, "BEGIN IMMEDIATE")
            finally:
                if soft:
                    self._connection.execute(_FULL)

    def _transact(self, jobs: Sequence[Job], begin: str) -> None:
        """Run jobs in one transaction; if one spoils it, each in its own."""
        if self._attempt(jobs, begin):
            return
        for job in jobs:
            job.result = job.error = None
        for job in jobs:
            for attempt in range(1, _ATTEMPTS + 1):
                self._attempt([job], begin)
                if attempt == _ATTEMPTS or not is_busy(_cause(job.error)):
                    break
                job.result = job.error = None

    def _attempt(self, jobs: Sequence[Job], begin: str) -> bool:
        """Run jobs in one transaction; tell whether it stands, or failed as it should."""
        connection = self._connection
        try:
            connection.execute(begin)
            version = connection.data_version()
            if version is None or version != self._version:
                self._forget()
            for job in jobs:
                before = connection.total_changes()
                self._drive(job)
                if job.error is None:
                    if job.writes and not job.plain:
                        self._forget()
                    continue
                if job.writes:
                    self._forget()
                if connection.total_changes() != before or not connection.in_transaction():
                    if connection.in_transaction():
                        connection.execute("ROLLBACK")
                    return len(jobs) == 1 and not is_busy(_cause(job.error))
            connection.execute("COMMIT")
            self._version = connection.data_version()
        except Exception as e:  # noqa: BLE001 - of BEGIN or COMMIT: the callers get it
            self._forget()
            if connection.in_transaction():
                connection.execute("ROLLBACK")
            error = mapped(e, connection.path)
            error.__cause__ = e
            for job in jobs:
                job.result, job.error = None, error
        return True

    def _drive(self, job: Job) -> None:
        """Answer an operation's statements until it ends."""
        execute = self._connection.execute
        op = job.make()
        try:
            batch = op.send(None)  # type: ignore[arg-type]
            while True:
                batch = op.send([execute(sql, values) for sql, values in batch])
        except StopIteration as end:
            job.result = end.value
        except Exception as e:  # noqa: BLE001 - the caller gets it
            op.close()
            job.error = mapped(e, self._connection.path)
            if job.error is not e:
                job.error.__cause__ = e


_FULL = "PRAGMA synchronous = FULL"
_NORMAL = "PRAGMA synchronous = NORMAL"


def _cause(error: BaseException | None) -> BaseException:
    return (error.__cause__ if error is not None else None) or StorageError()
