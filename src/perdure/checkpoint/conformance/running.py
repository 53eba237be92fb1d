"""The cases, and how one is run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance import commits, deleting, keeping, leases, pruning, reading, together, writing
from perdure.checkpoint.conformance.case import Case, Colour, paint


def cases() -> list[Case]:
    """Return all cases."""
    rooms = (writing, reading, deleting, pruning, commits, leases, together, keeping)
    return [case for room in rooms for case in room.CASES]


def cases_for(saver: BaseCheckpointSaver[Any]) -> list[Case]:
    """Return the cases that apply to a saver, by what it declares."""
    own_commit = type(saver).prepare is not BaseCheckpointSaver.prepare
    has = {"commit": own_commit, "leases": saver.leases, "rules": saver.has_rules}
    return [case for case in cases() if all(has[need] for need in case.needs)]


def run(case: Case, saver: BaseCheckpointSaver[Any], colour: Colour = "sync") -> None:
    """Run one case.

    Raises:
        Failure: The saver doesn't keep the contract; says how.
    """
    asyncio.run(_await(case.body(paint(saver, colour))))


async def _await(body: Awaitable[None]) -> None:
    await body
