"""Something that is done again and again until the process is told to stop; a failure is told, and isn't the end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Final

from perdure.cli import render
from perdure.errors import PerdureError
from perdure.ops.progress import OnProgress, Tally

_SOON: Final = 60.0
"""Seconds after which what failed is tried again, at the latest."""


class Stopped(BaseException):
    """The process was told to stop."""


class Stopping:
    """Hears SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self._heard = threading.Event()
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._hear)

    def _hear(self, sig: int, frame: FrameType | None) -> None:
        self._heard.set()

    def look(self, tally: Tally) -> None:
        """End what is under way, where it tells how far it is."""
        if self._heard.is_set():
            raise Stopped

    def within(self, seconds: float) -> bool:
        """Wait; return whether the process was told to stop."""
        return self._heard.wait(max(0.0, seconds))


def repeated(once: Callable[[OnProgress], None], pause: float, stopping: Stopping) -> None:
    """Do something, and again so many seconds after each begin; return when the process is told to stop.

    What fails is tried again after the pause, or a minute, whichever is shorter. What is under way at a stop ends
    where it tells how far it is.
    """
    try:
        while True:
            begin = time.monotonic()
            wait = pause
            try:
                once(stopping.look)
            except (PerdureError, OSError) as error:
                render.print_error(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {error}")
                wait = min(pause, _SOON)
            if stopping.within(begin + wait - time.monotonic()):
                return
    except Stopped:
        return
