"""The savers that races are run on."""

import os

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer", "s3"])
def url(request, tmp_path):
    """Where processes meet."""
    places = {"postgres": "database", "pgbouncer": "pooled_database", "s3": "bucket"}
    if request.param in places:
        return request.getfixturevalue(places[request.param])
    return f"sqlite:///{tmp_path / 'race.db'}"


SAVERS = ["memory", "sqlite", "postgres"]
if os.environ.get("PERDURE_TEST_S3_RACES"):  # half a minute more; what meets at a `url` runs on S3 in any case
    SAVERS.append("s3")


@pytest.fixture(params=SAVERS)
def saver(request, tmp_path):
    if request.param == "memory":
        yield InMemorySaver()
        return
    if request.param in {"postgres", "s3"}:
        with open_saver(request.getfixturevalue("database" if request.param == "postgres" else "bucket")) as opened:
            yield opened
        return
    with open_saver(f"sqlite:///{tmp_path / 'race.db'}", synchronous="NORMAL") as opened:
        yield opened
