"""Every deliberate difference in behaviour from the reference: one entry, one reason, one line in the documentation.

`reconcile` takes out of a transcript what the difference is about, and nothing else. It applies only to cases
that name the difference, and a test fails when a case that names one doesn't show it any more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """A named difference; the reason is the line in docs/differences.md."""

    reason: str
    reconcile: Callable[[Any], Any]


DIFFERENCES: dict[str, Difference] = {}
