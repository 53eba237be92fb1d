"""Where sync connections come from: a pool of the saver's own, or what the caller brought."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg

from perdure.database.pooling import PoolUse
from perdure.database.postgres.connecting import SOON, Link, Threshold, check_settings, is_pooled, place_of
from perdure.errors import TransientStorageError, UsageError


class Source(Protocol):
    """Lends connections.

    Attributes:
        where: The database, for messages.
        has_served: Whether a connection was ever made: before that, an error is a wrong URL rather than a restart.
        size: How many connections may be lent at once.
    """

    where: str
    has_served: bool
    size: int
    turnstile: Turnstile

    def lend(self, timeout: float) -> Any:
        """Return a context manager of a `Link`; waits at most `timeout` seconds for one."""
        ...

    def close(self) -> None:
        """Close what the source has opened."""
        ...


def _none_free(where: str, size: int, timeout: float) -> TransientStorageError:
    return TransientStorageError(
        f"Postgres, {where}: none of {size} connections got free within {timeout:g} s",
        hint="raise `pool_size`, or make fewer calls at once",
    )


class Turnstile:
    """Lets at most so many in at once, first come, first served; knows a thread that is in already.

    Args:
        size: How many.
        where: The database, for messages.
    """

    def __init__(self, size: int, where: str) -> None:
        self._free = size
        self._size = size
        self._where = where
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._mine = threading.local()

    @property
    def use(self) -> PoolUse:
        """How many are in, and how many wait."""
        with self._lock:
            return PoolUse(self._size, self._size - self._free, len(self._waiting))

    @property
    def is_mine(self) -> bool:
        """Whether this thread is in: then this is a finalizer's call, amid its own."""
        return getattr(self._mine, "is_in", False)

    @contextmanager
    def passed(self, timeout: float) -> Iterator[None]:
        """Be in for the length of a block."""
        if self.is_mine:
            raise UsageError("a saver was used by a finalizer or a signal handler amid its own call")
        self._mine.is_in = True
        try:
            self._enter(timeout)
            try:
                yield
            finally:
                self._leave()
        finally:
            self._mine.is_in = False

    def _enter(self, timeout: float) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            if turn.wait(timeout):
                return
        except BaseException:  # a signal: this thread goes, its place must not go with it
            if not self._stop_waiting(turn):
                self._leave()
            raise
        if self._stop_waiting(turn):
            raise _none_free(self._where, self._size, timeout)

    def _stop_waiting(self, turn: threading.Event) -> bool:
        """Leave the queue; False if the turn has come meanwhile."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return True
            return False

    def _leave(self) -> None:
        with self._lock:
            # The place is handed on: whoever comes now must not be faster than those who wait.
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


class Preparing:
    """Decides whether statements are prepared, once for a source: all its connections lead to the same place.

    Args:
        threshold: What was asked for. Of connections that were brought, their own counts, unless a pooler is there.
    """

    def __init__(self, threshold: Threshold = "auto") -> None:
        self.threshold: int | None = SOON if threshold == "auto" else threshold
        self._prepare: bool | None = None
        self._is_decided = threshold != "auto"

    def settle(self, link: Link) -> Link:
        """Let a connection prepare statements, or not."""
        if not self._is_decided:
            self._prepare = False if is_pooled(link.connection) else None
            self._is_decided = True
        link.prepare = self._prepare
        return link


class Pool:
    """Opens connections when they are needed, and keeps them; the one that was used last is lent first.

    A kept connection is looked at before it is lent: whether the server has hung up can be seen without a round trip.

    Args:
        parameters: Of the connection.
        size: At most so many connections.
        prepare_threshold: After how many uses a statement is prepared.
    """

    _LONGEST_IDLE = 600.0

    def __init__(self, parameters: dict[str, Any], size: int, prepare_threshold: Threshold) -> None:
        self.where = place_of(parameters)
        self.size = size
        self.has_served = False
        self.turnstile = Turnstile(size, self.where)
        self._parameters = parameters
        self._preparing = Preparing(prepare_threshold)
        self._idle: list[tuple[Link, float]] = []
        self._pid = os.getpid()
        self._closed = False

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Link]:
        self._check_usable()
        with self.turnstile.passed(timeout):
            link = self._take() or self._open()
            usable = False
            try:
                yield link
                usable = True
            except Exception:
                usable = True  # once what the error left open is ended; after a signal nobody knows what is under way
                raise
            finally:
                self._give_back(link, usable=usable and link.restore())

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("the saver is closed", hint="use it inside of its `with` block")
        if os.getpid() != self._pid:
            # The sockets are the parent's too: two processes must never write to one.
            raise UsageError(
                "the saver was opened before this process was forked",
                hint="open a saver in each process: a connection can't be shared by two",
            )

    def _take(self) -> Link | None:
        """Return a kept connection that is alive."""
        while self._idle:
            try:
                link, since = self._idle.pop()
            except IndexError:  # another thread took it
                return None
            if time.monotonic() - since < self._LONGEST_IDLE and link.is_alive():
                return link
            link.connection.close()
        return None

    def _open(self) -> Link:
        connection = psycopg.Connection.connect(
            **self._parameters, autocommit=True, prepare_threshold=self._preparing.threshold
        )
        self.has_served = True
        try:
            return self._preparing.settle(Link(connection))
        except BaseException:
            connection.close()
            raise

    def _give_back(self, link: Link, *, usable: bool) -> None:
        if usable and not self._closed:
            self._idle.append((link, time.monotonic()))
        else:
            link.connection.close()
        if self._closed:
            self.close()

    def __del__(self) -> None:
        self.close()  # whoever forgot has been warned by the saver

    def close(self) -> None:
        """Close the kept connections; a lent one is closed when it comes back."""
        self._closed = True
        if os.getpid() != self._pid:
            return  # they are the parent's
        while self._idle:
            try:
                self._idle.pop()[0].connection.close()
            except IndexError:
                return


class Single:
    """One connection that the caller brought, and closes."""

    size = 1
    has_served = True

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        check_settings(connection)
        self.where = place_of(connection.info.get_parameters())
        self.turnstile = Turnstile(1, self.where)
        self._link = Link(connection)
        self._preparing = Preparing()
        self._pid = os.getpid()

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Link]:
        with self.turnstile.passed(timeout):
            if self._link.connection.closed or os.getpid() != self._pid:
                raise UsageError(
                    f"the connection to {self.where} is closed, or another process's",
                    hint="a saver can't open the caller's connection anew: use `from_conn_string`, or a pool",
                )
            check_settings(self._link.connection)
            try:
                yield self._preparing.settle(self._link)
            finally:
                self._link.restore()

    def close(self) -> None:
        """Leave the connection to the caller."""


class Brought:
    """A `psycopg_pool.ConnectionPool` that the caller brought, and closes."""

    has_served = True

    def __init__(self, pool: Any) -> None:
        self.size = pool.max_size
        self.where = f"pool {pool.name!r}"
        self.turnstile = Turnstile(self.size, self.where)
        self._preparing = Preparing()
        self._pool = pool

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Link]:
        with self.turnstile.passed(timeout):
            connection = self._pool.getconn(timeout)
            try:
                check_settings(connection)
                link = _link_of(connection)
                # The pool may have kept a connection that the server has ended since.
                if not link.is_alive():
                    connection.close()
                    raise psycopg.OperationalError("the server had ended the connection")
                yield self._preparing.settle(link)
                link.restore()
            except psycopg.Error:
                _ = connection.closed or _link_of(connection).restore()
                raise
            finally:
                self._pool.putconn(connection)

    def close(self) -> None:
        """Leave the pool to the caller."""


def _link_of(connection: Any) -> Link:
    link: Link | None = getattr(connection, _KEPT, None)
    if link is None:
        link = Link(connection)
        setattr(connection, _KEPT, link)
    return link


_KEPT = "_perdure_link"
