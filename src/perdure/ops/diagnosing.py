"""Whether a database is fit for its work: versions, settings, rights, the clock, and how long a question takes."""

from __future__ import annotations

import platform
from statistics import median
from time import perf_counter
from typing import Final

from perdure import __version__
from perdure.checkpoint.diagnosis import Check, Verdict, judge
from perdure.ops.opening import Where, opened
from perdure.ops.reading import Saver

__all__ = ["doctor"]

_QUESTIONS: Final = 5
_SLOW: Final = 0.05


def doctor(where: Where) -> list[Check]:
    """Look at how a database is set up; no thread is read.

    Args:
        where: A URL, a saver, or a `Database`.

    Raises:
        UsageError: No installed saver knows the URL.
        StorageError: The database can't be reached, or its tables are newer than this program.
    """
    with opened(where, recognise=False) as database:
        saver = database.saver
        found = [Check("perdure", f"{__version__}, Python {platform.python_version()}")]
        found.append(_latency(saver))
        found += saver.diagnose()
        if not saver.leases:
            advice = "nothing keeps two processes from running one thread at once: run one process"
            found.append(Check("leases", "none", Verdict.NOTE, advice))
        return found


def _latency(saver: Saver) -> Check:
    times = []
    for _ in range(_QUESTIONS + 1):
        start = perf_counter()
        next(saver.threads(limit=1), None)
        times.append(perf_counter() - start)
    took = median(times[1:])  # the first one connects
    advice = "a superstep takes at least as long: bring the program nearer to the database"
    return judge("a question", f"{took * 1000:.2f} ms", is_well=took < _SLOW, advice=advice, otherwise=Verdict.NOTE)
