"""How jobs get into a queue, and whether it starts them."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from . import exits
from .checks import check_workers
from .excerpt import shown
from .ezpq_job import Job
from .queue_clerk import Clerk, log
from .queue_outlet import QueueOutlet
from .queue_record import Record
from .queue_settings import Settings

if TYPE_CHECKING:
    from .executor import PriorityExecutor

__all__ = ["QueueIntake"]


class QueueIntake(QueueOutlet):
    """The part of a `Queue` that has an executor. It is made when it is first needed.

    Args:
        settings: how the queue is to be.
        lender: an executor that it borrows instead.
    """

    def __init__(self, settings: Settings, lender: PriorityExecutor | None = None) -> None:
        super().__init__(settings)
        self._executor = lender
        self._lent = lender is not None
        self._closed = False
        # Guards the executor and whether it runs, and keeps ids in the order of submission. A
        # thread that holds it never waits for a job. Re-entrant: pickling may come back here.
        self._intake = threading.RLock()
        when_idle = _weakly(self._stop_if_idle) if settings.auto_stop else _nothing
        self._clerk = Clerk(self._ledger, settings.callback, settings.log, when_idle)
        self._clerk.running = settings.auto_start
        exits.tell_first(self._clerk)
        weakref.finalize(self, self._clerk.abandon).atexit = False
        log.debug("Initialized queue with %d workers.", settings.n_workers)
        log.debug("Initialized pulse.")

    @property
    def is_running(self) -> bool:
        """Whether jobs are started."""
        return self._clerk.running and not self._closed

    def is_started(self) -> bool:
        """The same, as 0.1 has it."""
        return self.is_running

    @property
    def settings(self) -> Settings:
        """How it was made."""
        return self._settings

    def executor(self) -> PriorityExecutor:
        """The executor that runs the jobs; it is made when it is first needed.

        Raises:
            RuntimeError: the queue was disposed of.
        """
        with self._intake:
            if self._closed:
                raise RuntimeError("this queue was disposed of: make another one")
            if self._executor is None:
                from .executor import PriorityExecutor

                engine: Literal["processes", "threads"]
                engine = "processes" if self._settings.can_kill else "threads"
                self._executor = PriorityExecutor(self._ledger.places, engine=engine)
                if not self._clerk.running:
                    self._executor.pause()
            return self._executor

    def start(self) -> None:
        """Start jobs, in the order of priority."""
        with self._intake:
            log.debug("Starting pulse.")
            self.executor().resume()
            self._clerk.running = True

    def stop(self) -> None:
        """Start no job until `start`. Those that run go on."""
        with self._intake:
            if self._clerk.running:
                self._clerk.running = False
                if self._executor is not None and not self._lent:
                    self._executor.pause()
                log.debug("Stopped pulse.")

    _stop = stop  # ezpq had no public name for it, so that programs use this one

    def _stop_if_idle(self) -> None:
        with self._intake:
            if not self._ledger.pending and not self._closed:
                self.stop()

    def set_workers(self, n: int) -> None:
        """Let `n` jobs run at once from now on. Those that run go on."""
        n = check_workers("n", n)
        with self._intake:
            log.debug("Added %d workers to the queue.", n - self._ledger.places)
            self._ledger.resize(n)
            if self._executor is not None and not self._lent:
                self._executor.resize(n)

    # Jobs in ---------------------------------------------------------------------------------

    def put(self, *args: Any, **kwargs: Any) -> int:
        """Make a `Job` of the arguments, and submit it.

        Returns:
            Its id: 1, 2, 3 …

        Raises:
            As `submit`.
        """
        return self.submit(Job(*args, **kwargs))

    def submit(self, job: Job) -> int:
        """Submit a job; its id.

        Raises:
            ExecutorFull: `max_size` jobs are in the queue.
            UnsupportedOption: the job has a timeout, which the queue's threads cannot keep.
            TypeError, ValueError: something in the job is not what it should be.
            RuntimeError: the queue was disposed of.
        """
        if not isinstance(job, Job):
            raise TypeError(f"submit takes a Job, not {shown(job)}; put takes a function")
        record = job.new_record()
        options = record.options(can_kill=self._settings.can_kill)
        executor = self.executor()
        submit = executor.options(**options).submit if options else executor.submit
        self._enter(record, functools.partial(submit, record.function))
        job.record, job.name = record, record.name
        return record.id or 0

    def _enter(self, record: Record, submit: Callable[..., Any]) -> None:
        with self._intake:
            self.executor()
            record.qid = self._settings.qid
            self._ledger.enter(record)
            if record.name is None:
                record.name = record.id
            future = None
            try:
                future = submit(*(record.args or ()), **(record.kwargs or {}))
                log.debug("Queued job: '%s'", record.id)
                self._clerk.follow(record, future)
            except BaseException:  # Ctrl-C may come between any two of these
                if future is None:
                    self._ledger.withdraw(record)
                else:
                    self._clerk.await_end(record, future)
                raise


def _nothing() -> None:
    pass


def _weakly(method: Callable[[], object]) -> Callable[[], object]:
    """`method`, without keeping its object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        bound = reference()
        if bound is not None:
            bound()

    return call
