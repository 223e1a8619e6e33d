"""Any `concurrent.futures.Executor` as an engine: it lends us its workers.

It gets no more jobs than there are slots, so that we decide the order in which they begin. While
jobs are quick, it gets a few more ahead of their turn, if they can be taken back from it.
If they cannot, or it lends us only some of its workers, these jobs wait here, and each is handed
over when the one before has come back, without the loop.

What is reported is put together on the loop's thread, in `wait`, from what threads leave in the
inbox. A slot has no worker of its own: it counts as ready while there is a lender that takes jobs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from .. import packing
from ..errors import UnsupportedOption
from ..inbox import Inbox
from ..jobs import Call
from ..reports import Report, Stopped, Unstartable
from .base import Capabilities, Engine, Setup
from .errand import owners_here
from .lender import capacity_of
from .lending import Gone, Lending, News
from .loans import Bundle, Landed, Loan, Place, Refused
from .returns import Returns

__all__ = ["BorrowedEngine"]


QUICK = 0.02  # seconds: higher than elsewhere, since here the way by the loop takes a millisecond


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
            relays=lender.is_here,
        )
        self._places: dict[int, Place] = {}
        self._returns = Returns(self._lending, self._renew)
        # By slot, what is to be lent ahead in one call, before the loop sleeps. By slot, so that few jobs
        # are shared out among the workers, not done by one of them.
        self._bundles: dict[int, list[Loan]] = {}
        self._closing = False
        self._is_over = False

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        for name in ("initializer", "initargs"):
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
        self._lending.lend(Bundle([loan]))

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
        self._lending.lend(Bundle([loan]), sent)

    def queue(self, shares: Mapping[int, Sequence[tuple[int, Any]]]) -> list[int]:
        """See `Engine.queue`. One of each slot's in turn, as a lender's workers may share its queue."""
        refused: list[int] = []
        for turn in itertools.zip_longest(*shares.values()):
            for slot, job in zip(shares, turn, strict=True):
                place = self._places.get(slot)
                if job is not None and place is not None:
                    self._queue(place, *job)
                elif job is not None:
                    refused.append(job[0])
        return refused

    def _queue(self, place: Place, number: int, payload: Any) -> None:
        slot = place.slot
        loan = Loan(place, number, payload)
        loan.is_ahead = True
        ahead = self._lending.lends_ahead(loan, len(self._places))
        loans = self._bundles.get(slot)
        if loans is not None and ahead:  # it goes with those, in one call
            place.loans[number] = loan
            loans.append(loan)
        elif place.admit(loan, ahead=ahead):
            loans = self._bundles[slot] = [loan]
        else:  # it waits at the door
            return
        if not ahead or len(loans) >= self._lending.lender.most:
            self._set_out(self._bundles.pop(slot))

    def _set_out(self, loans: list[Loan]) -> None:
        """Lend what is to go in one call of the lender's."""
        bundle = Bundle(loans)
        if len(loans) > 1:
            self._returns.watch(bundle)
        self._lending.lend(bundle)

    def recall(self, slot: int) -> list[int]:
        """See `Engine.recall`."""
        place = self._places.get(slot)
        if place is None:
            return []
        board = self._lending.board
        ahead = [each for each in reversed(place.loans.values()) if each.is_ahead or each.is_undone]
        back = [loan.number for loan in ahead if loan.take_back(board)]
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
        bundle = loan.bundle
        if bundle is None or bundle.future is None or bundle.lender is None:
            return None
        return bundle.handed if bundle.lender.has_begun(bundle.future) else None

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
        for loans in self._bundles.values():
            self._set_out(loans)
        self._bundles.clear()
        reports = self._returns.fetch()
        if reports:
            timeout = 0.0
        for item in self._inbox.take(self._returns.patience(timeout)):
            if isinstance(item, (Landed, Refused)):
                reports += self._returns.unload(item)
            elif isinstance(item, Gone):
                self._lending.join()
                self._is_over = True
            else:
                reports.append(item)
        reports += self._returns.look()
        if self._is_over and not self._lending.bundles:
            self._lending.close()
            reports.append(Stopped())
        return reports

    def _renew(self, place: Place) -> None:
        """A slot's last job was lost: find out whether there is still a lender for it."""
        if not self._closing and self._places.get(place.slot) is place:
            self._places[place.slot] = Place(place.slot)
            self._lending.engage(place.slot)
