"""What most of these tests run on."""

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def saver(request, tmp_path):
    if request.param == "memory":
        yield InMemorySaver()
        return
    url = f"sqlite:///{tmp_path / 'x.db'}" if request.param == "sqlite" else request.getfixturevalue("database")
    with open_saver(url) as opened:
        yield opened
