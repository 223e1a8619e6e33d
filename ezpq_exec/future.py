"""`JobFuture`: the standard library's future, plus `info`, `kill` and `reprioritize`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NoReturn, TypeVar

from .condition import SharedCondition
from .jobs import JobInfo, State, describe
from .lightfuture import LightFuture
from .options import check_priority
from .owner import Owner
from .wallclock import offset

__all__ = ["JobFuture"]

T = TypeVar("T")


class JobFuture(LightFuture[T]):
    """What `PriorityExecutor.submit` returns.

    It is a `concurrent.futures.Future` in every respect: `wait`, `as_completed` and asyncio take
    it. Callbacks run one after another on a thread of the executor's own, so that one that takes
    its time holds up neither jobs nor deadlines.

    >>> from ezpq_exec import PriorityExecutor
    >>> with PriorityExecutor(1) as ex:
    ...     future = ex.submit(pow, 2, 5)
    ...     future.result()
    32
    >>> future.info.state.value, future.info.verdict.value, future.info.args
    ('done', 'returned', (2, 5))
    """

    # Set on the class, since most futures never have their own.
    _info: JobInfo | None = None
    _listeners: Sequence[Callable[[Future[T]], object]] = ()
    _starters: Sequence[Callable[[Any], object]] = ()

    def __repr__(self) -> str:
        job = self._job
        return f"<JobFuture of job {job.number} ({job.name}): {job.state.value}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled, for it belongs to the executor that it came from: "
            "pass its result() to another job, not the future"
        )

    @property
    def priority(self) -> Any:
        """The job's priority. Lower runs first."""
        return self._job.priority

    @property
    def submitted_at(self) -> float:
        """When the job was submitted, in seconds of `time.monotonic`."""
        return self._job.submitted

    @property
    def info(self) -> JobInfo:
        """All that is known of the job at this moment, as a `JobInfo`. It does not wait for the job."""
        if self._info is None:
            if not self.done() or self._job.state is not State.DONE:  # or the loop has yet to hear
                return self._owner.describe(self._job)
            exception = None if self.cancelled() else self.exception()
            self._info = describe(self._job, started=None, wall=offset(), exception=exception)
        return self._info

    def cancel(self) -> bool:
        """Take the job back, if it still waits.

        Returns:
            True if it will never run; False if it runs or has ended.
        """
        with self._condition:
            if not self._job.ahead or self.done():
                return self._cancel()
        if not self._owner.hold(self._job):  # its worker has already begun it
            return False
        with self._condition:
            return self._cancel()

    def _cancel(self) -> bool:
        already = self.cancelled()
        if not super().cancel():
            return False
        if not already:
            self._job.called_off = True
            self._owner.cancelled(self._job)
        return True

    def begin(self) -> None:
        """A job that was handed over ahead of its turn has begun, and may have ended."""
        with SharedCondition.lock():
            self._job.announced = self.forestall()
            self._job.ahead = False
        self._tell_start()

    def announce(self) -> bool:
        """Say that the job runs, if that was not said; False if it was cancelled before."""
        with SharedCondition.lock():  # as one, to whoever asks whether it has begun
            runs = self._job.announced = self.forestall()
        self._tell_start()
        return runs

    def _tell_start(self) -> None:
        if self._starters and not self._refused:
            with self._condition:
                starters, self._starters = self._starters, ()
            for listener in starters:
                listener(self)

    def kill(self) -> bool:
        """End the job: at once if it waits (it is cancelled), by killing its process if it runs.

        Returns:
            True if it will not end by itself: its future raises CancelledError or JobKilled.
            False if it has ended already, or runs where it cannot be killed (threads).

        A finalizer may call this, too. If it interrupts the executor itself, it cannot wait for the
        decision; the answer is then what is known at that moment.

        >>> import time
        >>> from ezpq_exec import PriorityExecutor
        >>> with PriorityExecutor(1) as ex:
        ...     ex.submit(time.sleep, 3600).kill()
        True
        """
        return self.cancel() or (not self.done() and self._owner.kill(self._job))

    def reprioritize(self, priority: Any) -> bool:
        """Give a waiting job another priority; among equals it keeps the order of submission.

        Returns:
            True if the job waits, under the new priority; False if it no longer waits.

        Raises:
            TypeError, ValueError: `priority` is not a number that compares.

        >>> from ezpq_exec import PriorityExecutor
        >>> with PriorityExecutor(1, engine="threads") as ex:
        ...     ex.pause()
        ...     future = ex.submit(abs, -1)
        ...     (future.reprioritize(1), future.priority)
        (True, 1)
        """
        rank = check_priority(priority)
        return not self.done() and self._owner.reprioritize(self._job, rank)

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Have `fn(self)` called when the future is done; at once, by this thread, if it is done.

        Raises:
            RuntimeError: it is not done, and this process is a fork, in which it will never be.
        """
        if self.done():
            super().add_done_callback(fn)
        else:
            self._owner.check_process()
            super().add_done_callback(_Callback(fn))

    def add_listener(self, listener: Callable[[Future[T]], object]) -> None:
        """As `add_done_callback`, but on the thread that resolves: for what is quick and safe."""
        with self._condition:
            if not self.done():
                self._owner.check_process()
                if type(self._listeners) is tuple:  # none has ever been here
                    super().add_done_callback(_tell)
                self._listeners = [*self._listeners, listener]
                return
        listener(self)

    def add_start_listener(self, listener: Callable[[Future[T]], object]) -> None:
        """Have `listener(self)` called when the job begins; at once, by this thread, if it has begun.

        As with `add_listener`, it must be quick and safe: it runs on the thread that starts jobs.
        It is not called for a job that never begins, and once for one that is tried again.
        """
        with self._condition:
            under_way = self.running() or (self.done() and not self.cancelled())
            # A job that was handed over ahead and is done has begun, though it was not announced.
            begun = under_way and (self._job.announced or self._job.ahead)
            if not begun:
                self._starters = [*self._starters, listener]
        if begun:
            listener(self)

    def remove_listener(self, listener: Callable[[Future[T]], object]) -> None:
        """Take one back, if it was not called yet."""
        with self._condition:
            self._listeners = [other for other in self._listeners if other is not listener]

    @property
    def listeners(self) -> Sequence[Callable[[Future[T]], object]]:
        """The listeners that are still to be called."""
        return self._listeners

    @property
    def owner(self) -> Owner:
        """The loop that resolves it."""
        return self._owner


# Neither of these refers to the future that keeps it: such a cycle would keep results alive.


class _Callback:
    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function

    def __call__(self, future: Any) -> None:
        future.owner.call_back(functools.partial(self.function, future))


def _tell(future: Any) -> None:
    for listener in future.listeners:
        listener(future)
