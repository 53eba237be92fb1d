"""Deleting what has expired, from time to time."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future
from typing import Any, Protocol

from perdure.errors import TransientStorageError


class Sweeping(Protocol):
    """A store that can be swept."""

    def sweep_ttl(self) -> int:
        """Delete what has expired; return how much that was."""
        ...


class Sweeper:
    """A thread that sweeps a store until it is stopped, or the store is gone.

    Args:
        store: The store.
        seconds: How often.
    """

    def __init__(self, store: Any, seconds: float) -> None:
        self._store = weakref.ref(store)
        self._seconds = seconds
        self._stop = threading.Event()
        self.ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name="perdure-sweeper", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            while not self._stop.wait(self._seconds):
                store = self._store()
                if store is None:
                    break
                try:
                    store.sweep_ttl()
                except TransientStorageError:
                    continue  # what has expired isn't returned anyway: the next time will do
                finally:
                    del store
        except BaseException as error:  # noqa: BLE001 - told to whoever stops the sweeper
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)

    def stop(self, timeout: float | None) -> bool:
        """End the thread; tell whether it has ended in time.

        Raises:
            StorageError: What ended it before.
        """
        self._stop.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self.ended.result()
        return True
