"""Sleeps that outlive the process.

When a task falls asleep, the moment at which it wakes is stored. A short sleep is waited out; for a longer one the run
stops, as it does to ask a question, and the question says until when. A run that is resumed after that moment goes on
behind the sleep; one that is resumed before it stops again.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from perdure.errors import GraphInterrupt, UsageError
from perdure.pregel.events import AWAITED, UNTIL
from perdure.types import Interrupt

if TYPE_CHECKING:
    from perdure.pregel.scope import TaskScope

WAITED_OUT: Final = 1.0
"""Seconds up to which a sleep is waited out: to stop and to start again costs more."""

_UNTIL: Final = "sleep_until"


def moment(seconds: float | timedelta | None, until: datetime | None) -> float:
    """Return when a sleep ends, in seconds since 1970.

    Raises:
        UsageError: Neither or both are given, or they aren't what they should be.
    """
    if (seconds is None) == (until is None):
        raise UsageError("a sleep takes seconds, or until=...: one of them")
    if until is not None:
        if not isinstance(until, datetime):
            raise UsageError(f"until must be a datetime, not {until!r}")
        return until.timestamp()
    given = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if not isinstance(given, (int, float)) or isinstance(given, bool) or not given >= 0:
        raise UsageError(f"a sleep takes a number of seconds from 0 on, or a timedelta, not {seconds!r}")
    return time.time() + given


def key_of(scope: TaskScope) -> str:
    """Name a task's next sleep."""
    scope.slept += 1
    return f"sleep {scope.slept}"


def left(scope: TaskScope, key: str, wakes: float) -> float:
    """Return how long to wait here, in seconds; 0 if the sleep is over.

    Raises:
        GraphInterrupt: It is too long for that: the run stops.
    """
    rest = wakes - time.time()
    if rest > WAITED_OUT and scope.run.saver is not None:
        until = datetime.fromtimestamp(wakes, UTC).isoformat()
        raise GraphInterrupt((Interrupt(value={_UNTIL: until}, id=scope.calls.id_of("sleep", key).replace("-", "")),))
    return max(0.0, rest)


class TimedWait(NamedTuple):
    """What a thread waits for that isn't a person.

    Attributes:
        until: When the wait ends by itself; None for never.
        event: The name of the event that ends it, if one does.
    """

    until: datetime | None
    event: str | None = None


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def wait_of(interrupt: Any) -> TimedWait | None:
    """Return what an interrupt waits for; None if it asks a person."""
    value = interrupt.value
    if not isinstance(value, dict):
        return None
    if value.keys() == {_UNTIL}:
        until = _moment_of(value[_UNTIL])
        return TimedWait(until) if until is not None else None
    if AWAITED in value and value.keys() <= {AWAITED, UNTIL}:
        return TimedWait(_moment_of(value.get(UNTIL)), value[AWAITED])
    return None


def _moment_of(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None
