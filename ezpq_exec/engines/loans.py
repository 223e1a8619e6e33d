"""The jobs that are with a lender: the slot of each, and which of them went in one call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from ..jobs import Outcome, Verdict
from .board import Board, Ticket
from .errand import Answer, Errand
from .lender import Lender, errand_of

__all__ = ["Bundle", "Landed", "Loan", "Place", "Refused", "outcome_of"]


class Place:
    """A slot.

    `loans`: its jobs by number, until it is reported what became of them. Only the loop's thread
    uses this, and a submitting thread that hands over the only one.
    `door`: the jobs that wait here until the one before them has ended. `in_hand`: how many calls do
    not wait. `lock` guards both.
    """

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.loans: dict[int, Loan] = {}
        self.lock = threading.Lock()
        self.in_hand = 0
        self.door: deque[Loan] = deque()

    def admit(self, loan: Loan, *, ahead: bool) -> bool:
        """Take in a job; True if it is to be lent now. `ahead`: even if another one is in hand."""
        self.loans[loan.number] = loan
        with self.lock:
            if self.in_hand and not ahead:
                self.door.append(loan)
                return False
            self.in_hand += 1
            return True

    def count(self) -> None:
        """A job goes in a call of its own after all."""
        with self.lock:
            self.in_hand += 1

    def next(self, lend: Callable[[Loan], object]) -> None:
        """Have the job at the door lent, if there is one, now that the one before it has ended.

        `lend` is called under the lock. So after a thread has cleared the door under the lock, all
        jobs from there are on their way, and no more will follow.
        """
        with self.lock:
            while self.door and self.in_hand == 1:
                loan = self.door.popleft()
                if not loan.is_back:
                    lend(loan)
                    return
            self.in_hand -= 1


class Loan:
    """A job that is for the lender.

    Attributes:
        errand: the call, if it was not packed by the one who submitted it.
        ticket: where it is settled whether it has begun, if it is lent ahead to another process.
        cell: the same, kept until it is free again.
        bundle: what it goes to the lender in.
        claims: whoever pops its one item decides whether it is handed over at all.
        is_back: it was taken back; what still comes of it is ignored.
        is_in_doubt: it was to be taken back, and may have begun, or may come back undone.
        is_told: its end was reported.
        is_ahead: it was lent ahead of its turn, or waits at the door.
        is_undone: it came back, and has not begun.
    """

    __slots__ = (
        *("bundle", "cell", "claims", "errand", "is_ahead", "is_back", "is_in_doubt"),
        *("is_told", "is_undone", "number", "payload", "place", "ticket"),
    )

    def __init__(self, place: Place, number: int, payload: Any) -> None:
        self.place = place
        self.number = number
        self.payload = payload
        self.errand: Errand | None = errand_of(payload)
        self.ticket: Ticket | None = None
        self.cell: Ticket | None = None
        self.bundle: Bundle | None = None
        self.claims = [None]
        self.is_back = False
        self.is_in_doubt = False
        self.is_told = False
        self.is_ahead = False
        self.is_undone = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be said of it."""
        return self.is_back or self.is_told or self.is_undone

    @property
    def handed(self) -> float:
        """When it was handed over, in monotonic seconds."""
        return 0.0 if self.bundle is None else self.bundle.handed

    def claim(self) -> bool:
        """Be the one who decides whether it is handed over; False if another was first."""
        try:
            self.claims.pop()
        except IndexError:
            return False
        return True

    def take_back(self, board: Board | None) -> bool:
        """Take it back; False if it is too late, or not certain. On the loop's thread.

        The lender's future is not cancelled: if the standard library's pool broke at that moment, it
        would stumble over it, and leave all others unresolved (seen in CPython 3.11).
        """
        if self.is_undone or self.claim():
            self.is_back = True
        elif self.ticket is not None and board is not None:
            self.is_in_doubt = True
            self.is_back = board.take_back(self.ticket)
        elif self.errand is not None:
            self.is_back = self.errand.withdraw()
        return self.is_back

    def has_begun(self, board: Board | None) -> bool:
        """Whether whoever runs it has come to it, of a job that is lent ahead."""
        if self.ticket is not None and board is not None:
            return board.has_begun(self.ticket)
        return self.errand is not None and self.errand.began is not None

    @property
    def was_refused(self) -> bool:
        """Whether it could not be carried because it was being taken back, so that it never begins."""
        return self.errand is not None and self.errand.was_refused

    def is_unbegun(self, known: bool, board: Board | None) -> bool:
        """Whether it is certain that the job did not begin, and now that it never will.

        `known`: the lender says so.
        """
        if self.ticket is not None and board is not None:
            return board.take_back(self.ticket) or known
        if self.errand is not None:
            errand = self.errand
            return errand.withdraw() or errand.was_refused or (known and errand.began is None)
        return known

    def failed(self, cause: BaseException, seen: float) -> Outcome:
        """The outcome of a job that the lender could not carry, there or back."""
        return Outcome(Verdict.RAISED, cause, started=self.handed, ended=seen, exitcode=1)


class Bundle:
    """What goes to the lender in one call of its: a job, or several that are lent ahead for one slot.

    Attributes:
        loans: the jobs.
        place: their slot.
        answers: those of several that run here, as far as they have come; None for one taken back.
        members: those of them that were not taken back on the way to the lender.
        lender: who has it, or was to have it; None while it is on its way there.
        future: the lender's, once there is one.
        handed: when it was handed over, in monotonic seconds.
        due: when it is to be looked at, if it is not back by then.
        was_begun: whether it was under way when it was last looked at.
        is_over: nothing more is to be heard of it.
    """

    __slots__ = (
        *("answers", "due", "future", "handed", "is_over", "lender", "loans", "members", "place"),
        "was_begun",
    )

    def __init__(self, loans: Sequence[Loan], due: float = 0.0) -> None:
        self.loans = loans
        self.place = loans[0].place
        self.answers: list[Answer | None] = []
        self.members: Sequence[Loan] = ()
        self.lender: Lender | None = None
        self.future: Future[Any] | None = None
        self.handed = 0.0
        self.due = due
        self.was_begun = False
        self.is_over = False
        for loan in loans:
            loan.bundle = self

    def let_go(self) -> None:
        """Drop what it refers to: the lender's future refers to it, and would keep all that alive."""
        self.loans = self.members = ()
        self.answers = []
        self.future = None

    def has_begun(self, board: Board | None) -> bool:
        """Whether any of its jobs has begun, or was about to when it was found to be taken back."""
        return any(loan.has_begun(board) for loan in self.members)


class Landed(NamedTuple):
    """A lender's future is done, or none of what was to be lent was left."""

    bundle: Bundle
    seen: float


class Refused(NamedTuple):
    """A lender's `submit` raised."""

    bundle: Bundle
    seen: float
    cause: BaseException


def outcome_of(answer: Answer, handed: float, seen: float) -> Outcome:
    """The outcome, with times as of this host's clock.

    Another host's monotonic clock has nothing to do with ours: then the times do not lie between
    handing over and coming back, and only how long it took is taken from there.
    """
    returned, value, packed, started, ended, cpu_time, max_rss, pid = answer
    if not handed <= started <= ended <= seen:
        started, ended = max(handed, seen - max(0.0, ended - started)), seen
    verdict, exitcode = (Verdict.RETURNED, 0) if returned else (Verdict.RAISED, 1)
    # By position, in the order in which `Outcome` has them: this is done for each job.
    return Outcome(verdict, value, packed, started, ended, cpu_time, max_rss, exitcode, None, pid)
