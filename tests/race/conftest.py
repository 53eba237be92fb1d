"""The savers that races are run on."""

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer"])
def url(request, tmp_path):
    """Where processes meet."""
    if request.param != "sqlite":
        return request.getfixturevalue("database" if request.param == "postgres" else "pooled_database")
    return f"sqlite:///{tmp_path / 'race.db'}"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def saver(request, tmp_path):
    if request.param == "memory":
        yield InMemorySaver()
        return
    if request.param == "postgres":
        with open_saver(request.getfixturevalue("database")) as opened:
            yield opened
        return
    with open_saver(f"sqlite:///{tmp_path / 'race.db'}", synchronous="NORMAL") as opened:
        yield opened
