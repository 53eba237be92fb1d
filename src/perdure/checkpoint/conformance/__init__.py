"""The suite that every saver must pass; public, for savers of third parties.

With pytest, in a file of the saver's own tests:

```python
import pytest
from perdure.checkpoint import conformance


@pytest.mark.parametrize("colour", conformance.COLOURS)
@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract(case, colour):
    with MySaver() as saver:
        conformance.run(case, saver, colour)
```

Each case needs an empty store. A case that needs what the saver doesn't declare (`leases`, `has_rules`, or
`prepare` and `commit` of its own) is not in `cases_for(saver)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance import commits, deleting, keeping, leases, pruning, reading, writing
from perdure.checkpoint.conformance.case import COLOURS, Case, Colour, Failure, paint

__all__ = ["COLOURS", "Case", "Failure", "cases", "cases_for", "run"]


def cases() -> list[Case]:
    """Return all cases."""
    rooms = (writing, reading, deleting, pruning, commits, leases, keeping)
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
