"""How often and how long to try what a server may do later."""

from __future__ import annotations

import random
import time


class Attempts:
    """How often and how long to try.

    Args:
        seconds: Since the first failure; after that the last error is raised.
    """

    _FIRST = 0.01
    _LONGEST = 1.0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self._pause = self._FIRST

    def pause(self) -> float | None:
        """Return how long to wait before the next attempt, None if there is none."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now >= self._until:
            return None
        pause, self._pause = self._pause, min(self._pause * 2, self._LONGEST)
        # Many clients lose one server at the same moment; they shouldn't come back at the same moment.
        return min(pause * random.uniform(0.5, 1.0), self._until - now)  # noqa: S311 - no secret
