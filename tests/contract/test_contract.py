"""Every saver keeps the contract, in both colours."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.checkpoint import conformance
from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance import Case
from perdure.checkpoint.conformance.case import Colour


@pytest.mark.parametrize("colour", conformance.COLOURS)
@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract(case: Case, saver: BaseCheckpointSaver[Any], colour: Colour) -> None:
    if case not in conformance.cases_for(saver):
        assert not saver.leases, "only a saver without leases may leave cases out here"
        return
    conformance.run(case, saver, colour)
