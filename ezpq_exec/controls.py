"""What may be asked of a running executor as a whole: to pause, resize, report, end, be killed."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import NoReturn

from .checks import check_kills, check_workers
from .desk import Desk
from .engines.base import Capabilities
from .options import check_seconds
from .scheduler import Scheduler
from .stats import Stats, count
from .whereabouts import JobStack

__all__ = ["ControlledExecutor"]


class ControlledExecutor(Executor):
    """An executor that a loop runs, and what can be done with it besides submitting."""

    _max_workers: int  # Dask reads it by this name
    _limit: int | None  # `max_workers` as the user gave it
    _scheduler: Scheduler
    _loop: Desk
    _capabilities: Capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What the executor's engine can do."""
        return self._capabilities

    @property
    def is_open(self) -> bool:
        """Whether it accepts jobs: it is not shut down, not broken, and was made in this process."""
        try:
            self._loop.check_open()
        except RuntimeError:
            return False
        return True

    @property
    def max_workers(self) -> int:
        """How many jobs run at once. On a Dask cluster, this changes as its workers come and go."""
        if self._capabilities.follows:
            offered = self._scheduler.slots.offered or 0
            return offered if self._limit is None else min(offered, self._limit)
        return self._max_workers

    def pause(self) -> None:
        """Start no job until `resume`. Jobs that run go on, and jobs can be submitted.

        Raises:
            RuntimeError: this process is a fork of the one in which the executor was made.

        >>> from ezpq_exec import PriorityExecutor
        >>> with PriorityExecutor(1, engine="threads") as ex:
        ...     ex.pause()
        ...     future = ex.submit(abs, -1)
        ...     print(future.info.state.value, ex.stats().waiting)
        ...     ex.resume()
        ...     future.result()
        waiting 1
        1
        """
        self._loop.tell(self._scheduler.pause)

    def resume(self) -> None:
        """Start jobs again, after `pause`.

        Raises:
            RuntimeError: as with `pause`.
        """
        self._loop.tell(self._scheduler.resume)

    def resize(self, max_workers: int) -> None:
        """Let `max_workers` jobs run at once from now on. Jobs that run now are not interrupted.

        Args:
            max_workers: 1 or more. On a Dask cluster, it is the most that run at once.

        Raises:
            TypeError, ValueError: `max_workers` is not such a number.
            RuntimeError: as with `pause`.

        >>> from ezpq_exec import PriorityExecutor
        >>> with PriorityExecutor(1, engine="threads") as ex:
        ...     ex.resize(3)
        ...     ex.max_workers
        3
        """
        self._max_workers = self._limit = limit = check_workers("max_workers", max_workers)
        self._loop.tell(self._scheduler.resize, limit)

    def stats(self) -> Stats:
        """Counts of jobs and workers, all of the same moment.

        Raises:
            RuntimeError: as with `pause`; or this is a finalizer that interrupts the executor.

        >>> from ezpq_exec import PriorityExecutor, Verdict
        >>> ex = PriorityExecutor(1, engine="threads")
        >>> _ = ex.submit(abs, -1).result()
        >>> ex.shutdown()
        >>> ex.stats().settled[Verdict.RETURNED], ex.stats().waiting
        (1, 0)
        """
        return self._loop.ask(lambda _: (count(self._scheduler), []))

    def dump(self, timeout: float = 5.0) -> list[JobStack]:
        """Where each running job is in its code at this moment; the jobs go on.

        Args:
            timeout: seconds to wait for the stacks. What has not come by then is None.

        Returns:
            A `JobStack` for each running job, in the order of their ids.

        Raises:
            TypeError, ValueError: `timeout` is not a positive number.
            UnsupportedOption: the engine cannot tell.
            RuntimeError: as with `stats`.
        """
        return self._loop.whereabouts(check_seconds("timeout", timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs. Those that were submitted are finished; a paused executor resumes.

        Args:
            wait: return only when all jobs and callbacks are done, and no worker is left.
            cancel_futures: cancel the jobs that wait.
        """
        self._loop.finish(cancel_futures)
        if wait:
            self._loop.join()

    def kill_workers(self) -> None:
        """Shut down at once: cancel the jobs that wait, kill those that run. It does not wait.

        The futures of running jobs raise `JobKilled` once their processes, and all that these
        started, are gone. `shutdown()` waits for that.

        Raises:
            UnsupportedOption: the engine cannot kill.

        >>> from ezpq_exec import PriorityExecutor
        >>> ex = PriorityExecutor(1)
        >>> ex.pause()
        >>> future = ex.submit(abs, -1)
        >>> ex.kill_workers()
        >>> ex.shutdown()
        >>> future.cancelled()
        True
        """
        check_kills("kill_workers", self._capabilities)
        self._loop.check_process()
        self._loop.abort()

    def terminate_workers(self) -> None:
        """As `kill_workers`, but running jobs are sent SIGTERM, and killed only 5 seconds later.

        So a job may put something in order by a handler for SIGTERM. It cannot finish: its future
        raises `JobKilled` in any case. On Windows there is no SIGTERM, and it is killed.

        Raises:
            UnsupportedOption: the engine cannot kill.
        """
        check_kills("terminate_workers", self._capabilities)
        self._loop.check_process()
        self._loop.abort(gentle=True)

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Shut down and wait; where Ctrl-C ends the block, or the waiting, kill what can be killed.

        What waits is cancelled then, and running jobs end as by `kill_workers`. A job that runs in
        a thread cannot be killed, and is waited for.
        """
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            try:
                self.shutdown(wait=True)
            except KeyboardInterrupt:
                self._loop.abort()
                self._loop.join()
                raise
        else:
            self._loop.abort()
            self._loop.join()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an executor cannot be pickled: a job that needs one can make its own")
