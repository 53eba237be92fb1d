"""Random graphs and scenarios on both packages; `DIFFERENTIAL_EXAMPLES=5000` runs a long campaign."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from tests.differential.generated import case_of, scenarios
from tests.differential.scenario import compare

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXAMPLES or 100,
    derandomize=not EXAMPLES,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.timeout(600 if not EXAMPLES else 0)
@pytest.mark.parametrize("colour", ["sync", "async"])
@SETTINGS
@given(scenario=scenarios())
def test_same_behaviour_of_random_graphs(scenario, colour, pair):
    spec, script = scenario
    found = asyncio.run(compare(case_of(spec, script), *pair, asynchronous=colour == "async"))
    note("\n".join(found))
    assert not found
