"""The hand-picked graphs on both packages, in both colours."""

import pytest
from tests.differential import cases
from tests.differential.scenario import CASES, compare

cases.load()
COLOURED = [
    pytest.param(name, colour, id=f"{name}-{colour}")
    for name, case in sorted(CASES.items())
    for colour in ("sync", "async")
    if case.only in {None, colour}
]


@pytest.mark.parametrize(("name", "colour"), COLOURED)
async def test_same_behaviour(name, colour, pair):
    found = await compare(CASES[name], *pair, asynchronous=colour == "async")
    assert not found, f"{name} on {pair[1]}, the reference's value first:\n" + "\n".join(found)


def test_there_are_at_least_sixty_graphs():
    assert len(CASES) >= 60
