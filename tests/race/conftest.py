"""The savers that races are run on."""

import os

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer", "redis", "s3"])
def url(request, tmp_path):
    """Where processes meet."""
    if request.param == "redis":
        return request.getfixturevalue("empty_valkey").url
    places = {"postgres": "database", "pgbouncer": "pooled_database", "s3": "bucket"}
    if request.param in places:
        return request.getfixturevalue(places[request.param])
    return f"sqlite:///{tmp_path / 'race.db'}"


KINDS = ["memory", "sqlite", "postgres"]
if os.environ.get("PERDURE_TEST_S3_RACES"):  # half a minute more; what meets at a `url` runs on S3 in any case
    KINDS.append("s3")
EVERY_KIND = pytest.mark.parametrize("saver", [*KINDS, "redis"], indirect=True)


@pytest.fixture(params=KINDS)
def saver(request, tmp_path):
    """Of each kind; on Redis where a test asks for `EVERY_KIND`: what is the engine's alone needn't run there too."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    if request.param in {"postgres", "redis", "s3"}:
        places = {"postgres": "database", "redis": "empty_valkey", "s3": "bucket"}
        fixture = request.getfixturevalue(places[request.param])
        with open_saver(getattr(fixture, "url", fixture)) as opened:
            yield opened
        return
    with open_saver(f"sqlite:///{tmp_path / 'race.db'}", synchronous="NORMAL") as opened:
        yield opened
