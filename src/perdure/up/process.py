"""A process, known by its pid and by when it started, so that a signal never reaches another one."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

from perdure.checkpoint.liveness import start_of


class Process:
    """A process of this machine.

    Args:
        pid: Its id.
        started: When it started, in ticks since boot.
        popen: What started it, if this very process did.
    """

    def __init__(self, pid: int, started: str, popen: subprocess.Popen[Any] | None = None) -> None:
        self.pid = pid
        self.started = started
        self._popen = popen

    @classmethod
    def of(cls, popen: subprocess.Popen[Any]) -> Process:
        """Return one that was just started. It can't be reaped yet, so the pid is its own."""
        return cls(popen.pid, start_of(popen.pid) or "", popen)

    def ended(self) -> str | None:
        """Tell how it ended; None while it runs."""
        if self._popen is not None:
            code = self._popen.poll()
            return None if code is None else _said(code)
        with suppress(ChildProcessError):  # not a child of ours: one that was found
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return None if pid == 0 else _said(os.waitstatus_to_exitcode(status))
        return None if self.runs else "ended"

    @property
    def runs(self) -> bool:
        """Whether it does."""
        return self.pid > 0 and bool(self.started) and start_of(self.pid) == self.started

    def send(self, sig: signal.Signals) -> bool:
        """Send a signal; return whether it was there to get it."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (ProcessLookupError, ValueError, OverflowError):
            return False
        try:
            if not self.runs:  # asked while the descriptor holds the process: it can't change any more
                return False
            signal.pidfd_send_signal(descriptor, sig)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def _said(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
