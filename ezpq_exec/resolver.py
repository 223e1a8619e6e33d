"""Where futures are resolved: each once, on the loop's thread if that is sure to be quick."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from . import packing
from .courier import Courier
from .engines.arrivals import Arrival
from .engines.mappings import Mode
from .history import put_before
from .jobs import RETURNED, Job, Outcome, Verdict
from .offers import Handover
from .places import Places

if TYPE_CHECKING:
    from .future import JobFuture

__all__ = ["Resolver"]


class Resolver:
    """Resolves futures, with two couriers for what could run a user's code.

    Args:
        name: of the couriers' threads.
        recount: called with the wrong verdict and the right one, when a verdict is corrected.
        places: a job's place is given back here before its future is resolved.
    """

    def __init__(
        self,
        name: str,
        recount: Callable[[Verdict, Verdict], None],
        places: Places | None = None,
    ) -> None:
        self._recount = recount
        self._places = places
        self._callbacks = Courier(f"{name}-callbacks")
        self._decoder = Courier(f"{name}-results")

    def call_back(self, callback: Callable[[], object]) -> None:
        """Have a user's callback called."""
        self._callbacks.send(callback)

    @property
    def runs_here(self) -> bool:
        """Whether this thread is one of the couriers', or is sending one of them something."""
        return self._callbacks.is_here or self.decodes_here

    @property
    def decodes_here(self) -> bool:
        """Whether this is the thread that unpickles, or one that is sending a courier something."""
        return self._decoder.is_here or self._callbacks.is_held

    def deliver(self) -> None:
        """Resolve all that is still to be unpickled. From now on, it is done at once, by the caller."""
        self._decoder.close()
        self._decoder.join()

    def close(self) -> None:
        """Resolve what is left; callbacks go on until they are through."""
        self.deliver()
        self._callbacks.close()

    def join(self) -> None:
        """Wait until all is done, except for the caller's own part in it."""
        self._decoder.join()
        self._callbacks.join()

    def settle(self, job: Job, outcome: Outcome) -> None:
        """Resolve the future of `job`; on a courier, if a user's code may run by that."""
        future = job.future
        is_plain = outcome.packed and outcome.verdict is RETURNED and outcome.output is None
        if is_plain and future is not None and future.is_unseen:
            value = _at_once(outcome.value)
            if value is not packing.LATER and self._resolve_unseen(job, future, value):
                return
            is_slow = value is packing.LATER
        else:
            is_slow = outcome.packed and not packing.is_quick(outcome.value)
        # Whatever fails in a lane goes there, so that jobs that were skipped are told after the cause.
        fails_in_lane = outcome.verdict is not RETURNED and job.options.lane is not None
        if is_slow or outcome.output is not None or fails_in_lane:
            self._decoder.send(functools.partial(self._resolve_there, job, outcome))
            return
        # The outcome stays as it is: a thread that has fetched it may be at it, too.
        self._resolve(job, outcome)

    def _resolve_unseen(self, job: Job, future: JobFuture[Any], value: Any) -> bool:
        """As `_resolve`, unless somebody has asked after the job; then False, and nothing is done."""
        job.payload = None
        if self._places is not None:
            self._places.give_back(job.number)
        job.processed = time.monotonic()
        if not future.resolve_unseen(value):
            return False
        job.future = None
        return True

    def resolve_here(self, record: Handover, outcome: Outcome) -> bool:
        """Resolve a future on the thread that waits for it; False if that is left to the loop."""
        job, future = record.job, record.job.future
        if outcome.verdict is not RETURNED:
            return False
        value = packing.unpack_at_once(outcome.value)
        if value is packing.LATER:
            return False
        if self._places is not None:
            self._places.give_back(job.number)
        job.processed = time.monotonic()
        return future is not None and future.resolve_alone(value)

    def unpack(self, job: Job, outcome: Outcome, tell: Callable[[Job, Outcome], object]) -> None:
        """Have what a job raised unpacked, and say so by `tell`, on a courier."""

        def errand() -> None:
            outcome.value, outcome.verdict = self._unpack(outcome)
            outcome.packed = False
            tell(job, outcome)

        self._decoder.send(errand)

    def _resolve_there(self, job: Job, outcome: Outcome) -> None:
        """Resolve on the courier. A defect there would only be logged, so the future fails with it."""
        try:
            self._resolve(job, outcome)
        except BaseException as failure:
            future, job.future = job.future, None
            if future is not None and not future.done():
                future.fail(failure)
            raise

    def _resolve(self, job: Job, outcome: Outcome) -> None:
        future = job.future
        if future is None:
            raise AssertionError(f"{job!r} is resolved twice")
        job.payload = None
        if future.was_resolved_alone():
            job.future = None
            return
        value, verdict = self._read(job, outcome)
        if self._places is not None:
            self._places.give_back(job.number)
        job.processed = time.monotonic()
        if not (job.announced or self._forestall(job, future, verdict)):
            verdict = Verdict.CANCELLED
        if verdict is not outcome.verdict:
            job.verdict = verdict
            self._recount(outcome.verdict, verdict)
        if verdict is RETURNED:
            future.resolve(value)
        elif verdict is not Verdict.CANCELLED:
            future.fail(_after(outcome.context, value))
        job.future = None  # last: `wreck` finds by it which futures are still open

    def _read(self, job: Job, outcome: Outcome) -> tuple[Any, Verdict]:
        if outcome.output is not None:
            job.output = outcome.output.read()
        return self._unpack(outcome) if outcome.packed else (outcome.value, outcome.verdict)

    @staticmethod
    def _forestall(job: Job, future: JobFuture[Any], verdict: Verdict) -> bool:
        """Let nobody cancel a job that was never announced; False if somebody has."""
        if job.ahead:  # it has run ahead of its turn, and cannot be cancelled while it is there
            future.begin()  # at once: whoever asks to hear of it from now on is told
            return True
        if verdict is Verdict.CANCELLED:
            Future.cancel(future)
        return future.forestall()  # False: the user was quicker to cancel it

    @staticmethod
    def _unpack(outcome: Outcome) -> tuple[Any, Verdict]:
        try:
            if isinstance(outcome.value, Arrival):
                return outcome.value.open(packing.unpack_result, Mode.COPY), RETURNED
            if outcome.verdict is RETURNED:
                return packing.unpack_result(outcome.value), RETURNED
            return packing.unpack_error(outcome.value), outcome.verdict
        except BaseException as failure:  # a user's class, which may raise what it likes
            return failure, Verdict.RAISED


def _at_once(packed: Any) -> Any:
    """What is packed, if that takes no time and can be unpacked (it may be too deep); else `LATER`."""
    try:
        return packing.unpack_at_once(packed)
    except Exception:  # it is unpacked again, by who tells of the failure
        return packing.LATER


def _after(earlier: BaseException | None, error: BaseException) -> BaseException:
    """`error`, with the exception of an earlier attempt as its context."""
    if earlier is not None:
        put_before(error, earlier)
    return error
