"""Who holds a lease, and whether that process is still alive.

A holder's name says in which boot, which pid namespace and which process it lives, and when that process started, so
that another process of the same kernel can tell that it is dead, although its pid may be in use again. Where
`/proc` can't tell, a lease is free only when it expires.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_PREFIX = "linux"


def holder(unique: str) -> str:
    """Name a holder of this process.

    Args:
        unique: What tells it from the others of this process, such as a run id.
    """
    return f"{_process(os.getpid())}/{unique}"


@cache
def _process(pid: int) -> str:
    here, started = _here(), start_of(pid)
    if here is None or started is None:
        return f"other//{pid}/"
    return f"{_PREFIX}/{here}/{pid}/{started}"


def _here() -> str | None:
    """Return what this kernel and pid namespace are called."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def start_of(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if it doesn't run (any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is a name that may hold anything, parentheses too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def is_dead(name: str) -> bool:
    """Tell whether a holder is known to be dead; False if it can't be known from here."""
    parts = name.split("/", 5)
    if len(parts) != 6 or parts[0] != _PREFIX or not parts[3].isdigit():
        return False
    if f"{parts[1]}/{parts[2]}" != _here():
        return False
    return start_of(int(parts[3])) != parts[4]
