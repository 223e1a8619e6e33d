"""A question to the scheduler: the loop asks it, while another thread waits for the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
        self._answers: list[T] = []  # one, or none if there is an error
        self._error: BaseException | None = None
        # Not a future: whoever waits would hold its lock now and then, and the loop wait for a
        # finalizer, or a signal's handler, that comes just then and waits for the loop.
        self._bell = threading.Lock()
        self._bell.acquire()

    def put(self, now: float) -> list[Command]:
        """Ask it, on the loop's thread."""
        try:
            value, commands = self._ask(now)
        except NotYetError:
            self._put_off(self.put)
            return []
        except Exception as error:  # a defect of ours
            self._fail(error)
            if self._changes:
                raise
            return []
        self._tell(value)
        return commands

    def put_last(self, now: float, end: BaseException) -> None:
        """Ask it when the loop has ended or failed; if that gives no answer, `answer` raises `end`."""
        if self._answers or self._error is not None:
            self._ring()  # the loop may have failed before it came to that
            return
        try:
            value, _ = self._ask(now)
        except Exception:  # of what a defect has left half changed, anything may come
            self._fail(end)
        else:
            self._tell(value)

    def _tell(self, value: T) -> None:
        self._answers.append(value)
        self._ring()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self._ring()

    def _ring(self) -> None:
        """Let through whoever waits, and whoever comes to wait. Any thread may, any number of times."""
        try:
            self._bell.release()
        except RuntimeError:
            pass  # it is open

    def answer(self) -> T:
        """Wait for the answer."""
        self._bell.acquire()
        self._ring()  # for the next: it may be asked for again
        if self._error is not None:
            raise self._error
        return self._answers[0]
