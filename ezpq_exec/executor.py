"""`PriorityExecutor`: the standard library's executor interface, and what it lacks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from . import mapping
from .checks import (
    broken_processes,
    broken_threads,
    check_callable,
    check_setup,
    check_timeout,
    check_workers,
)
from .configured import ConfiguredExecutor
from .desk import Desk
from .engines.base import Capabilities, Engine
from .engines.choice import choose, default_workers
from .future import JobFuture
from .intake import Intake
from .jobs import Verdict
from .options import Options
from .scheduler import Scheduler

__all__ = ["PriorityExecutor", "Stats"]

P = ParamSpec("P")
T = TypeVar("T")

_GRACE = 1.0  # seconds by which an engine's own deadlines may be missed before the parent acts


@dataclass(frozen=True)
class Stats:
    """An executor's counts at one moment.

    Attributes:
        waiting, running: jobs.
        settled: jobs by verdict, those with none left out.
        retried: attempts that were not a job's first.
        workers_started: workers that became ready.
        workers_retired: those that left in good order, after their number of tasks or a `resize`.
        workers_killed: those killed for a timeout or on request.
        workers_died: those that ended by themselves.
    """

    waiting: int
    running: int
    settled: Mapping[Verdict, int]
    retried: int
    workers_started: int
    workers_retired: int
    workers_killed: int
    workers_died: int


class PriorityExecutor(Executor):
    """Runs calls in worker processes or threads, the most urgent first.

    It stands wherever `ProcessPoolExecutor` or `ThreadPoolExecutor` does; see `options` for what
    it can do beyond that.

    Args:
        max_workers: how many jobs run at once; default: the CPUs that this process may use.
        engine: "processes", "threads", or an `Engine`.
        initializer: called with `initargs` in each worker before its first job. If it raises, the
            executor is broken.
        initargs: its arguments.
        max_tasks_per_child: jobs after which a worker is replaced; None for never. Processes only.
        start_timeout: seconds that a worker may take to become ready, initializer included.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
        UnsupportedOption: the engine cannot honour an argument.

    >>> with PriorityExecutor(max_workers=2) as ex:
    ...     squares = list(ex.map(pow, [1, 2, 3], [2, 2, 2]))
    ...     urgent = ex.options(priority=0, timeout=5).submit(max, 3, 1, 2)
    ...     print(squares, urgent.result())
    [1, 4, 9] 3
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        engine: Literal["processes", "threads"] | Engine = "processes",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        setup = check_setup(initializer, initargs, max_tasks_per_child)
        check_timeout("start_timeout", start_timeout)
        if max_workers is not None:
            check_workers("max_workers", max_workers)
        chosen = choose(engine)
        # Dask's local scheduler, among others, reads it by this name.
        self._max_workers = default_workers(chosen) if max_workers is None else max_workers
        chosen.open(setup)
        capabilities = chosen.capabilities
        self._scheduler = Scheduler(
            self._max_workers,
            can_kill=capabilities.kills,
            grace=_GRACE if capabilities.own_deadlines else 0.0,
            start_timeout=start_timeout,
            unready=broken_processes if capabilities.isolates else broken_threads,
            queues=capabilities.queues and max_tasks_per_child is None,
        )
        self._loop = Desk(chosen, self._scheduler)
        self._intake = Intake(chosen, self._loop)
        self._options = Options()
        self._capabilities = capabilities
        # At exit it is `exits` that finishes the loop, and at the right moment.
        weakref.finalize(self, self._loop.finish).atexit = False

    @property
    def capabilities(self) -> Capabilities:
        """What its engine can do."""
        return self._capabilities

    @property
    def max_workers(self) -> int:
        """How many jobs run at once."""
        return self._max_workers

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """Have `fn(*args, **kwargs)` run; every argument is `fn`'s.

        Raises:
            TypeError: `fn` is not callable.
            RuntimeError: the executor was shut down, or the interpreter is about to exit.
            BrokenExecutor: no worker can be started.
        """
        return self._intake.submit(self._options, fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As `map(fn, *iterables)`, with the calls run side by side; results in their order.

        Args:
            fn: takes as many arguments as there are iterables.
            iterables: read at once, or `buffersize` items ahead of the results taken.
            timeout: seconds from now until the last result must be there; None: no limit.
            chunksize: calls to a job. With threads it has no effect.
            buffersize: jobs submitted whose results were not yet taken; None: all.

        Raises:
            TypeError, ValueError: a size is not a positive integer.
            TimeoutError: by the iterator.
        """
        return self.map_with(self._options, fn, iterables, timeout, chunksize, buffersize)

    def submitter(self, fn: Callable[P, T]) -> Callable[P, JobFuture[T]]:
        """A `submit` for many calls of `fn`, which is packed once, and now.

        Raises:
            TypeError: `fn` is not callable.

        >>> with PriorityExecutor(1) as ex:
        ...     power = ex.submitter(lambda x, y=2: x**y)
        ...     [future.result() for future in (power(3), power(3, y=3))]
        [9, 27]
        """
        return self.submitter_with(self._options, fn)

    def options(self, **options: Any) -> ConfiguredExecutor:
        """This executor with other terms for the jobs submitted through it; an `Executor` itself.

        Args:
            priority: any number; lower runs first, equals in the order of submission. Default 100.
            timeout: seconds that a job may run, counted from its start; None (default): no limit.
            queue_timeout: seconds that it may wait before its start; None (default): no limit.
            name: what to call it; default: its function's name.
            lane: anything hashable. Of the jobs whose lanes are equal, one runs at a time, in
                the order of priority and submission. None (default): none.
            stop_on_lane_error: do not run it if the job before it in its lane did not succeed;
                its future raises `LaneStopped` then. Default False.
            retries: how often it may be tried again, after `WorkerDied`, after `JobTimeout` where
                the engine can kill, and after what `retry_on` names. Default 0.
            retry_on: an exception class, or a tuple of them. Default: none.

        Raises:
            TypeError, ValueError: there is no such option, or not with such a value.
            UnsupportedOption: the engine cannot honour it.

        >>> with PriorityExecutor(1, engine="threads") as ex:
        ...     future = ex.options(priority=1, name="sum").submit(sum, [1, 2])
        ...     (future.result(), future.info.name, future.info.priority)
        (3, 'sum', 1)
        """
        return ConfiguredExecutor(self, self._options.but(options))

    def pause(self) -> None:
        """Start no job until `resume`. Those that run go on; those that come wait."""
        self._loop.tell(self._scheduler.pause)

    def resume(self) -> None:
        """Start jobs again."""
        self._loop.tell(self._scheduler.resume)

    def resize(self, max_workers: int) -> None:
        """Let `max_workers` jobs run at once from now on; what runs beyond that is let finish."""
        check_workers("max_workers", max_workers)
        self._max_workers = max_workers
        self._loop.tell(self._scheduler.resize, max_workers)

    def stats(self) -> Stats:
        """Counts of jobs and workers, all of the same moment."""
        scheduler = self._scheduler

        def question(_: float) -> tuple[Stats, list[Any]]:
            workers = scheduler.workers
            counts = Stats(
                waiting=scheduler.waiting,
                running=scheduler.running,
                settled={verdict: n for verdict, n in scheduler.settled.items() if n},
                retried=scheduler.retried,
                workers_started=workers["started"],
                workers_retired=workers["retired"],
                workers_killed=workers["killed"],
                workers_died=workers["died"],
            )
            return counts, []

        answer: Stats = self._loop.ask(question)
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs. Those that were submitted are finished; a paused executor resumes.

        Args:
            wait: come back only when all is done, callbacks included, and no worker is left.
            cancel_futures: cancel the jobs that wait.
        """
        self._loop.finish(cancel_futures)
        if wait:
            self._loop.join()

    # What `ConfiguredExecutor` is made of ------------------------------------------------------

    def submit_with(
        self, options: Options, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> JobFuture[T]:
        """As `submit`, on the terms of `options`."""
        return self._intake.submit(options, fn, args, kwargs)

    def submitter_with(self, options: Options, fn: Callable[..., T]) -> Callable[..., JobFuture[T]]:
        """As `submitter`, on the terms of `options`."""
        check_callable(fn)
        return self._intake.for_function(options, fn)

    def map_with(
        self,
        options: Options,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        """As `map`, on the terms of `options`."""
        check_callable(fn)
        mapping.check(timeout, chunksize, buffersize)
        calls: Iterable[tuple[Any, ...]] = zip(*iterables, strict=False)
        if chunksize == 1 or not self._capabilities.isolates:
            submit = self._intake.for_function(options, fn)
            return mapping.results(submit, calls, timeout, buffersize)
        submit = self._intake.for_function(options, mapping.Chunked(fn))
        batches = mapping.chunks(calls, chunksize)
        return mapping.flatten(mapping.results(submit, batches, timeout, buffersize))
