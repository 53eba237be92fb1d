"""The savers that races are run on."""

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer", "redis"])
def url(request, tmp_path):
    """Where processes meet."""
    if request.param == "redis":
        return request.getfixturevalue("empty_valkey").url
    if request.param != "sqlite":
        return request.getfixturevalue("database" if request.param == "postgres" else "pooled_database")
    return f"sqlite:///{tmp_path / 'race.db'}"


KINDS = ["memory", "sqlite", "postgres"]
EVERY_KIND = pytest.mark.parametrize("saver", [*KINDS, "redis"], indirect=True)


@pytest.fixture(params=KINDS)
def saver(request, tmp_path):
    """Of each kind; on Redis where a test asks for `EVERY_KIND`: what is the engine's alone needn't run there too."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    if request.param in {"postgres", "redis"}:
        fixture = request.getfixturevalue("database" if request.param == "postgres" else "empty_valkey")
        with open_saver(getattr(fixture, "url", fixture)) as opened:
            yield opened
        return
    with open_saver(f"sqlite:///{tmp_path / 'race.db'}", synchronous="NORMAL") as opened:
        yield opened
