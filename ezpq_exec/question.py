"""A question to the scheduler: the loop asks it, while another thread waits for the answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from .commands import Command

__all__ = ["NotYetError", "Question"]

T = TypeVar("T")


class NotYetError(Exception):
    """The question can be answered in the loop's next turn."""


class Question(Generic[T]):
    """One question, which gets one answer, whatever becomes of the loop.

    Args:
        ask: asks it of the scheduler, at a time; the answer, and the commands that follow.
        put_off: has `put` called in the loop's next turn.
        changes: it changes the scheduler. If it fails then, its state is not to be relied on.

    >>> question = Question(lambda now: (now + 1, []), print)
    >>> question.put(1.0)
    []
    >>> question.answer()
    2.0
    """

    def __init__(
        self,
        ask: Callable[[float], tuple[T, list[Command]]],
        put_off: Callable[[Callable[[float], list[Command]]], object],
        changes: bool = False,
    ) -> None:
        self._ask = ask
        self._put_off = put_off
        self._changes = changes
        self._answer: Future[T] = Future()

    def put(self, now: float) -> list[Command]:
        """Ask it, on the loop's thread."""
        try:
            value, commands = self._ask(now)
        except NotYetError:
            self._put_off(self.put)
            return []
        except Exception as error:  # a defect of ours
            self._answer.set_exception(error)
            if self._changes:
                raise
            return []
        self._answer.set_result(value)
        return commands

    def put_last(self, now: float, end: BaseException) -> None:
        """Ask it when the loop has ended or failed; if that gives no answer, `answer` raises `end`."""
        if self._answer.done():
            return
        try:
            value, _ = self._ask(now)
        except Exception:  # of what a defect has left half changed, anything may come
            self._answer.set_exception(end)
        else:
            self._answer.set_result(value)

    def answer(self) -> T:
        """Wait for the answer."""
        return self._answer.result()
