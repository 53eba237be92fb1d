"""Whatever a state holds has a form in JSON."""

import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal

import numpy as np
import pydantic
import pytest
from langchain_core.messages import AIMessage

from perdure.server.encoding import decode, encode, interrupts_plain
from perdure.server.shapes import extracted, selected
from perdure.types import Interrupt, Send


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


class Model(pydantic.BaseModel):
    a: int


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [1, 2.5, None, True]}, {"a": [1, 2.5, None, True]}),
        ({1: "a", (2, 3): "b"}, {"1": "a", "(2, 3)": "b"}),
        (float("nan"), None),
        (2**70, 2**70),
        ({"x": {3: 2**70}}, {"x": {"3": 2**70}}),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00Z"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.5"), "1.5"),
        (Colour.RED, "red"),
        (Point(1), {"x": 1}),
        (Model(a=1), {"a": 1}),
        (np.arange(3), [0, 1, 2]),
        ((1, 2), [1, 2]),
        (ValueError("x"), "ValueError: x"),
        (Send("n", 1), {"node": "n", "arg": 1, "timeout": None}),
        ("\ud800", "?"),
    ],
)
def test_forms(value, told):
    assert decode(encode(value)) == told


def test_messages_and_what_contains_itself():
    assert decode(encode(AIMessage("hi", id="1")))["content"] == "hi"
    loop = []
    loop.append(loop)
    assert decode(encode(loop))


def test_questions_are_shown_without_what_they_dont_have():
    payload = {"a": 1, "__interrupt__": (Interrupt("?", "i"), Interrupt("??", "j", response_schema={"type": "string"}))}
    assert interrupts_plain(payload)["__interrupt__"] == [
        {"value": "?", "id": "i"},
        {"value": "??", "id": "j", "response_schema": {"type": "string"}},
    ]


def test_parts_of_an_answer():
    shown = {"values": {"a": [{"b": 1}], "c": 2}, "next": []}
    assert selected(shown, ["values.c", "next", "no.x"]) == {"values": {"c": 2}, "next": []}
    assert extracted(shown, {"x": "values.a[0].b", "y": "values.a[5].b", "z": "nope"}) == {"x": 1, "y": None, "z": None}
