"""An answer reaches the question that it is for, and no other one."""

import pytest

from perdure.channels.base import MISSING
from perdure.errors import UnknownInterruptError
from perdure.pregel.answers import Answers, addressed, open_interrupts
from perdure.types import Interrupt

A, B, C = "a" * 32, "b" * 32, "c" * 32
ASKED = [("t1", "__interrupt__", [Interrupt("one?", A)]), ("t2", "__interrupt__", (Interrupt("two?", B),))]


def due() -> set[str]:
    return {"t1", "t2"}


def test_open_are_the_questions_of_unfinished_tasks():
    assert list(open_interrupts(ASKED)) == [A, B]
    assert list(open_interrupts([*ASKED, ("t1", "items", [1])])) == [B]
    assert list(open_interrupts([*ASKED, ("t1", "__resume__", [1])])) == [A, B]


def test_a_plain_answer_is_addressed_to_the_only_open_question():
    assert addressed("yes", ASKED[:1], due, "t") == {A: "yes"}
    assert addressed("yes", [], due, "t") == "yes"
    assert addressed({B: "yes"}, ASKED, due, "t") == {B: "yes"}


def test_a_question_of_a_task_that_is_not_due_any_more_takes_no_plain_answer():
    assert addressed("yes", ASKED, lambda: {"t2"}, "t") == {B: "yes"}
    assert addressed("yes", ASKED[:1], lambda: {"t2"}, "t") == "yes"
    assert addressed({A: "yes"}, ASKED, lambda: {"t2"}, "t") == {A: "yes"}  # maybe a call's, that its caller hasn't yet


def test_a_plain_answer_to_two_questions_is_refused_with_their_ids():
    with pytest.raises(UnknownInterruptError, match="2 interrupts are open") as error:
        addressed("yes", ASKED, due, "t")
    assert error.value.reason == "ambiguous"
    assert A in error.value.hint
    assert B in error.value.hint


def test_an_answer_to_a_question_that_is_not_open_is_refused():
    with pytest.raises(UnknownInterruptError, match=C) as error:
        addressed({C: "yes"}, ASKED, due, "t")
    assert error.value.reason == "not_pending"


def test_answers_without_an_address_are_used_once():
    answers = Answers()
    answers.take_in([("__resume__", {A: 1}), ("__resume__", "loose"), ("items", [1])])
    assert answers.get(A) == 1
    assert answers.get(B) == "loose"
    assert answers.null_was_taken
    assert answers.get(C) is MISSING


def test_a_struck_out_answer_is_none():
    answers = Answers()
    answers.take_in([("__resume__", None)])
    assert answers.get(A) is MISSING
