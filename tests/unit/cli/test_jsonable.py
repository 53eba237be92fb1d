"""Every stored value has a readable JSON form."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from pydantic import BaseModel

from perdure.cli.jsonable import dump, to_jsonable


class Colour(Enum):
    RED = "r"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Box:
    corner: Any


class Model(BaseModel):
    n: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: (2, 3)}, {"1": [2, 3]}),
        (Box(Point(1, 2)), {"corner": {"x": 1, "y": 2}}),
        (Model(n=3), {"n": 3}),
        (Colour.RED, "r"),
        ({3, 1, 2}, [1, 2, 3]),
        (deque([1]), [1]),
        (b"ab", {"base64": "YWI="}),
        (float("nan"), "nan"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), str(UUID(int=1))),
        (ValueError("no"), "ValueError('no')"),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.float64("inf"), "inf"),
        (Box, str(Box)),
    ],
)
def test_values(value, expected):
    assert to_jsonable(value) == expected
    assert json.loads(dump(value)) == expected
