"""Any `concurrent.futures.Executor` as an engine: it lends us its workers.

It gets no more jobs than there are slots, so that the order in which they begin is ours; while they
take microseconds, a few more ahead of their turn, if it is one from which they can be had back. If
it is not, or lends us only some of its workers, those wait here instead, and are handed over as
soon as the one before has come back, without the loop.

What is reported is put together on the loop's thread, in `wait`, from what threads leave in the
inbox. A slot's worker is a fiction: it is ready as long as there is a lender that takes jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor
from typing import Any

from .. import packing
from ..errors import UnsupportedOption
from ..inbox import Inbox
from ..jobs import Call
from ..reports import Finished, Loss, Lost, Report, Stopped, Strayed, Unstartable
from .base import Capabilities, Engine, Setup
from .errand import Answer, owners_here
from .lender import capacity_of, is_end
from .lending import Gone, Lending, News
from .loans import Landed, Loan, Place, Refused, outcome_of

__all__ = ["BorrowedEngine"]


QUICK = 0.002  # seconds: the way by the loop is long here, and what is queued is close at hand


class BorrowedEngine(Engine):
    """Runs jobs in an executor of somebody else's, which is never shut down.

    Args:
        source: the executor, or a function that makes one, which is called again when that breaks.

    Raises:
        TypeError: the function makes something else.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from ezpq_exec import PriorityExecutor
    >>> with ThreadPoolExecutor(1) as lender, PriorityExecutor(engine=lender) as executor:
    ...     future = executor.options(priority=0, name="mine").submit(pow, 2, 5)
    ...     (future.result(), future.info.name, executor.max_workers, executor.capabilities.kills)
    (32, 'mine', 1, False)
    """

    def __init__(self, source: Executor | Callable[[], Executor]) -> None:
        self._inbox: Inbox[News] = Inbox()
        self._lending = Lending(source, self._inbox)
        lender = self._lending.lender
        self._packs = lender.packs
        self.capabilities = Capabilities(
            isolates=lender.isolates,
            hands_over=True,
            queues=lender.is_prompt,
            quick=QUICK,
            borrows=True,
            relays=not lender.isolates,
        )
        self._places: dict[int, Place] = {}
        self._closing = False
        self._is_over = False

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        for name in ("initializer", "initargs", "max_tasks_per_child"):
            value = getattr(setup, name)
            if value is not None and value != ():
                raise UnsupportedOption(
                    f"{name} is for those who start the workers; these are those of "
                    f"{self._lending.lender.executor!r} (got {value!r})"
                )

    def capacity(self) -> int | None:
        """See `Engine.capacity`."""
        return capacity_of(self._lending.lender.executor)

    def pack(self, call: Call, packed_function: Any = None) -> Any:
        """See `Engine.pack`. See `Lender.packs` for why and when."""
        return packing.pack_call(call, packed_function) if self._packs else call

    def pack_function(self, function: Callable[..., Any]) -> Any:
        """See `Engine.pack_function`."""
        return packing.pack(function) if self._packs else None

    # Orders of the loop -----------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        self._places[slot] = Place(slot)
        try:
            self._lending.engage(slot)
        except RuntimeError as failure:  # no more threads to be had
            self._inbox.put(Unstartable(slot, failure))

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """See `Engine.run`."""
        place = self._places[slot]
        loan = Loan(place, number, payload)
        place.admit(loan, ahead=True)
        self._lending.lend(loan)

    def hand_over(
        self,
        slot: int,
        number: int,
        payload: Any,
        timeout: float | None,
        sent: list[object],
        soon: bool = False,
    ) -> None:
        """See `Engine.hand_over`. It only puts the job on our thread's list, so it cannot fail."""
        place = self._places[slot]
        loan = Loan(place, number, payload)
        place.admit(loan, ahead=True)
        self._lending.lend(loan, sent)

    def queue(self, slot: int, number: int, payload: Any) -> bool:
        """See `Engine.queue`."""
        place = self._places.get(slot)
        if place is None:
            return False
        loan = Loan(place, number, payload)
        if place.admit(loan, ahead=self._lending.lends_ahead(loan, len(self._places))):
            self._lending.lend(loan)
        return True

    def recall(self, slot: int) -> list[int]:
        """See `Engine.recall`."""
        place = self._places.get(slot)
        if place is None:
            return []
        behind = list(place.loans.values())[1:]
        back = [loan.number for loan in reversed(behind) if loan.take_back(self._lending.board)]
        for number in back:
            del place.loans[number]
        return back[::-1]

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        self._places.pop(slot, None)

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`. What went to another process began when its lender says so."""
        place = self._places.get(slot)
        loan = None if place is None else place.loans.get(number)
        if loan is None:
            return None
        if loan.errand is not None and (loan.errand.began is not None or loan.errand.waits_here):
            return loan.errand.began
        future, lender = loan.future, loan.lender
        runs = future is not None and lender is not None and lender.has_begun(future)
        return loan.handed if runs else None

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._inbox.ring()

    def works_here(self) -> bool:
        """See `Engine.works_here`."""
        return self._lending in owners_here()

    def close(self, *, kill: bool = False) -> None:
        """See `Engine.close`. What the lender has in hand is left to finish."""
        self._closing = True
        for place in self._places.values():
            with place.lock:
                place.door.clear()
        self._places.clear()
        self._lending.end()

    def wait(self, timeout: float | None) -> list[Report]:
        """See `Engine.wait`."""
        reports: list[Report] = []
        for item in self._inbox.take(timeout):
            if isinstance(item, (Landed, Refused)):
                loan = item.loan
                self._lending.loans.discard(loan)
                if not loan.is_back:
                    reports.append(self._report(item))
                    loan.place.loans.pop(loan.number, None)
                if loan.ticket is not None and self._lending.board is not None:
                    self._lending.board.clear(loan.ticket)
                loan.let_go()
            elif isinstance(item, Gone):
                self._lending.join()
                self._is_over = True
            else:
                reports.append(item)
        if self._is_over and not self._lending.loans:
            self._lending.close()
            reports.append(Stopped())
        return reports

    # What came back ---------------------------------------------------------------------------

    def _report(self, news: Landed | Refused) -> Report:
        loan, seen, slot = news.loan, news.seen, news.loan.place.slot
        if isinstance(news, Refused):
            return self._fail(loan, news.cause, seen, refused=True)
        future, lender = loan.future, loan.lender
        if future is None or lender is None:
            raise AssertionError(f"{loan!r} came back without having been away")
        if future.cancelled():
            cause = CancelledError("the borrowed executor cancelled it")
            return self._fail(loan, cause, seen, refused=lender.is_prompt)
        error = future.exception()
        if error is not None:
            if lender.fault is None and is_end(error):
                lender.fault = error
            return self._fail(loan, error, seen)
        lender.served = True
        answer = future.result()
        if isinstance(answer, Answer):
            return Finished(slot, loan.number, outcome_of(answer, loan.handed, seen))
        if answer is None and loan.ticket is not None:
            lender.sees_board = loan.is_in_doubt
            return Strayed(slot, loan.number, None)
        odd = TypeError(f"the borrowed executor answered {answer!r} for a job")
        return Finished(slot, loan.number, loan.failed(odd, seen))

    def _fail(
        self, loan: Loan, cause: BaseException, seen: float, *, refused: bool = False
    ) -> Report:
        """A job came to nothing by the lender's doing: its own fault, or the whole lender's."""
        place, slot = loan.place, loan.place.slot
        lender = loan.lender
        broken = lender is not None and lender.fault is not None
        if not broken and not isinstance(cause, CancelledError):
            return Finished(slot, loan.number, loan.failed(cause, seen))
        begun = None if loan.is_unbegun(refused, self._lending.board) else loan.handed
        loss = Loss(begun=begun, ended=seen, cause=cause)
        if len(place.loans) > 1:  # the others are still to be heard of
            return Strayed(slot, loan.number, None if begun is None else loss)
        if not self._closing and self._places.get(slot) is place:
            self._places[slot] = Place(slot)
            self._lending.engage(slot)
        return Lost(slot, loss)
