"""Hands jobs to a lender, on a thread of ours, and asks for a new lender when one breaks.

All jobs go through that thread. The lender's `submit` may take as long as it likes; and the thread
that resolves its futures could be one that `submit` waits for.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, Union

from .. import exitorder, packing
from ..inbox import Inbox
from ..naming import class_name
from ..reports import Ready, Unstartable
from .board import Board
from .lender import Lender, capacity_of, lender_from
from .loans import Bundle, Landed, Loan, Refused

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

    def __init__(self, source: Executor | Callable[[], Executor], inbox: Inbox[News]) -> None:
        self._source = source
        self._inbox = inbox
        self.lender = lender_from(source)
        self.bundles: set[Bundle] = set()  # those that are not back
        self.board: Board | None = None
        self._has_board = True  # until it turns out that there can be none
        self._is_first = True
        self._in_vain = 0
        self._orders: queue.SimpleQueue[Bundle | Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def lends_ahead(self, loan: Loan, places: int) -> bool:
        """Whether `loan` can be lent ahead of its turn, so that it could still be had back.

        Only where there are as many places as the lender has workers. With fewer, more jobs would run
        at once than there are places; with more, the lender has jobs at hand as it is, and those
        behind one that waits there would be taken back, and lent again, without end.
        """
        lender = self.lender
        if not lender.is_prompt or places != capacity_of(lender.executor):
            return False
        if lender.is_here:
            return True
        if self.board is None and self._has_board:
            try:
                self.board = Board()
            except (OSError, AttributeError):
                self._has_board = False
        if self.board is None or not lender.sees_board:
            return False
        loan.ticket = loan.cell = self.board.post()
        return loan.ticket is not None

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

    def lend(self, bundle: Bundle, sent: list[object] | None = None) -> None:
        """Hand jobs over; `sent` is extended by the call that makes it so."""
        self.bundles.add(bundle)
        if sent is None:
            self._orders.put(bundle)
        else:
            sent.extend(map(self._orders.put, (bundle,)))

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

    def close(self) -> None:
        """All has been heard, at least of what is on the page."""
        if self.board is not None:
            self.board.close()
            self.board = None

    # The thread -------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        while (order := self._orders.get()) is not None:
            if isinstance(order, Bundle):
                self._lend(order)
            else:
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

    def _lend(self, bundle: Bundle) -> None:
        """Hand to the lender what was not taken back."""
        lender = bundle.lender = self.lender
        loans = [loan for loan in bundle.loans if loan.ticket is None or self._pack(loan, bundle)]
        bundle.members = members = [loan for loan in loans if loan.claim()]
        if not members:
            self._land(bundle)
            return
        bundle.handed = time.monotonic()
        if lender.fault is not None:
            self._refuse(bundle, lender.fault)
            return
        for loan in members:
            if loan.errand is not None:
                loan.errand.owner = self
        try:
            future = lender.submit(members, bundle.answers)
        except BaseException as failure:  # of the lender, or of the user's objects
            if lender.is_done_for(failure):
                lender.fault = failure
            self._refuse(bundle, failure)
            return
        bundle.future = future
        if not lender.asked:
            lender.asked = True
            _come_before(lender)
        future.add_done_callback(functools.partial(self._land, bundle))

    def _pack(self, loan: Loan, bundle: Bundle) -> bool:
        """Put a call in the form in which it goes with others; False if it goes by itself."""
        if loan.errand is None:
            return True
        try:
            loan.payload = packing.pack_call(loan.payload, None)
        except Exception:  # the lender may have its own ways to carry it
            loan.ticket = None
            bundle.loans = [other for other in bundle.loans if other is not loan]
            alone = Bundle([loan])
            loan.place.count()
            self.bundles.add(alone)
            self._lend(alone)
            return False
        return True

    def _refuse(self, bundle: Bundle, cause: BaseException) -> None:
        self._tell(Refused(bundle, time.monotonic(), cause))

    def _land(self, bundle: Bundle, _: Future[Any] | None = None) -> None:
        """The lender's future is done; on whichever thread did that, or our own."""
        self._tell(Landed(bundle, time.monotonic()))

    def _tell(self, news: Landed | Refused) -> None:
        """The loop is to hear it; but first come the next jobs that wait at doors."""
        self._inbox.put_quietly(news)
        news.bundle.place.next(self._lend_next)
        self._inbox.ring()

    def _lend_next(self, loan: Loan) -> None:
        self.lend(Bundle([loan]))


def _come_before(lender: Lender) -> None:
    """See that at exit we finish before this kind of lender, some of which register late."""
    name = class_name(type(lender.executor))
    if name not in _known:
        _known.add(name)
        exitorder.come_first()
