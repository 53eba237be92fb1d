"""The report of a saver: which groups of cases it passes, and the level that comes of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from perdure.checkpoint.conformance import (
    commits,
    crashing,
    deleting,
    keeping,
    leases,
    pruning,
    reading,
    sealed,
    together,
    writing,
)
from perdure.checkpoint.conformance.case import COLOURS, Case
from perdure.checkpoint.conformance.opening import Make, load, opened, takes_serde
from perdure.checkpoint.conformance.running import cases_for, run

LEVELS: Final = ("none", "contract", "guarded", "durable")
"""Each has what those before it have.

`contract`: whatever a checkpointer of LangGraph's does, in both colours, also for several callers at once.
`guarded`: a superstep is one commit, compared with the head, and threads are leased: no update is lost.
`durable`: what was acknowledged outlives the process; what is encrypted is bound to a key.
"""

_GROUPS: Final = {
    "writing": (writing.CASES, "contract"),
    "reading": (reading.CASES, "contract"),
    "deleting": ([*deleting.CASES, *pruning.CASES], "contract"),
    "together": (together.CASES, "contract"),
    "commits": (commits.CASES, "guarded"),
    "leases": (leases.CASES, "guarded"),
    "keeping": (keeping.CASES, None),
}


class Failed(NamedTuple):
    """A case that failed."""

    case: str
    colour: str
    error: str


@dataclass
class Group:
    """Cases that belong together.

    Attributes:
        name: Their name.
        level: The level that needs them; None: none does.
        passed: How many passed, each colour by itself.
        failed: Those that failed.
        absent: Why some were not asked for; None: all were.
    """

    name: str
    level: str | None
    passed: int = 0
    failed: list[Failed] = field(default_factory=list)
    absent: str | None = None

    @property
    def is_well(self) -> bool:
        """Whether all were asked for, and passed."""
        return not self.failed and self.absent is None


@dataclass
class Report:
    """What was found of a saver.

    Attributes:
        saver: Its class.
        groups: The groups, in the order of the levels.
    """

    saver: str
    groups: list[Group]

    @property
    def level(self) -> str:
        """The highest level of which every group is well, and of those before it."""
        reached = LEVELS[0]
        for level in LEVELS[1:]:
            if not all(group.is_well for group in self.groups if group.level == level):
                break
            reached = level
        return reached

    @property
    def has_failed(self) -> bool:
        """Whether a case failed that applies to the saver."""
        return any(group.failed for group in self.groups)


def examine(spec: str, tell: Callable[[Group], None] = lambda _: None) -> Report:
    """Run everything that applies to a saver.

    Args:
        spec: `module:function`, what opens it: see `perdure.checkpoint.conformance.opening`.
        tell: Is told of each group when it is done.

    Raises:
        UsageError: There is no such function.
    """
    make = load(spec)
    with tempfile.TemporaryDirectory(prefix="perdure-conformance-") as folder:
        places = _places(Path(folder))
        with opened(make, next(places)) as saver:
            report = Report(f"{type(saver).__module__}.{type(saver).__qualname__}", [])
            applying = cases_for(saver)
        for name, (cases, level) in _GROUPS.items():
            group = Group(name, level)
            _run_cases(make, places, group, [case for case in cases if case in applying])
            if lacking := {case.name for case in cases} - {case.name for case in applying}:
                group.absent = f"the saver doesn't declare what {len(lacking)} cases need"
            if name == "together":
                group.absent = None  # what it lacks is told by the groups after it
            report.groups.append(group)
            tell(group)
        for group in _outliving(spec, make, places):
            report.groups.append(group)
            tell(group)
    return report


def _places(folder: Path) -> Iterator[str]:
    n = 0
    while True:
        n += 1
        (folder / str(n)).mkdir()
        yield str(folder / str(n))


def _run_cases(make: Make, places: Iterator[str], group: Group, cases: list[Case]) -> None:
    for case in cases:
        for colour in COLOURS:

            def once(case: Case = case, colour: Any = colour) -> None:
                with opened(make, next(places)) as saver:
                    run(case, saver, colour)

            _note(group, case.name, colour, once)


def _note(group: Group, name: str, colour: str, once: Callable[[], None]) -> None:
    try:
        once()
    except Exception as error:  # noqa: BLE001 - whatever somebody else's code raises is a failure to report
        group.failed.append(Failed(name, colour, f"{type(error).__name__}: {error}"))
    else:
        group.passed += 1


def _outliving(spec: str, make: Make, places: Iterator[str]) -> Iterator[Group]:
    """Run what takes a saver that keeps something after it is closed."""
    absent = None if crashing.is_durable(make, next(places)) else "nothing is kept after the saver is closed"
    crash = Group("crash", "durable", absent=absent)
    if absent is None:
        _note(crash, "what was acknowledged outlives a kill", "sync", lambda: crashing.survive(spec, next(places)))
    yield crash
    if not takes_serde(make):
        absent = "the function takes no `serde`"
    encryption = Group("encryption", "durable", absent=absent)
    if absent is None:
        _note(encryption, "what is encrypted needs its key", "sync", lambda: sealed.check(make, next(places)))
    yield encryption
