"""Runs a case on one package and returns its transcript; compares the transcripts of two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.differential.actions import Action, Session
from tests.differential.differences import DIFFERENCES, EVERYWHERE
from tests.differential.normalise import differences, relabelled
from tests.differential.package import Package

Transcript = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A graph-building function and what is done with the graph."""

    name: str
    build: Callable[[Package], Any]
    script: Sequence[Action]
    only: str | None = None  # "sync" or "async", where the graph can't run in the other colour
    differs: tuple[str, ...] = ()  # deliberate differences that this case shows: keys of DIFFERENCES


CASES: dict[str, Case] = {}


def case(*script: Action, only: str | None = None, differs: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """Register the decorated building function with its script."""

    def register(build: Callable[[Package], Any]) -> Callable[[Package], Any]:
        name = build.__name__
        if name in CASES:
            raise ValueError(f"two cases are named {name}")
        CASES[name] = Case(name, build, script, only, differs)
        return build

    return register


async def transcript(case_: Case, package: str, *, asynchronous: bool) -> Transcript:
    """Perform the script; an error ends an action, not the scenario."""
    session = Session(Package(package), None, asynchronous)
    try:
        session.graph = case_.build(session.package)
    except ImportError:
        raise  # a name that the package lacks is no behaviour
    except Exception as error:
        return [{"action": "build", "outcome": session.normalise.raised(error)}]
    entries: Transcript = []
    for action in case_.script:
        session.package.ran.clear()
        try:
            outcome = await action.perform(session)
        except ImportError:
            raise
        except Exception as error:
            outcome = session.normalise.raised(error)
        entries.append({"action": type(action).__name__, "outcome": outcome, "ran": sorted(session.package.ran)})
    return entries


async def compare(
    case_: Case, first: str, second: str, *, asynchronous: bool, apart_from: str | None = None
) -> list[str]:
    """Return where the second package's transcript differs from the first's, deliberate differences aside.

    The one named by `apart_from` isn't set aside.
    """
    one = await transcript(case_, first, asynchronous=asynchronous)
    two = await transcript(case_, second, asynchronous=asynchronous)
    for name in (*EVERYWHERE, *case_.differs):
        if name == apart_from:
            continue
        one, two = DIFFERENCES[name].reconcile(one), DIFFERENCES[name].reconcile(two)
    return differences(relabelled(one), relabelled(two))
