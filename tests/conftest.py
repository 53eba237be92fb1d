"""What all tiers share: hypothesis's profile, servers, and no skips in CI."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from tests.servers.fixtures import (
    aws,
    azure_server,
    bucket,
    container,
    database,
    empty_valkey,
    own_pgbouncer,
    own_postgres,
    own_valkey,
    pgbouncer,
    pooled_database,
    postgres,
    seaweed,
    valkey,
)

__all__ = [
    "aws",
    "azure_server",
    "bucket",
    "container",
    "database",
    "empty_valkey",
    "own_pgbouncer",
    "own_postgres",
    "own_valkey",
    "pgbouncer",
    "pooled_database",
    "postgres",
    "seaweed",
    "valkey",
]

IS_CI = bool(os.environ.get("PERDURE_CI"))

# No deadlines: a busy machine is not a bug. In CI the same examples every time: a red build can be repeated.
settings.register_profile("perdure", deadline=None, derandomize=IS_CI)
settings.load_profile("perdure")

# What a worker of xdist fails with itself, outside of its tests, is followed by xdist's own error about its tests.
_own_errors: list[str] = []


def pytest_internalerror(excrepr):
    _own_errors.append(str(excrepr))


def pytest_unconfigure(config):
    """Say once more, at the end of the log, what came first."""
    if len(_own_errors) > 1:
        print("The first of pytest's own errors:", *_own_errors[0].splitlines()[-15:], sep="\n")


def pytest_sessionfinish(session):
    """Fail the run if a test was skipped in CI: what is missing there has to be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IS_CI and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("PERDURE_CI is set, and a skipped test is a failure there", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
