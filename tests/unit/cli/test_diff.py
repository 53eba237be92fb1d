"""What `perdure diff` compares."""

from __future__ import annotations

from perdure.cli.diff import compare


def test_only_channels_that_differ_are_there():
    assert compare({"same": [1], "changed": 1, "gone": None}, {"same": [1], "changed": 2, "new": None}) == {
        "changed": {"before": 1, "after": 2},
        "gone": {"before": None},
        "new": {"after": None},
    }
