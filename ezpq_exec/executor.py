"""`PriorityExecutor`: the standard library's executor interface, and what it lacks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Literal, ParamSpec, TypeVar

from .assembly import assemble
from .checks import (
    check_callable,
    check_limit,
    check_setup,
    check_workers,
)
from .configured import ConfiguredExecutor
from .controls import ControlledExecutor
from .engines.base import Engine
from .engines.choice import choose
from .engines.shared import Shared
from .future import JobFuture
from .options import Options, check_seconds
from .stats import Stats

__all__ = ["PriorityExecutor", "Stats"]

P = ParamSpec("P")
T = TypeVar("T")


class PriorityExecutor(ControlledExecutor):
    """Runs calls in worker processes or threads, the most urgent first.

    It stands wherever `ProcessPoolExecutor` or `ThreadPoolExecutor` does; see `options` for what
    it can do beyond that.

    Args:
        max_workers: how many jobs run at once; default: the CPUs that this process may use; with
            threads 4 more than that, at most 32; as many as the borrowed executor says that it
            runs; with Dask, as many as its workers have threads.
        engine: "processes", "threads", an `Engine`, or somebody else's `Executor` to run the jobs
            in, such as `loky.get_reusable_executor()`. It is never shut down. A function without
            arguments that makes one is asked again when that breaks.
        initializer: called with `initargs` in each worker before its first job. If it raises, the
            executor is broken.
        initargs: its arguments.
        max_tasks_per_child: jobs after which a worker is replaced; None for never. Processes only.
        max_worker_memory: bytes; a worker that has more after a job is replaced. It is its memory
            of that moment that counts, not its peak, and not what it has started. None (default):
            any number. Processes only; elsewhere than on Linux it needs psutil.
        max_pending: how many jobs may be submitted and not done; None for any number.
        when_full: what `submit` does when there are as many: "block" until one is done, or "raise"
            `ExecutorFull`.
        start_timeout: seconds that a worker may take to become ready, initializer included.
        idle_timeout: seconds after which a worker without a job leaves, until there is need; None
            (default): never.
        relay_logs: log here what jobs log, and show what they warn of, once; None (default): where
            the engine can do that.

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
        engine: Literal["processes", "threads"]
        | Engine
        | Executor
        | Callable[[], Executor] = "processes",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        max_worker_memory: int | None = None,
        max_pending: int | None = None,
        when_full: Literal["block", "raise"] = "block",
        start_timeout: float = 60.0,
        idle_timeout: float | None = None,
        relay_logs: bool | None = None,
    ) -> None:
        setup = check_setup(
            initializer, initargs, max_tasks_per_child, relay_logs, max_worker_memory
        )
        places = check_limit(max_pending, when_full)
        start_timeout = check_seconds("start_timeout", start_timeout)
        if idle_timeout is not None:
            idle_timeout = check_seconds("idle_timeout", idle_timeout)
        if max_workers is not None:
            max_workers = check_workers("max_workers", max_workers)
        parts = assemble(choose(engine), max_workers, setup, places, start_timeout, idle_timeout)
        self._max_workers, self._limit = max(1, parts.max_workers), max_workers
        self._scheduler, self._loop, self._intake = parts.scheduler, parts.loop, parts.intake
        self._options = Options()
        self._capabilities = parts.capabilities
        # Not at the interpreter's exit: there, `exits` finishes the loop, at the right moment.
        weakref.finalize(self, self._loop.finish).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """Have `fn(*args, **kwargs)` run. All arguments are passed to `fn`.

        Returns:
            The job's future, at once.

        Raises:
            TypeError: `fn` is not callable.
            RuntimeError: the executor was shut down, or the interpreter is about to exit.
            BrokenExecutor: no worker can be started.
            SharedClosed: an argument is a shared object that was closed.
            ExecutorFull: there are `max_pending` jobs that are not done; and `when_full` is
                "raise", or this is a callback, a finalizer, or a job in one of the executor's
                threads, none of which can wait for a job to end.
        """
        return self._intake.submit(self._options, fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | Literal["auto"] = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As `map(fn, *iterables)`, with the calls run side by side; results in their order.

        Args:
            fn: takes as many arguments as there are iterables.
            iterables: read at once, or `buffersize` items ahead of the results taken.
            timeout: seconds from now until the last result must be there; None: no limit.
            chunksize: calls to a job; with threads it has no effect. "auto": as many as take some
                30 ms, by measure, read as they are needed. One that fails, fails alone. Options
                such as `timeout` and `retries` are for each chunk's job; with `retry_on`, and
                with threads, each call is a job.
            buffersize: jobs submitted whose results were not yet taken; None: all. With "auto",
                it counts items; None: some chunks for each worker.

        Raises:
            TypeError, ValueError: a size is not a positive integer, or "auto".
            TimeoutError: by the iterator.

        >>> with PriorityExecutor(2) as ex:
        ...     print(sum(ex.map(abs, range(-10_000, 0), chunksize="auto")))
        50005000
        """
        return self._intake.map(
            self._options, fn, iterables, timeout, chunksize, buffersize, self.max_workers or 1
        )

    def submitter(self, fn: Callable[P, T]) -> Callable[P, JobFuture[T]]:
        """A `submit` for many calls of `fn`: `fn` is pickled only once, now.

        Raises:
            TypeError: `fn` is not callable.

        >>> with PriorityExecutor(1) as ex:
        ...     power = ex.submitter(lambda x, y=2: x**y)
        ...     [future.result() for future in (power(3), power(3, y=3))]
        [9, 27]
        """
        check_callable(fn)
        return self._intake.for_function(self._options, fn)

    def share(self, obj: T) -> Shared[T]:
        """Put an object into shared memory, once for all the jobs that are given the handle.

        Args:
            obj: anything that pickles. Where a job is given the handle, by itself or within other
                objects, it finds the object. Its arrays are not copied, and are read-only.

        Returns:
            The handle. Its `close()`, or the end of its `with` block, frees the memory.

        Raises:
            OSError: there is no memory for it.
            Exception: it does not pickle.

        >>> with PriorityExecutor(2) as ex, ex.share(list(range(1000))) as numbers:
        ...     print([ex.submit(function, numbers).result() for function in (len, sum, max)])
        [1000, 499500, 999]
        """
        return Shared(obj)

    def options(self, **options: Any) -> ConfiguredExecutor:
        """A view of this executor, whose jobs are submitted with these options; an `Executor` itself.

        Args:
            priority: any number; lower runs first, equals in the order of submission. Default 100.
            timeout: seconds that a job may run, counted from its start; None (default): no limit.
            queue_timeout: seconds that it may wait before its start; None (default): no limit.
            name: what to call it; default: its function's name.
            lane: anything hashable. Of the jobs whose lanes are equal, one runs at a time, in
                the order of priority and submission. None (default): none.
            stop_on_lane_error: do not run it if the job before it in its lane did not succeed;
                its future raises `LaneStopped` then. Default False.
            retries: how often it may be tried again, after `WorkerDied`, `MemoryLimitExceeded`,
                `JobTimeout` where the engine can kill, and what `retry_on` names. Default 0.
            retry_on: an exception class, or a tuple of them. Default: none.
            capture: keep what it writes, from C and from other processes, too, in `info.stdout`
                and `info.stderr`, the last 1 MiB of each. Default False: it goes where yours goes.
            context: a `contextvars.ContextVar`, or a tuple of them, that it is to find as they are
                here. Threads find them all in any case. Default: none.
            memory_limit: bytes that its worker and all processes below it may have. If they have
                more, they are killed, and its future raises `MemoryLimitExceeded`. None (default):
                no limit.

        Raises:
            TypeError, ValueError: there is no such option, or not with such a value.
            UnsupportedOption: the engine cannot honour it.

        >>> with PriorityExecutor(1, engine="threads") as ex:
        ...     future = ex.options(priority=1, name="sum").submit(sum, [1, 2])
        ...     (future.result(), future.info.name, future.info.priority)
        (3, 'sum', 1)
        """
        return ConfiguredExecutor(self, self._intake, self._intake.terms(self._options, options))
