"""Turns what comes back from a lender into reports: answers, failures, and jobs that were not run.

Several jobs that went in one call come back together, when the last has ended. No job should have
to wait for the one behind it. So bundles are looked at now and then. If one has begun at one look, and
is not back at the next, its jobs that have not begun are taken back, so that at most one still runs,
and the answers of those that have ended are fetched from the page.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from ..reports import Finished, FinishedInTurn, Loss, Lost, Report, Strayed
from .errand import Answer
from .lender import Lender, is_end
from .lending import Lending
from .loans import Bundle, Landed, Loan, Place, Refused, outcome_of

__all__ = ["Returns"]

LOOK = 0.005  # seconds between two looks at a bundle


class Returns:
    """What was lent, and has come back. All on the loop's thread.

    Args:
        lending: by which it went away.
        renew: called with a slot whose last job was lost: it has to find a lender again.
    """

    def __init__(self, lending: Lending, renew: Callable[[Place], object]) -> None:
        self._lending = lending
        self._renew = renew
        self._watched: deque[Bundle] = deque()
        self._looked_at: list[Bundle] = []

    # Looking after bundles ----------------------------------------------------------------------

    def watch(self, bundle: Bundle) -> None:
        """A bundle of several sets out, or is to be looked at again."""
        bundle.due = time.monotonic() + LOOK
        self._watched.append(bundle)

    def patience(self, timeout: float | None) -> float | None:
        """For how many seconds to sleep at most, where it would be `timeout`."""
        watched = self._watched
        while watched and watched[0].is_over:
            watched.popleft()
        if not watched:
            return timeout
        left = max(0.0, watched[0].due - time.monotonic())
        return left if timeout is None else min(timeout, left)

    def look(self) -> list[Report]:
        """Have what has not begun taken back from the bundles that were begun at the look before this."""
        reports: list[Report] = []
        while self._watched and self._watched[0].due <= time.monotonic():
            bundle = self._watched.popleft()
            if bundle.is_over:
                continue
            if not bundle.was_begun:  # those before it may take their time
                bundle.was_begun = bundle.has_begun(self._lending.board)
                self.watch(bundle)
            else:
                self._looked_at.append(bundle)
                late = {loan.place.slot: loan for loan in bundle.loans if not loan.is_settled}
                reports += [Strayed(slot, loan.number, None) for slot, loan in late.items()]
        return reports

    def fetch(self) -> list[Report]:
        """Fetch the answers from those bundles: of what is left there, only the last may still run."""
        reports: list[Report] = []
        while self._looked_at:
            bundle = self._looked_at.pop()
            seen = time.monotonic()
            finished = FinishedInTurn(bundle.place.slot, [], [])
            for index, loan in enumerate(bundle.members):
                answer = None if loan.is_settled else self._left(bundle, index)
                if answer is not None:
                    self._finish(bundle, finished, loan, answer, seen)
            reports += _as_reports(finished)
        return reports

    def _left(self, bundle: Bundle, index: int) -> Answer | None:
        """The answer of one of several, whose call is not over; None if it is not there."""
        ticket, board = bundle.members[index].ticket, self._lending.board
        if ticket is None:
            return bundle.answers[index] if index < len(bundle.answers) else None
        values = None if board is None else board.answer(ticket)
        return None if values is None else Answer(*values)

    @staticmethod
    def _finish(
        bundle: Bundle, finished: FinishedInTurn, loan: Loan, answer: Answer, seen: float
    ) -> None:
        """Add the end of a job to those that are to be reported together."""
        loan.is_told = True
        number = loan.number
        loan.place.loans.pop(number, None)
        outcome = outcome_of(answer, bundle.handed, seen)
        finished.numbers.append(number)
        finished.outcomes.append(outcome)
        if bundle.lender is not None:
            bundle.lender.timed(outcome.ended - outcome.started)

    # Coming back --------------------------------------------------------------------------------

    def unload(self, back: Landed | Refused) -> list[Report]:
        """Report each of a bundle's jobs that was not reported before."""
        bundle = back.bundle
        bundle.is_over = True
        self._lending.bundles.discard(bundle)
        answers = self._answers(bundle) if isinstance(back, Landed) else None
        finished = FinishedInTurn(bundle.place.slot, [], [])
        others: list[Report] = []
        for index, loan in enumerate(bundle.members):
            if loan.is_settled:
                continue
            answer = self._left(bundle, index) if answers is None else answers[index]
            if isinstance(answer, Answer):
                self._finish(bundle, finished, loan, answer, back.seen)
                continue
            if answers is None:
                others.append(self._explain(loan, back))
            else:
                others.append(self._query(loan, answer, back.seen))
            if not loan.is_undone:
                loan.place.loans.pop(loan.number, None)
        self._vacate(bundle, is_safe=answers is not None)
        return [*_as_reports(finished), *others]

    def _vacate(self, bundle: Bundle, *, is_safe: bool) -> None:
        """Let go of its jobs and their cells.

        A pool that breaks fails its futures first, and ends its workers afterwards. In between, a
        worker may take a job and look at its cell: it must still find there that the job was taken
        back. So these cells are not used again; they are freed with the whole page.
        """
        lending = self._lending
        board = lending.board
        for loan in bundle.loans:
            if loan.cell is not None and board is not None:
                if is_safe:
                    board.clear(loan.cell)
                else:
                    board.spoil()
        bundle.let_go()
        if board is not None and board.is_spoilt and not lending.bundles:
            lending.close()

    def _answers(self, bundle: Bundle) -> list[Any] | None:
        """What each of the members came to; None if the lender failed all of them."""
        future, lender = bundle.future, bundle.lender
        if future is None or lender is None:  # there were none
            return []
        if future.cancelled():
            return None
        error = future.exception()
        if error is not None:
            if lender.fault is None and is_end(error):
                lender.fault = error
            return None
        lender.served = True
        value, members = future.result(), bundle.members
        if members[0].ticket is None:
            return bundle.answers if value is bundle.answers else [value] * len(members)
        if not isinstance(value, list) or len(value) > len(members):
            return [value] * len(members)
        answers = [answer and Answer(*answer) for answer in value]
        answers += [None] * (len(members) - len(answers))
        self._learn(bundle, lender, answers)
        return answers

    def _learn(self, bundle: Bundle, lender: Lender, answers: list[Any]) -> None:
        first = bundle.members[0]
        if answers[0] is None and not (first.is_in_doubt or first.is_back):
            lender.sees_board = False
        elif len(answers) > 1:
            pairs = zip(bundle.members, answers, strict=True)
            undone = [loan for loan, answer in pairs if answer is None and not loan.is_in_doubt]
            lender.learn(whole=not undone)

    def _query(self, loan: Loan, answer: Any, seen: float) -> Report:
        """There is no answer, or something that is none."""
        if answer is None and (loan.ticket is not None or len(self._mates(loan)) > 1):
            return self._undone(loan)
        odd = TypeError(f"the borrowed executor answered {answer!r} for a job")
        return Finished(loan.place.slot, loan.number, loan.failed(odd, seen))

    @staticmethod
    def _undone(loan: Loan) -> Report:
        loan.is_undone = True
        return Strayed(loan.place.slot, loan.number, None)

    @staticmethod
    def _mates(loan: Loan) -> Any:
        return () if loan.bundle is None else loan.bundle.members

    def _explain(self, loan: Loan, back: Landed | Refused) -> Report:
        """The lender failed a job, which had no answer before that."""
        bundle, seen = back.bundle, back.seen
        lender, future = bundle.lender, bundle.future
        if isinstance(back, Refused):
            return self._fail(loan, lender, back.cause, seen, refused=True)
        if future is None or lender is None or future.cancelled():
            cause: BaseException = CancelledError("the borrowed executor cancelled it")
            known = lender is not None and lender.is_prompt
            return self._fail(loan, lender, cause, seen, refused=known)
        return self._fail(loan, lender, _error_of(future), seen, refused=False)

    def _fail(
        self, loan: Loan, lender: Lender | None, cause: BaseException, seen: float, *, refused: bool
    ) -> Report:
        """It is the job's own fault, or the whole lender's."""
        place, slot = loan.place, loan.place.slot
        board = self._lending.board
        broken = lender is not None and lender.fault is not None
        if not broken and not isinstance(cause, CancelledError):
            is_anothers = len(self._mates(loan)) > 1 and loan.is_unbegun(refused, board)
            if is_anothers or loan.was_refused:  # it is no fault of this job's
                return self._undone(loan)
            return Finished(slot, loan.number, loan.failed(cause, seen))
        begun = None if loan.is_unbegun(refused, board) else loan.handed
        loss = Loss(begun=begun, ended=seen, cause=cause)
        if len(place.loans) > 1:  # the others are still to be heard of
            return self._undone(loan) if begun is None else Strayed(slot, loan.number, loss)
        self._renew(place)
        return Lost(slot, loss)


def _as_reports(finished: FinishedInTurn) -> list[Report]:
    """As there may be one, or none."""
    if len(finished.numbers) > 1:
        return [finished]
    return [Finished(finished.slot, *ended) for ended in zip(*finished[1:], strict=True)]


def _error_of(future: Future[Any]) -> BaseException:
    error = future.exception()
    if error is None:
        raise AssertionError(f"{future!r} has not failed")
    return error
