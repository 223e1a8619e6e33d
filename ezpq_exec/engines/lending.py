"""The dealings with a lender: one thread of ours asks it for a worker, or for a new lender.

`_land` is called by the lender, on whichever thread resolves its futures. That one may hold locks
of the lender's where a future failed or was cancelled, but not where it has a result; so only then
the next job of the slot is handed over there and then.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, NamedTuple, Union

from .. import exitorder
from ..inbox import Inbox
from ..reports import Ready, Unstartable
from .lender import Lender, is_end, lender_from
from .loans import Landed, Loan, Place, Refused

__all__ = ["Gone", "Lending", "News"]

MOST_IN_VAIN = 3  # lenders in a row that break before they have run a job

_known: set[str] = set()  # kinds of lenders that were given something


class Gone(NamedTuple):
    """The thread is about to end."""


News = Union[Ready, Unstartable, Landed, Refused, Gone]


class Lending:
    """Hands jobs to a lender, and puts what comes of them into `inbox`.

    Args:
        source: the lender, or a function that makes one.
        inbox: of whoever gives the orders.
    """

    def __init__(self, source: Executor | Callable[[], Executor], inbox: Inbox[Any]) -> None:
        self._source = source
        self._inbox = inbox
        self.lender = lender_from(source)
        self.loans: set[Loan] = set()  # those of which nothing has been heard yet
        self._is_first = True
        self._in_vain = 0
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    # Orders; each only goes on a list, and the thread carries it out ------------------------

    def engage(self, slot: int) -> None:
        """Find out whether there is a lender for `slot`; in the end it is ready, or unstartable.

        Raises:
            RuntimeError: no thread can be started.
        """
        if self._thread is None:
            thread = threading.Thread(target=self._hand_out, name="ezpq_exec-lending")
            thread.start()
            self._thread = thread
        self._orders.put(functools.partial(self._engage, slot))

    def lend(self, place: Place, number: int, payload: Any, sent: list[object]) -> None:
        """Hand a job over; `sent` is extended by the call that makes it so."""
        order = functools.partial(self._lend, place, number, payload)
        sent.extend(map(self._orders.put, (order,)))

    def end(self) -> None:
        """Let the thread go; `Gone` says that it does."""
        if self._thread is None:
            self._inbox.put(Gone())
        else:
            self._orders.put(None)

    def join(self) -> None:
        """Wait for the thread, which has said that it goes."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # The thread -------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        while (order := self._orders.get()) is not None:
            order()
            del order  # while waiting, keep nothing alive
        self._inbox.put(Gone())

    def _engage(self, slot: int) -> None:
        """Say that `slot` can have a job, when there is a lender for it."""
        lender = self.lender
        if lender.fault is not None:
            if isinstance(self._source, Executor):
                self._inbox.put(Unstartable(slot, lender.fault, fatal=True))
                return
            self._in_vain = 0 if lender.served else self._in_vain + (not self._is_first)
            if self._in_vain >= MOST_IN_VAIN:
                self._inbox.put(Unstartable(slot, lender.fault, fatal=True))
                return
            try:
                self.lender = lender_from(self._source)
            except BaseException as failure:  # the user's code, whose failure is news
                self._inbox.put(Unstartable(slot, failure))
                return
            self._is_first = False
            lender = self.lender
        self._inbox.put(Ready(slot, os.getpid() if lender.is_here else None))

    def _lend(self, place: Place, number: int, payload: Any) -> None:
        """Hand a job to the lender."""
        lender = self.lender
        loan = place.loan = Loan(place, number, lender, payload)
        if loan.errand is not None:
            loan.errand.owner = self
        self.loans.add(loan)
        if lender.fault is not None:
            self._refuse(loan, lender.fault)
            return
        try:
            future = loan.future = lender.submit(payload, loan.errand)
        except BaseException as failure:  # of the lender, or of the user's objects
            if lender.is_done_for(failure):
                lender.fault = failure
            self._refuse(loan, failure)
            return
        if not lender.asked:
            lender.asked = True
            _come_before(lender)
        loan.watcher = threading.get_ident()
        future.add_done_callback(functools.partial(self._land, loan))
        loan.watcher = None

    def _refuse(self, loan: Loan, cause: BaseException) -> None:
        loan.place.loan = None  # while idle, keep nothing alive
        self._inbox.put(Refused(loan, cause, time.monotonic()))

    def _land(self, loan: Loan, future: Future[Any]) -> None:
        """The lender's future is done; on whichever thread did that, or our own."""
        seen = time.monotonic()
        lender, place = loan.lender, loan.place
        place.loan = None
        error = CancelledError() if future.cancelled() else future.exception()
        if lender.fault is None and is_end(error):
            lender.fault = error
        self._inbox.put_quietly(Landed(loan, future, seen))
        if error is None:
            lender.served = True
            item = place.next()
            # Where the future was done at once, this is called from `_lend`: no deeper, then.
            if item is not None and lender.is_prompt and loan.watcher != threading.get_ident():
                self._lend(place, *item)
            elif item is not None:
                self.lend(place, *item, [])
        self._inbox.ring()


def _come_before(lender: Lender) -> None:
    """See that at exit we finish before this kind of lender, some of which register late."""
    kind = type(lender.executor)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name not in _known:
        _known.add(name)
        exitorder.come_first()
