"""Any `concurrent.futures.Executor` as an engine: it lends us its workers.

It gets no more jobs than there are slots, so that the order in which they begin is ours. Where it
is one that is known to be quick, the jobs behind those wait here, each slot's in a queue of its own,
and the thread that brings an answer hands the next one over itself: so the loop, which would have
to be woken for that first, is spared the way between two jobs. Else a thread of ours hands over,
since a stranger's `submit` may take as long as it likes.

What is reported is put together on the loop's thread, in `wait`, from what threads leave in the
inbox. A slot's worker is a fiction: it is ready as long as there is a lender that takes jobs.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, NamedTuple

from .. import ending, packing
from ..errors import UnsupportedOption
from ..inbox import Inbox
from ..jobs import Call, Outcome, Verdict
from ..reports import Finished, Loss, Lost, Ready, Report, Stopped, Unstartable
from .base import Capabilities, Engine, Setup
from .errand import Answer
from .lender import Lender, capacity_of, errand_of, is_end, lender_from

__all__ = ["BorrowedEngine"]

MOST_IN_VAIN = 3  # lenders in a row that break before they have run a job

_known: set[str] = set()  # kinds of lenders that have run something: they will be called at exit


class _Place:
    """A slot. `lock` guards `is_taken` and `ahead`."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.lock = threading.Lock()
        self.is_taken = False  # a job is with the lender, or on its way
        self.ahead: deque[tuple[int, Any]] = deque()  # jobs that follow it, with their payloads
        self.loan: _Loan | None = None  # the last one


class _Loan:
    """A job in the lender's hands. `future`, once there is one, is the lender's."""

    __slots__ = ("errand", "future", "handed", "lender", "number", "place")

    def __init__(self, place: _Place, number: int, lender: Lender, payload: Any) -> None:
        self.place = place
        self.number = number
        self.lender = lender
        self.errand = errand_of(payload)
        self.future: Future[Any] | None = None
        self.handed = time.monotonic()

    def is_unbegun(self, refused: bool) -> bool:
        """Whether it is certain that the job did not begin, and now that it never will."""
        if self.errand is not None:
            return self.errand.withdraw() or (refused and self.errand.began is None)
        return refused


class _Landed(NamedTuple):
    """A lender's future is done."""

    loan: _Loan
    future: Future[Any]
    seen: float


class _Refused(NamedTuple):
    """A lender's `submit` raised."""

    loan: _Loan
    cause: BaseException
    seen: float


class _Gone(NamedTuple):
    """Our own thread is about to end."""


