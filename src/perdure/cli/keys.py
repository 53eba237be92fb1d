"""Single keys of a terminal."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pressed() -> Iterator[Callable[[float], str]]:
    """Give what waits so many seconds for a key, and returns it, or nothing; without a keyboard it only waits."""
    try:
        import termios
        import tty
    except ImportError:  # not a terminal as Unix has them
        yield _wait
        return
    if not sys.stdin.isatty():
        yield _wait
        return
    old = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield lambda seconds: sys.stdin.read(1) if select.select([sys.stdin], [], [], seconds)[0] else ""
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, old)


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""
