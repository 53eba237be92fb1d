"""What a saver says of its database; see `BaseCheckpointSaver.diagnose`."""

from __future__ import annotations

import enum
import time
from typing import Final, NamedTuple

__all__ = ["Check", "Verdict", "check_clock", "judge"]

_CLOCK: Final = 1.0
"""Seconds that clocks may differ without a remark: leases last ten times as long."""


class Verdict(enum.StrEnum):
    """What a fact means."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


class Check(NamedTuple):
    """A fact about a database, and what it means.

    Attributes:
        name: What was looked at.
        found: What was found.
        verdict: Whether that is well.
        advice: What to know, or to do.
    """

    name: str
    found: str
    verdict: Verdict = Verdict.OK
    advice: str = ""


def judge(name: str, found: object, *, is_well: bool, advice: str, otherwise: Verdict = Verdict.BAD) -> Check:
    """Make a check whose advice counts only where something isn't well."""
    return Check(name, str(found)) if is_well else Check(name, str(found), otherwise, advice)


def check_clock(theirs: float, advice: str) -> Check:
    """Compare a server's clock, in seconds since 1970, with this machine's."""
    off = theirs - time.time()
    return judge("clock difference", f"{off:+.2f} s", is_well=abs(off) <= _CLOCK, advice=advice, otherwise=Verdict.NOTE)
