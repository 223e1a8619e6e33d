"""A question to the loop gets one answer, whatever becomes of the loop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ezpq_exec.commands import Command
from ezpq_exec.question import NotYetError, Question
from gates import PATIENCE

Put = Callable[[float], list[Command]]


def failing(error: Exception) -> Callable[[float], tuple[Any, list[Command]]]:
    def ask(now: float) -> tuple[Any, list[Command]]:
        raise error

    return ask


def test_what_cannot_be_answered_yet_is_asked_again_in_the_next_turn() -> None:
    later: list[Put] = []
    answers = iter([NotYetError, 7])

    def ask(now: float) -> tuple[Any, list[Command]]:
        answer = next(answers)
        if answer is NotYetError:
            raise NotYetError
        return answer, []

    question = Question(ask, later.append)
    question.put(1.0)
    (again,) = later
    again(2.0)
    assert question.answer() == 7


def test_a_defect_in_a_look_is_the_askers_to_hear_of_alone() -> None:
    question = Question(failing(ZeroDivisionError()), print)
    assert question.put(1.0) == []
    with pytest.raises(ZeroDivisionError):
        question.answer()


def test_a_defect_in_a_change_is_the_loops_to_hear_of_too() -> None:
    """Something may be half changed."""
    question = Question(failing(ZeroDivisionError()), print, changes=True)
    with pytest.raises(ZeroDivisionError):
        question.put(1.0)
    with pytest.raises(ZeroDivisionError):
        question.answer()


def test_what_is_never_answered_ends_in_the_loops_own_end() -> None:
    """And what was answered stays so."""
    lost = Question(failing(NotYetError()), lambda put: None)
    lost.put_last(1.0, RuntimeError("the executor has ended"))
    lost.put_last(2.0, RuntimeError("twice"))
    with pytest.raises(RuntimeError, match="has ended"):
        lost.answer()


def test_what_cannot_be_answered_in_the_end_ends_in_the_loops_own_end() -> None:
    """Whatever comes of asking a scheduler that is half changed, it is not the asker's to see."""
    lost = Question(failing(AssertionError("settled twice")), print, changes=True)
    lost.put_last(1.0, RuntimeError("the executor has failed"))
    with pytest.raises(RuntimeError, match="has failed"):
        lost.answer()


def test_what_can_be_answered_in_the_end_is() -> None:
    asked = Question(lambda now: (now, []), print)
    asked.put_last(1.0, RuntimeError("the executor has ended"))
    assert asked.answer() == 1.0


def test_an_answer_that_the_loop_came_to_no_more_to_tell_is_told_at_its_end() -> None:
    """A defect may strike just between the two."""
    question = Question(lambda now: (7, []), print)

    def strike(frame: FrameType, event: str, what: object) -> None:
        if event == "c_call" and getattr(what, "__name__", "") == "release":
            raise ZeroDivisionError

    sys.setprofile(strike)
    try:
        with pytest.raises(ZeroDivisionError):
            question.put(1.0)
    finally:
        sys.setprofile(None)
    question.put_last(2.0, RuntimeError("the executor has ended"))
    answers: list[int] = []
    asker = threading.Thread(target=lambda: answers.append(question.answer()), daemon=True)
    asker.start()
    asker.join(PATIENCE)
    assert answers == [7]
    assert question.answer() == 7  # as often as one likes
