"""What takes time with a child, as generators that the supervisor's loop drives one step a tick."""

from __future__ import annotations

import signal
import time
from collections.abc import Generator
from typing import Final

from perdure.up.children import Child, Kind

Steps = Generator[None, None, None]
Answer = Generator[None, None, bool]

_PATIENCE: Final = 15.0
"""Seconds more than the grace before a child is killed; it gives itself 10."""
_LEAVING: Final = 0.5
_STARTING: Final = 60.0
"""Seconds in which a new child has to become ready."""


def ready(child: Child) -> Answer:
    """Wait until a child is ready; return whether it is, and hasn't ended or taken too long."""
    deadline = time.monotonic() + _STARTING
    while child.process is not None and not child.state.ready and time.monotonic() < deadline:
        yield
    return child.process is not None and child.state.ready


def leave(old: Child) -> Steps:
    """Let an API process accept no more, and read what is asked on the connections that it has accepted."""
    old.wanted = False
    if old.process is not None:
        old.process.send(signal.SIGUSR1)
    deadline = time.monotonic() + _LEAVING
    while old.process is not None and time.monotonic() < deadline:
        yield


def stop(children: list[Child], grace: float) -> Steps:
    """Ask children to stop, and wait for it; those that take longer than their grace are killed."""
    for child in children:
        child.wanted = False
        if child.process is not None:
            child.process.send(signal.SIGINT if child.kind == Kind.POSTGRES else signal.SIGTERM)
    deadline = time.monotonic() + grace + _PATIENCE
    while any(child.process for child in children):
        for child in children:
            if child.process is not None and (told := child.process.ended()) is not None:
                child.end(told)
            elif child.process is not None and time.monotonic() > deadline:
                child.process.send(signal.SIGKILL)
        yield
