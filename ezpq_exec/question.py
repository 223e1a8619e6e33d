"""What a thread asks of the scheduler: it is put on the loop, while the thread waits for the answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .commands import Command

__all__ = ["NotYetError", "Question"]


class NotYetError(Exception):
    """The question can be answered in the loop's next turn."""


class Question:
    """One question, which gets one answer, whatever becomes of the loop.

    Args:
        ask: asks it of the scheduler, at a time; the answer, and the commands that follow.
        put_off: has `put` called in the loop's next turn.
        changes: it changes something, so that what fails there may be left half done.

    >>> question = Question(lambda now: (now + 1, []), print)
    >>> question.put(1.0)
    []
    >>> question.answer()
    2.0
    """

    def __init__(
        self,
        ask: Callable[[float], tuple[Any, list[Command]]],
        put_off: Callable[[Callable[[float], list[Command]]], object],
        changes: bool = False,
    ) -> None:
        self._ask = ask
        self._put_off = put_off
        self._changes = changes
        self._answer: Future[Any] = Future()

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
        """Ask it of a scheduler that nobody obeys any more; what has no answer then ends in `end`."""
        if self._answer.done():
            return
        try:
            value, _ = self._ask(now)
        except Exception:  # of what a defect has left half changed, anything may come
            self._answer.set_exception(end)
        else:
            self._answer.set_result(value)

    def answer(self) -> Any:
        """Wait for the answer."""
        return self._answer.result()