class BorrowedEngine(Engine):
    """Runs jobs in an executor of somebody else's, which is never shut down.

    Args:
        source: the executor, or a function that makes one, which is called again when that breaks.

    Raises:
        TypeError: the function makes something else.
    """

    def __init__(self, source: Executor | Callable[[], Executor]) -> None:
        self._source = source
        self._lender = lender = lender_from(source)
        self._packs = lender.packs
        self._in_vain = 0
        self._is_first = True
        self.capabilities = Capabilities(
            isolates=lender.isolates, hands_over=True, queues=lender.is_prompt, borrows=True
        )
        self._places: dict[int, _Place] = {}
        self._loans: set[_Loan] = set()
        self._inbox: Inbox[Report | _Landed | _Refused | _Gone] = Inbox()
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        for name in ("initializer", "initargs", "max_tasks_per_child"):
            value = getattr(setup, name)
            if value is not None and value != ():
                raise UnsupportedOption(
                    f"{name} is for those who start the workers; these are those of "
                    f"{self._lender.executor!r} (got {value!r})"
                )

    def capacity(self) -> int | None:
        """See `Engine.capacity`."""
        return capacity_of(self._lender.executor)

    def pack(self, call: Call, packed_function: Any = None) -> Any:
        """See `Engine.pack`. Only stdlib processes need it: others have their own ways."""
        return packing.pack_call(call, packed_function) if self._packs else call

    def pack_function(self, function: Callable[..., Any]) -> Any:
        """See `Engine.pack_function`."""
        return packing.pack(function) if self._packs else None

    # Orders of the loop -----------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        if self._thread is None:
            thread = threading.Thread(target=self._hand_out, name="ezpq_exec-lending")
            try:
                thread.start()
            except RuntimeError as failure:  # no more threads to be had
                self._inbox.put(Unstartable(slot, failure))
                return
            self._thread = thread
        self._places[slot] = _Place(slot)
        self._orders.put(functools.partial(self._engage, slot))

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """See `Engine.run`."""
        self.hand_over(slot, number, payload, timeout, [])

    def hand_over(
        self, slot: int, number: int, payload: Any, timeout: float | None, sent: list[object]
    ) -> None:
        """See `Engine.hand_over`. It only puts the job on our thread's list, so it cannot fail."""
        place = self._places[slot]
        place.is_taken = True
        order = functools.partial(self._lend, place, number, payload)
        sent.extend(map(self._orders.put, (order,)))

    def queue(self, slot: int, number: int, payload: Any) -> bool:
        """See `Engine.queue`."""
        place = self._places.get(slot)
        if place is None:
            return False
        with place.lock:
            if place.is_taken:
                place.ahead.append((number, payload))
                return True
            place.is_taken = True
        self._orders.put(functools.partial(self._lend, place, number, payload))
        return True

    def recall(self, slot: int) -> list[int]:
        """See `Engine.recall`."""
        place = self._places.get(slot)
        if place is None:
            return []
        with place.lock:
            numbers = [number for number, _ in place.ahead]
            place.ahead.clear()
        return numbers

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        """See `Engine.kill`. Never called: `Capabilities.kills` is false."""
        raise NotImplementedError("a job in a borrowed executor cannot be killed")

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        self._places.pop(slot, None)

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`. What went to another process began when its lender says it runs."""
        place = self._places.get(slot)
        loan = None if place is None else place.loan
        if loan is None or loan.number != number:
            return None
        if loan.errand is not None and (loan.errand.began is not None or loan.errand.waits_here):
            return loan.errand.began
        future = loan.future
        runs = future is not None and (future.running() or future.done())
        return loan.handed if runs else None

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._inbox.ring()

    def close(self, *, kill: bool = False) -> None:
        """See `Engine.close`. What the lender has in hand is left to finish."""
        self._closing = True
        for place in self._places.values():
            with place.lock:
                place.ahead.clear()
        self._places.clear()
        self._orders.put(None)
        if self._thread is None:
            self._inbox.put(_Gone())

    def wait(self, timeout: float | None) -> list[Report]:
        """See `Engine.wait`."""
        reports: list[Report] = []
        for item in self._inbox.take(timeout):
            if isinstance(item, _Landed):
                self._loans.discard(item.loan)
                reports.append(self._report(item))
            elif isinstance(item, _Refused):
                self._loans.discard(item.loan)
                reports.append(self._fail(item.loan, item.cause, item.seen, refused=True))
            elif isinstance(item, _Gone):
                if self._thread is not None:
                    self._thread.join()
                    self._thread = None
            else:
                reports.append(item)
        if self._closing and self._thread is None and not self._loans:
            reports.append(Stopped())
        return reports

    # What came back ---------------------------------------------------------------------------

    def _report(self, landed: _Landed) -> Report:
        loan, future, seen = landed
        if future.cancelled():
            return self._fail(loan, CancelledError("the borrowed executor cancelled it"), seen)
        error = future.exception()
        if error is not None:
            return self._fail(loan, error, seen)
        answer = future.result()
        if not isinstance(answer, Answer):
            odd = TypeError(f"the borrowed executor answered {answer!r} for a job")
            return self._fail(loan, odd, seen)
        return Finished(loan.place.slot, loan.number, _outcome_of(answer, loan.handed, seen))

    def _fail(
        self, loan: _Loan, cause: BaseException, seen: float, *, refused: bool = False
    ) -> Report:
        """A job came to nothing by the lender's doing: its own fault, or the whole lender's."""
        slot = loan.place.slot
        is_lost = loan.lender.fault is not None or isinstance(cause, CancelledError)
        if not is_lost:
            self._go_on(loan.place)
            outcome = Outcome(Verdict.RAISED, cause, started=loan.handed, ended=seen, exitcode=1)
            return Finished(slot, loan.number, outcome)
        known = refused or (isinstance(cause, CancelledError) and loan.lender.is_prompt)
        begun = None if loan.is_unbegun(known) else loan.handed
        place = _Place(slot)
        if not self._closing and self._places.get(slot) is loan.place:
            self._places[slot] = place
            self._orders.put(functools.partial(self._engage, slot))
        return Lost(slot, Loss(begun=begun, ended=seen, cause=cause))

    def _go_on(self, place: _Place) -> None:
        """Have the next job of `place` lent, after one that failed."""
        item = _next_of(place)
        if item is not None:
            self._orders.put(functools.partial(self._lend, place, *item))

    # The thread that deals with the lender; `_lend` and `_land` are called by the lender's, too --

    def _hand_out(self) -> None:
        while (order := self._orders.get()) is not None:
            order()
            del order  # while waiting, keep nothing alive
        self._inbox.put(_Gone())

    def _engage(self, slot: int) -> None:
        """Say that `slot` can have a job, when there is a lender for it."""
        lender = self._lender
        if lender.fault is not None:
            if isinstance(self._source, Executor):
                self._inbox.put(Unstartable(slot, lender.fault, fatal=True))
                return
            self._in_vain = 0 if lender.served else self._in_vain + (not self._is_first)
            if self._in_vain >= MOST_IN_VAIN:
                self._inbox.put(Unstartable(slot, lender.fault, fatal=True))
                return
            try:
                self._lender = lender_from(self._source)
            except BaseException as failure:  # the user's code, whose failure is news
                self._inbox.put(Unstartable(slot, failure))
                return
            self._is_first = False
        self._inbox.put(Ready(slot, None))

    def _lend(self, place: _Place, number: int, payload: Any) -> None:
        """Hand a job to the lender."""
        lender = self._lender
        loan = place.loan = _Loan(place, number, lender, payload)
        self._loans.add(loan)
        if lender.fault is not None:
            self._refuse(loan, lender.fault)
            return
        try:
            future = loan.future = lender.submit(payload, loan.errand)
        except BaseException as failure:  # of the lender, or of the user's objects
            if lender.fault is None and lender.is_done_for(failure):
                lender.fault = failure
            self._refuse(loan, failure)
            return
        future.add_done_callback(functools.partial(self._land, loan))

    def _refuse(self, loan: _Loan, cause: BaseException) -> None:
        loan.place.loan = None  # while idle, keep nothing alive
        self._inbox.put(_Refused(loan, cause, time.monotonic()))

    def _land(self, loan: _Loan, future: Future[Any]) -> None:
        """The lender's future is done; on whichever thread did that, or our own."""
        seen = time.monotonic()
        lender, place = loan.lender, loan.place
        place.loan = None
        error = CancelledError() if future.cancelled() else future.exception()
        if lender.fault is None and is_end(error):
            lender.fault = error
        self._inbox.put_quietly(_Landed(loan, future, seen))
        if error is None:
            if not lender.served:
                lender.served = True
                _come_before(lender)
            item = _next_of(place)
            if item is not None and lender.is_prompt:
                self._lend(place, *item)
            elif item is not None:
                self._orders.put(functools.partial(self._lend, place, *item))
        self._inbox.ring()


def _next_of(place: _Place) -> tuple[int, Any] | None:
    with place.lock:
        if place.ahead:
            return place.ahead.popleft()
        place.is_taken = False
        return None


def _come_before(lender: Lender) -> None:
    """See that at exit we finish before this kind of lender, some of which register late."""
    kind = type(lender.executor)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name not in _known:
        _known.add(name)
        ending.come_first()


def _outcome_of(answer: Answer, handed: float, seen: float) -> Outcome:
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
