"""Which two packages are compared: `DIFFERENTIAL_PAIR=langgraph,langgraph` checks the harness itself."""

import os

import pytest


@pytest.fixture
def pair() -> tuple[str, str]:
    first, second = os.environ.get("DIFFERENTIAL_PAIR", "langgraph,perdure").split(",")
    return first, second
