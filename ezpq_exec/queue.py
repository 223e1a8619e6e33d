"""`Queue`: ezpq's, over an executor of its own, which does all the scheduling."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import progress
from .checks import check_callable
from .ezpq_job import as_args
from .joblog import JobLog
from .queue_clerk import log
from .queue_intake import QueueIntake
from .queue_record import Record
from .queue_settings import settings_of

if TYPE_CHECKING:
    from .decorator import Parallel

__all__ = ["Queue"]


class Queue(QueueIntake):
    """Runs jobs side by side, the most urgent first, and keeps them until they are collected.

    It can also be a decorator: of `f(x, …)` it makes `f(iterable, …)`, which runs a job an item.

    Args:
        n_workers: how many jobs run at once; default: the number of CPUs.
        max_size: how many jobs may be in the queue, completed ones included; 0: any number.
        job_runner: `multiprocessing.Process` or `threading.Thread`: where jobs run.
        auto_remove: do not keep completed jobs.
        auto_start: start jobs at once; else `start` is to be called.
        auto_stop: stop whenever no job waits or runs any more.
        callback: is called with each job's dict when it has run; what it returns, or the text of
            the exception that it raises, is the dict's "callback".
        log_file: a CSV file to which each completed job is appended.
        poll: is checked, and has no effect: nothing here polls.
        show_progress: have the decorated function show a progress bar.
        qid: the queue's id; default: eight hexadecimal digits.
        escape_formulas: put an apostrophe before cells of `log_file` that look like formulas.

    ezpq 0.1's order of arguments is understood, too: there, `job_runner` came first.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
        OSError: `log_file` cannot be written.

    >>> with Queue(2) as queue:
    ...     for x in range(3):
    ...         number = queue.put(pow, args=(x, 2), priority=-x)
    ...     left = queue.wait()
    ...     [(job["id"], job["output"]) for job in queue.collect()]
    [(3, 4), (2, 1), (1, 0)]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(settings_of(args, kwargs))

    def __call__(self, function: Callable[..., Any]) -> Parallel:
        """Decorate `function`: see `Parallel`."""
        from .decorator import Parallel

        return Parallel(function, self)

    def __enter__(self) -> Queue:  # noqa: PYI034 - what is made of a subclass is its own affair
        log.debug("Entered context manager")
        return self

    def __exit__(self, *_: object) -> None:
        log.debug("Exiting context manager")
        self.dispose()

    def lend(self) -> Queue:
        """Another queue with the same settings, which has jobs of its own and uses this one's workers."""
        self.start()
        queue = Queue.__new__(Queue)
        settings = dataclasses.replace(self.settings, auto_start=True, auto_stop=False)
        QueueIntake.__init__(queue, settings, self.executor())
        return queue

    # Many jobs at once -----------------------------------------------------------------------

    def map(
        self,
        function: Callable[..., Any],
        iterable: Iterable[Any],
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = 0,
        show_progress: bool = False,
    ) -> list[dict[str, Any]]:
        """Run a job for each item, wait, and collect.

        Args:
            function: is called with the item, then `args`, and `kwargs`.
            iterable: the items.
            args, kwargs: more arguments, the same for each.
            timeout: seconds that each job may run; 0: no limit.
            show_progress: show a progress bar meanwhile.

        >>> with Queue(2) as queue:
        ...     [job["output"] for job in queue.map(pow, [1, 2, 3], args=2)]
        [1, 4, 9]
        """
        rest = as_args(args) or []
        calls = (([item, *rest], kwargs) for item in _items(iterable))
        return self._all(function, calls, timeout, show_progress)

    def starmap(
        self,
        function: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = 0,
        show_progress: bool = False,
    ) -> list[dict[str, Any]]:
        """As `map`, but each item is a list of arguments, which come before `args`."""
        rest = as_args(args) or []
        calls = (([*_items(item), *rest], kwargs) for item in _items(iterable))
        return self._all(function, calls, timeout, show_progress)

    def starmapkw(
        self,
        function: Callable[..., Any],
        iterable: Iterable[Mapping[str, Any]],
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = 0,
        show_progress: bool = False,
    ) -> list[dict[str, Any]]:
        """As `map`, but each item is a dict of keyword arguments; `kwargs` has precedence."""
        rest = as_args(args)
        calls = ((rest, {**item, **(kwargs or {})}) for item in _items(iterable))
        return self._all(function, calls, timeout, show_progress)

    def _all(
        self,
        function: Callable[..., Any],
        calls: Iterator[tuple[list[Any] | None, Mapping[str, Any] | None]],
        timeout: float,
        show_progress: bool,
    ) -> list[dict[str, Any]]:
        check_callable(function)
        if show_progress:
            progress.check()
        sample = Record(function, None, None, timeout=timeout)
        options = sample.options(can_kill=self.settings.can_kill)
        submit = self.executor().options(**options).submitter(function)
        for args, kwargs in calls:
            plain = None if kwargs is None else dict(kwargs)
            self._enter(Record(function, args, plain, timeout=timeout), submit)
        self.wait(show_progress=show_progress)
        return self.collect()

    # The end ---------------------------------------------------------------------------------

    def clear_waiting(self) -> None:
        """Take back all jobs that wait: they become completed ones, cancelled and never started."""
        log.debug("Clearing waiting queue")
        cancelled = None
        for record in self._ledger.waiting_records():
            if record.future is not None and record.future.cancel():
                cancelled = record
        if cancelled is not None and not self._clerk.is_calling():
            self._ledger.wait_until(functools.partial(_is_processed, cancelled), None)

    def stop_all(self, wait: bool = True) -> None:
        """Take back the jobs that wait, and kill those that run: they are completed, cancelled.

        Args:
            wait: come back only when nothing runs any more. Threads, which cannot be killed, are
                waited for. In the queue's own callback, nothing is waited for.
        """
        self.clear_waiting()
        for record in self._ledger.pending_records():
            future = record.future
            if future is None or future.kill() or future.done():
                continue
            log.error("Unable to terminate thread: job '%s' runs on.", record.id)
        if wait and not self._clerk.is_calling():
            self._ledger.wait_until(lambda: not self._ledger.pending, None)

    def clear(self) -> None:
        """Stop all jobs, and forget all that are completed, and the counts."""
        self.stop_all(wait=True)
        log.debug("Removed jobs.")
        log.debug("Removed output.")
        self._ledger.clear()
        log.debug("Removed completed.")
        log.debug("Reset counters.")

    def dispose(self) -> None:
        """Stop all jobs, forget what is completed, and close: nothing more can be put in."""
        with self._intake:
            already, self._closed = self._closed, True
        if already:
            return
        log.debug("Disposing")
        self.clear()
        if self._executor is not None and not self._lent:
            self._executor.shutdown(wait=not self._clerk.is_calling())
        self._clerk.running = False
        log.debug("Stopped pulse.")

    @staticmethod
    def log_csv(job: Mapping[str, Any], path: str = "ezpq_log.csv", append: bool = True) -> int:
        """Write one job's dict to a CSV file, with a header if it is the first.

        Args:
            job: its dict.
            path: the file.
            append: keep what is in it.

        Returns:
            0; -1 if it could not be written, which is logged.
        """
        if not isinstance(job, Mapping):
            raise TypeError(f"log_csv takes a job's dict, not {job!r}")
        job_log = JobLog(path)
        try:
            job_log.append(job) if append else job_log.replace(job)
        except OSError as error:
            log.error("Logging error: %s", error)
            return -1
        return 0


def _items(iterable: Iterable[Any]) -> Iterable[Any]:
    if not isinstance(iterable, Iterable):
        raise TypeError(f"there is nothing to iterate over in {iterable!r}")
    return iterable


def _is_processed(record: Record) -> bool:
    return record.processed is not None
