"""How long threads are kept, carried from one database to another. What the target says by itself stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from perdure.checkpoint.rules import NEVER, SAME, Rules
from perdure.errors import CorruptCheckpointError
from perdure.ops.reading import Saver


def set_rules(target: Saver, thread_id: str, rules: Rules) -> bool:
    """Give a thread rules, as far as it has none; tell whether the target can."""
    if rules == Rules():
        return True
    if not target.has_rules:
        return False
    has = target.rules_of(thread_id)
    ttl = SAME if rules.ttl is None or has.ttl is not None else rules.ttl
    hold = SAME if rules.hold is None or has.hold is not None else rules.hold
    if ttl is not SAME or hold is not SAME:
        target.keep(thread_id, ttl=ttl, hold=hold)
    return True


def of_rules(thread_id: str, rules: Rules) -> list[Any]:
    """Make the record of a thread's rules."""
    ttl = rules.ttl.total_seconds() if isinstance(rules.ttl, timedelta) else rules.ttl
    return ["rules", thread_id, ttl, rules.hold]


def to_rules(record: list[Any]) -> tuple[str, Rules]:
    """Return a thread and its rules, of their record.

    Raises:
        CorruptCheckpointError: It is none.
    """
    try:
        _, thread_id, ttl, hold = record
        return thread_id, Rules(ttl if ttl is None or ttl == NEVER else timedelta(seconds=ttl), hold)
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptCheckpointError("a record of a backup isn't the rules that it claims to be") from error
