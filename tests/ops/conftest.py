"""The databases that operations run between."""

from __future__ import annotations

import pytest

KINDS = ("sqlite", "postgres", "redis", "s3")


@pytest.fixture
def place_of(request, tmp_path):
    """A function that names an empty database of a kind; `memory` is a saver itself."""

    def make(kind, name="db"):
        if kind == "memory":
            from perdure.checkpoint.memory import InMemorySaver

            return InMemorySaver()
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        if kind == "redis":
            return request.getfixturevalue("empty_valkey").url
        return request.getfixturevalue({"postgres": "database", "s3": "bucket"}[kind])

    return make
