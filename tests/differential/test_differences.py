"""The table of deliberate differences is true: each shows where it is said to, and is documented."""

from pathlib import Path

import pytest
from tests.differential import cases
from tests.differential.differences import DIFFERENCES, EVERYWHERE
from tests.differential.scenario import CASES, compare

cases.load()
SHOWN = [(name, case.name) for case in CASES.values() for name in case.differs]


@pytest.mark.parametrize(("difference", "name"), SHOWN)
async def test_a_named_difference_shows(difference, name, pair):
    case = CASES[name]
    asynchronous = case.only == "async"
    assert await compare(case, *pair, asynchronous=asynchronous, apart_from=difference)


@pytest.mark.parametrize(("difference", "name"), [("errors-read-back", "node_fails_once")])
async def test_a_difference_everywhere_shows(difference, name, pair):
    assert difference in EVERYWHERE
    assert await compare(CASES[name], *pair, asynchronous=False, apart_from=difference)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_it_is_documented(name):
    page = (Path(__file__).parents[2] / "docs" / "differences.md").read_text()
    assert f"- {DIFFERENCES[name].reason}\n" in page


def test_no_difference_is_without_a_case():
    assert {name for name, _ in SHOWN} == DIFFERENCES.keys() - set(EVERYWHERE)
