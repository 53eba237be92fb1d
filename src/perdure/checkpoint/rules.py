"""How long a thread is kept: a time to live of its own, and a legal hold."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

from perdure.errors import InvalidConfigError, ThreadHeldError

__all__ = ["NEVER", "SAME", "Change", "Rules", "Same", "Ttl", "change_of", "check_free", "opened_rules"]

NEVER: Final = "never"
"""The time to live of a thread that rests for ever, whatever the default is."""


class Same(enum.Enum):
    """What stands for a rule that isn't given."""

    SAME = enum.auto()


SAME: Final = Same.SAME
"""Leaves a rule as it is."""

Ttl = timedelta | Literal["never"] | None
"""How long after its last checkpoint a thread expires; None: as the default of whoever sweeps says."""

_NEVER: Final = -1.0


class Rules(NamedTuple):
    """What was said of how long a thread is kept.

    Attributes:
        ttl: How long after its last checkpoint it expires; `NEVER`; or None: as the default says.
        hold: Why nothing of it may be deleted; None: it may.
    """

    ttl: Ttl = None
    hold: str | None = None


class Change(NamedTuple):
    """A change of a thread's rules, as it is stored.

    Attributes:
        ttl: Seconds, less than 0 for never, None for the default.
        hold: The reason, None for no hold.
        sets_ttl: Whether `ttl` is to be stored.
        sets_hold: Whether `hold` is to be stored.
    """

    ttl: float | None
    hold: str | None
    sets_ttl: bool
    sets_hold: bool

    def over(self, ttl: float | None, hold: str | None) -> tuple[float | None, str | None]:
        """Return what is to be stored, by what was."""
        return (self.ttl if self.sets_ttl else ttl), (self.hold if self.sets_hold else hold)


def change_of(ttl: Ttl | Same, hold: str | None | Same) -> Change:
    """Check a change of rules.

    Raises:
        InvalidConfigError: A time isn't more than nothing, or a reason is empty.
    """
    seconds: float | None = None
    if isinstance(ttl, timedelta):
        seconds = ttl.total_seconds()
    elif ttl == NEVER:
        seconds = _NEVER
    elif ttl is not None and ttl is not SAME:
        raise InvalidConfigError(f"ttl must be a timedelta, NEVER or None, not {ttl!r}")
    if seconds is not None and seconds <= 0 and ttl != NEVER:
        raise InvalidConfigError(f"ttl must be more than nothing, not {ttl}")
    reason = None if hold is SAME else hold
    if reason is not None and (not isinstance(reason, str) or not reason.strip() or "\x00" in reason):
        raise InvalidConfigError(
            f"hold must be a reason in words, or None, not {hold!r}", hint="say who asked, and for what"
        )
    return Change(seconds, reason, ttl is not SAME, hold is not SAME)


def opened_rules(ttl: float | None, hold: str | None) -> Rules:
    """Return rules as they are shown, from what is stored."""
    shown: Ttl = None
    if ttl is not None:
        shown = NEVER if ttl < 0 else timedelta(seconds=ttl)
    return Rules(shown, hold)


def check_free(thread_id: str, rows: Sequence[Sequence[Any]]) -> None:
    """Check that something of a thread may be deleted.

    Args:
        thread_id: The thread.
        rows: What is stored of its rules: nothing, or a row of time to live and hold.

    Raises:
        ThreadHeldError: It is on hold.
    """
    if rows and rows[0][1] is not None:
        raise held(thread_id, rows[0][1])


def held(thread_id: str, reason: str) -> ThreadHeldError:
    """Make the error for a thread that is on hold."""
    return ThreadHeldError(
        f"thread {thread_id!r} is on hold, so nothing of it may be deleted: {reason}",
        hint="nothing was changed; whoever may lift the hold calls saver.keep(thread_id, hold=None)",
        thread_id=thread_id,
        reason=reason,
    )
