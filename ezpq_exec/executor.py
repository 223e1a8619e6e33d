"""`PriorityExecutor`: the standard library's executor interface, and what it lacks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from . import mapping
from .engines.base import Capabilities, Engine, Setup
from .engines.choice import choose, default_workers
from .future import JobFuture
from .intake import Intake
from .jobs import Options, Verdict
from .loop import Loop
from .scheduler import Scheduler

__all__ = ["ConfiguredExecutor", "PriorityExecutor", "Stats"]

P = ParamSpec("P")
T = TypeVar("T")

_GRACE = 1.0  # seconds by which an engine's own deadlines may be missed before the parent acts


@dataclass(frozen=True)
class Stats:
    """An executor's counts at one moment.

    Attributes:
        waiting, running: jobs.
        settled: jobs by verdict, those with none left out.
        workers_started: workers that became ready.
        workers_retired: those that left in good order, after their number of tasks or a `resize`.
        workers_killed: those killed for a timeout or on request.
        workers_died: those that ended by themselves.
    """

    waiting: int
    running: int
    settled: Mapping[Verdict, int]
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
        setup = _setup(initializer, initargs, max_tasks_per_child)
        if not isinstance(start_timeout, (int, float)) or not start_timeout > 0:
            raise ValueError(f"start_timeout must be more than 0 seconds, not {start_timeout!r}")
        if max_workers is not None:
            _check_workers("max_workers", max_workers)
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
        )
        self._loop = Loop(chosen, self._scheduler, _broken[capabilities.isolates])
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

    def options(self, **options: Any) -> ConfiguredExecutor:
        """This executor with other terms for the jobs submitted through it; an `Executor` itself.

        Args:
            priority: any number; lower runs first, equals in the order of submission. Default 100.
            timeout: seconds that a job may run, counted from its start; None (default): no limit.
            queue_timeout: seconds that it may wait before its start; None (default): no limit.
            name: what to call it; default: its function's name.

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
        self._loop.post(self._scheduler.pause)

    def resume(self) -> None:
        """Start jobs again."""
        self._loop.post(self._scheduler.resume)

    def resize(self, max_workers: int) -> None:
        """Let `max_workers` jobs run at once from now on; what runs beyond that is let finish."""
        _check_workers("max_workers", max_workers)
        self._max_workers = max_workers
        self._loop.post(self._scheduler.resize, max_workers)

    def stats(self) -> Stats:
        """Counts of jobs and workers, all of the same moment."""
        scheduler = self._scheduler

        def question(now: float) -> tuple[Stats, list[Any]]:
            workers = scheduler.workers
            counts = Stats(
                waiting=scheduler.waiting,
                running=scheduler.running,
                settled={verdict: n for verdict, n in scheduler.settled.items() if n},
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
        mapping.check(chunksize, buffersize)
        calls: Iterable[tuple[Any, ...]] = zip(*iterables)
        if chunksize == 1 or not self._capabilities.isolates:
            submit = self._intake.for_function(options, fn)
            return mapping.results(submit, calls, timeout, buffersize)
        submit = self._intake.for_function(options, mapping.Chunked(fn))
        batches = mapping.chunks(calls, chunksize)
        return mapping.flatten(mapping.results(submit, batches, timeout, buffersize))


class ConfiguredExecutor(Executor):
    """A `PriorityExecutor` with options of its own; made by `PriorityExecutor.options`.

    To shut it down is to shut down the executor that it belongs to.
    """

    def __init__(self, executor: PriorityExecutor, options: Options) -> None:
        self._executor = executor
        self._options = options

    @property
    def _max_workers(self) -> int:
        return self._executor.max_workers

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """See `PriorityExecutor.submit`."""
        return self._executor.submit_with(self._options, fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """See `PriorityExecutor.map`."""
        return self._executor.map_with(self._options, fn, iterables, timeout, chunksize, buffersize)

    def options(self, **options: Any) -> ConfiguredExecutor:
        """The same executor, with these options over those that are set here."""
        return ConfiguredExecutor(self._executor, self._options.but(options))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `PriorityExecutor.shutdown`."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


def _check_workers(name: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{name} must be an integer, not {count!r}")
    if count <= 0:
        raise ValueError(f"{name} must be greater than 0, not {count!r}")


def _setup(initializer: object, initargs: object, max_tasks: object) -> Setup:
    if initializer is not None and not callable(initializer):
        raise TypeError(f"initializer must be a callable, not {initializer!r}")
    if not isinstance(initargs, tuple):
        raise TypeError(f"initargs must be a tuple, not {initargs!r}")
    if max_tasks is not None:
        if not isinstance(max_tasks, int) or isinstance(max_tasks, bool):
            raise TypeError(f"max_tasks_per_child must be an integer, not {max_tasks!r}")
        if max_tasks < 1:
            raise ValueError(f"max_tasks_per_child must be >= 1, not {max_tasks!r}")
    return Setup(initializer, initargs, max_tasks)


def _broken_processes(cause: BaseException) -> BrokenExecutor:
    error = BrokenProcessPool(f"no worker process can be started: {cause!r}")
    error.__cause__ = cause
    return error


def _broken_threads(cause: BaseException) -> BrokenExecutor:
    error = BrokenThreadPool(f"no worker thread can be started: {cause!r}")
    error.__cause__ = cause
    return error


_broken = {True: _broken_processes, False: _broken_threads}
