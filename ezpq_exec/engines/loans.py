"""What is lent out: which job of which slot is with which lender, and what came of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, NamedTuple

from ..jobs import Outcome, Verdict
from .errand import Answer
from .lender import Lender, errand_of

__all__ = ["Landed", "Loan", "Place", "Refused", "outcome_of"]


class Place:
    """A slot. `lock` guards `is_taken` and `ahead`."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.lock = threading.Lock()
        self.is_taken = False  # a job is with the lender, or on its way
        self.ahead: deque[tuple[int, Any]] = deque()  # jobs that follow it, with their payloads
        self.loan: Loan | None = None  # what the lender has

    def next(self) -> tuple[int, Any] | None:
        """The job that follows the one that has ended; None if there is none."""
        with self.lock:
            if self.ahead:
                return self.ahead.popleft()
            self.is_taken = False
            return None


class Loan:
    """A job in the lender's hands.

    `future`, once there is one, is the lender's; `watcher`, the thread that is about to watch it.
    """

    __slots__ = ("errand", "future", "handed", "lender", "number", "place", "watcher")

    def __init__(self, place: Place, number: int, lender: Lender, payload: Any) -> None:
        self.place = place
        self.number = number
        self.lender = lender
        self.errand = errand_of(payload)
        self.future: Future[Any] | None = None
        self.watcher: int | None = None
        self.handed = time.monotonic()

    def is_unbegun(self, refused: bool) -> bool:
        """Whether it is certain that the job did not begin, and now that it never will."""
        if self.errand is not None:
            return self.errand.withdraw() or (refused and self.errand.began is None)
        return refused

    def let_go(self) -> None:
        """What became of it is told: the lender's future knows it, and is to keep nothing alive."""
        self.errand = self.future = None

    def failed(self, cause: BaseException, seen: float) -> Outcome:
        """The outcome of a job that the lender could not carry, there or back."""
        return Outcome(Verdict.RAISED, cause, started=self.handed, ended=seen, exitcode=1)


class Landed(NamedTuple):
    """A lender's future is done."""

    loan: Loan
    future: Future[Any]
    seen: float


class Refused(NamedTuple):
    """A lender's `submit` raised."""

    loan: Loan
    cause: BaseException
    seen: float


def outcome_of(answer: Answer, handed: float, seen: float) -> Outcome:
    """The outcome, with times as of this host's clock.

    Another host's monotonic clock has nothing to do with ours: then the times do not lie between
    handing over and coming back, and only how long it took is taken from there.
    """
    started, ended = answer.started, answer.ended
    if not handed <= started <= ended <= seen:
        started, ended = max(handed, seen - max(0.0, ended - started)), seen
    return Outcome(
        Verdict.RETURNED if answer.returned else Verdict.RAISED,
        answer.value,
        packed=answer.packed,
        started=started,
        ended=ended,
        cpu_time=answer.cpu_time,
        max_rss=answer.max_rss,
        exitcode=0 if answer.returned else 1,
        pid=answer.pid,
    )
