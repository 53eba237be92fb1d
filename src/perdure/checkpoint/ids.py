"""Checkpoint ids: UUIDs of version 6 whose text order is their time order.

An id holds a 60-bit count of 100 ns ticks and 62 random bits that are drawn once a process (and
again in a forked child), so that ids of one process never repeat and ids of several never collide.
"""

from __future__ import annotations

import os
import threading
from time import time_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

__all__ = ["first_id", "new_id", "time_of", "uuid6"]

# Ticks between the Gregorian reform (1582-10-15), where UUID time starts, and 1970 (RFC 9562, 5.1).
_EPOCH = 0x01B21DD213814000
_LAST_TICK = (1 << 60) - 1
_FAR = 24 * 3600 * 10_000_000  # a day of ticks: no clock is that wrong
_HEX = "0123456789abcdef"
_HEX_PAIRS = [high + low for high in _HEX for low in _HEX]  # to look them up is twice as fast as to format a number

_lock = threading.Lock()
_last = 0
_high = 0  # of the last tick, all but its lowest 12 bits, and their text: they change every 0.4 ms
_start = ""
_suffix = ""


def _random_suffix() -> str:
    bits = int.from_bytes(os.urandom(8), "big")
    return f"-{0x8000 | (bits >> 48 & 0x3FFF):04x}-{bits & 0xFFFFFFFFFFFF:012x}"


def _begin_process() -> None:
    global _suffix, _lock
    _suffix = _random_suffix()
    _lock = threading.Lock()  # a fork may have copied it while another thread held it


_begin_process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_process)


def _tick_of(text: str) -> int:
    """Return a tick that no id lower than or equal to `text` has reached; 0 if `text` is no UUID."""
    try:
        if len(text) == 36 and text[14] == "6":
            return int(text[:8] + text[9:13] + text[15:18], 16)
        if len(text) == 36 and text[8] == text[13] == "-":
            return int(text[:8] + text[9:13], 16) << 12 | 0xFFF
    except ValueError:
        pass
    return 0


def new_id(after: str | None = None) -> str:
    """Make an id greater than every earlier one of this process, and greater than `after`.

    If the clock is behind either, the id continues one tick after it: the order of a thread's
    checkpoints doesn't depend on the clocks of the machines that make them. Thread-safe.

    Args:
        after: The id of the parent checkpoint. If it is not a UUID, it can't be honoured and is
            ignored. One that lies more than a day ahead is exceeded too, but later ids don't follow it.
    """
    global _last, _high, _start
    # Those of this process are all behind it.
    floor = _tick_of(after) if after and not after.endswith(_suffix) else 0
    with _lock:
        tick = time_ns() // 100 + _EPOCH
        if tick <= _last:
            tick = _last + 1
        if tick <= floor:
            if floor > tick + _FAR:
                # Somebody's mistake must not become everybody's clock.
                return _written(min(floor + 1, _LAST_TICK)) + _random_suffix()
            tick = floor + 1
        _last = tick
        if (high := tick >> 12) != _high:
            _high = high
            _start = _written(tick)[:-3]
        return f"{_start}{_HEX[tick >> 8 & 0xF]}{_HEX_PAIRS[tick & 0xFF]}{_suffix}"


def _written(tick: int) -> str:
    text = f"{tick:015x}"
    return f"{text[:8]}-{text[8:12]}-6{text[12:]}"


def first_id(moment: datetime) -> str:
    """Return an id between those that were made before a moment and those that were made later, by their clocks.

    Args:
        moment: With a time zone; without one it is in local time.
    """
    from datetime import UTC, datetime, timedelta

    ticks = (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10 + _EPOCH
    text = f"{max(0, ticks):015x}"
    return f"{text[:8]}-{text[8:12]}-6{text[12:]}-0000-000000000000"


def time_of(checkpoint_id: str) -> float | None:
    """Return when an id was made, by its maker's clock, in seconds since 1970; None if it doesn't tell."""
    if len(checkpoint_id) != 36 or checkpoint_id[14] != "6" or not (tick := _tick_of(checkpoint_id)):
        return None
    return (tick - _EPOCH) / 1e7


def uuid6(node: int | None = None, clock_seq: int | None = None) -> UUID:
    """Make a UUID of version 6, greater than every earlier one of this process.

    Args:
        node: Replaces the lowest 48 bits.
        clock_seq: Replaces the 14 bits above them.
    """
    from uuid import UUID

    value = UUID(new_id()).int
    if node is not None:
        value = value >> 48 << 48 | node & 0xFFFFFFFFFFFF
    if clock_seq is not None:
        value = value & ~(0x3FFF << 48) | (clock_seq & 0x3FFF) << 48
    return UUID(int=value)
