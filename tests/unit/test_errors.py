"""Every error is picklable, has the common root, and shows its hint."""

import inspect
import pickle

import pytest

from perdure import errors
from perdure.errors import ConflictError, GraphBubbleUp, NodeError, PerdureError
from perdure.types import Command, Interrupt

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]


def test_there_is_one_root():
    assert all(issubclass(c, (PerdureError, GraphBubbleUp)) for c in CLASSES)
    assert {c.__name__ for c in CLASSES} | {"ErrorCode", "is_invalid_resume"} == set(errors.__all__)


@pytest.mark.parametrize("cls", [c for c in CLASSES if issubclass(c, PerdureError) and c is not NodeError])
def test_errors_survive_pickling(cls):
    error = cls("what", hint="do this", thread_id="t")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), again.hint, again.thread_id) == (str(error), "do this", "t")
    assert str(error) == "what\n  hint: do this"


def test_the_docstring_is_the_default_message():
    assert str(ConflictError()) == "Another writer moved the thread's head first: nothing was written."


@pytest.mark.parametrize(
    "signal",
    [
        NodeError("n", ValueError("x")),
        errors.GraphInterrupt([Interrupt("q", "1")]),
        errors.NodeInterrupt("q", "1"),
        errors.ParentCommand(Command(goto="a")),
        errors.GraphDrained("why"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_signals_survive_pickling(signal):
    assert repr(pickle.loads(pickle.dumps(signal)).args) == repr(signal.args)


def test_a_missing_detail_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"ConflictError.*no detail 'color'"):
        ConflictError("x").color  # noqa: B018
