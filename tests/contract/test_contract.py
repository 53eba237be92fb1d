"""Every saver keeps the contract, in both colours."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.checkpoint import conformance
from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance import Case
from perdure.checkpoint.conformance.case import Colour, checkpoint, place


def test_a_task_that_writes_again_under_another_path(saver: BaseCheckpointSaver[Any]) -> None:
    config = saver.put(place(), checkpoint({"x": 1}, {"x": 1}), {}, {"x": 1})
    saver.put_writes(config, [("x", 1)], "task", "one path")
    saver.put_writes(config, [("x", 1), ("y", 2)], "task", "another")
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [("task", "x", 1), ("task", "y", 2)]


@pytest.mark.parametrize("colour", conformance.COLOURS)
@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract(case: Case, saver: BaseCheckpointSaver[Any], colour: Colour) -> None:
    if case not in conformance.cases_for(saver):
        assert not saver.leases, "only a saver without leases may leave cases out here"
        return
    conformance.run(case, saver, colour)
