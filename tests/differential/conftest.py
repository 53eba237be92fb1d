"""Which two packages are compared: `DIFFERENTIAL_PAIR=langgraph,langgraph` checks the harness itself."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def pair() -> tuple[str, str]:
    first, second = os.environ.get("DIFFERENTIAL_PAIR", "langgraph,perdure").split(",")
    return first, second
