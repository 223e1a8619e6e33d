"""A backend of joblib, and so of scikit-learn: `parallel_config(backend="ezpq_exec")`.

To import this module is to register it. Each call that joblib makes is a job, unless a `batch_size`
is asked for; whatever a job can be given, a backend can.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal

from .errors import JobError
from .executor import PriorityExecutor
from .extras import load
from .future import JobFuture
from .options import Options
from .reusable import get_reusable_executor

__all__ = ["PriorityBackend", "register"]

NAME = "ezpq_exec"

_joblib = load("joblib", extra="joblib", purpose=__name__)
_Base: Any = load("joblib.parallel", extra="joblib", purpose=__name__).ParallelBackendBase


class PriorityBackend(_Base):  # type: ignore[misc]
    """What joblib hands its calls to. It is made by joblib, from the arguments given there.

    Args:
        nesting_level, inner_max_num_threads: joblib's own. The latter is for worker processes that
            are not those of an `executor`; by default the CPUs are divided among them.
        executor: a `PriorityExecutor` of yours; default: the program's reusable one, with `n_jobs`
            workers. It is never shut down.
        engine: "processes" or "threads"; not with an `executor`.
        max_tasks_per_child: calls after which a worker process is replaced, None for never; not
            with an `executor`.
        errors: what becomes of a call that was killed, timed out, or died with its worker. "raise":
            joblib raises that, and ends all others. "return": the `JobError` stands in the place
            of its result, and all others go on. What the function itself raises is always raised.
        options: as of `PriorityExecutor.options`: priority, timeout (seconds; that one call is
            killed), retries and so on.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
        UnsupportedOption: the engine cannot honour an option.

    >>> import joblib, ezpq_exec.joblib
    >>> with joblib.parallel_config(backend="ezpq_exec", n_jobs=2, timeout=60):
    ...     joblib.Parallel()(joblib.delayed(pow)(n, 2) for n in range(5))
    [0, 1, 4, 9, 16]
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        *,
        executor: PriorityExecutor | None = None,
        engine: Literal["processes", "threads"] = "processes",
        max_tasks_per_child: int | None = None,
        errors: Literal["raise", "return"] = "raise",
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        if errors not in ("raise", "return"):
            raise ValueError(f"errors must be 'raise' or 'return', not {errors!r}")
        if engine not in ("processes", "threads"):
            raise ValueError(f"engine must be 'processes' or 'threads', not {engine!r}")
        Options().but(options)
        self._own: dict[str, Any] = {"engine": engine, "max_tasks_per_child": max_tasks_per_child}
        self._executor = executor
        if executor is not None:
            self._check_lent(executor, options)
        self._returns_errors = errors == "return"
        self._options = options
        self._ready: PriorityExecutor | None = None  # that of the latest `Parallel`
        self._submits: dict[str | None, Callable[..., Future[Any]]] = {}  # by the jobs' name
        self._lock = threading.Lock()  # guards `_jobs`
        self._jobs: dict[Future[Any], int] = {}  # those that are not done: how many calls in each
        isolates = engine != "threads" if executor is None else executor.capabilities.isolates
        self.uses_threads = self.supports_sharedmem = not isolates

    def _check_lent(self, executor: object, options: Mapping[str, Any]) -> None:
        if not isinstance(executor, PriorityExecutor):
            raise TypeError(f"executor must be a PriorityExecutor, not {executor!r}")
        if self._own != {"engine": "processes", "max_tasks_per_child": None}:
            raise ValueError(f"with an executor, these are its own affair: {self._own}")
        executor.options(**options)  # what it cannot honour is refused now

    # What joblib calls ----------------------------------------------------------------------

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once.

        With options, it is 2 where it should be 1: for 1, joblib makes the calls itself, and could
        not honour them. There is one worker all the same.
        """
        count = self._workers(n_jobs)
        return max(count, 2) if self._options else count

    def _workers(self, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs must be a number other than 0, or None")
        most = self._executor.max_workers if self._executor is not None else _joblib.cpu_count()
        if n_jobs is None:
            return 1
        if n_jobs < 0:
            return max(1, int(most) + 1 + n_jobs)
        return min(n_jobs, most) if self._executor is not None else n_jobs

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Be ready for a `Parallel`; returns how many calls run at once."""
        self.parallel = parallel
        executor = self._executor
        if executor is None:
            executor = self._reusable(self._workers(n_jobs))
        elif self.inner_max_num_threads is not None:
            raise ValueError("inner_max_num_threads is not for the workers of an executor of yours")
        if executor is not self._ready:
            self._ready, self._submits = executor, {}
        return self.effective_n_jobs(n_jobs)

    def _reusable(self, workers: int) -> PriorityExecutor:
        if self._own["engine"] != "processes":
            return get_reusable_executor(workers, **self._own)
        threads = self.inner_max_num_threads or max(1, _joblib.cpu_count() // workers)
        must = self.inner_max_num_threads is not None
        names = tuple(name for name in self.MAX_NUM_THREADS_VARS if must or name not in os.environ)
        return get_reusable_executor(
            workers, initializer=_limit_threads, initargs=(names, threads), **self._own
        )

    def submit(self, func: Any, callback: Callable[[Future[Any]], object]) -> Future[Any]:
        """Have `func` called. Whatever goes wrong is told by the future: nobody else would hear."""
        job: Future[Any]
        try:
            job = self._submit_as(getattr(func.items[0][0], "__name__", None))(func)
        except (
            Exception
        ) as error:  # joblib calls this from a callback, too, and would wait for ever
            job = Future()
            job.set_exception(error)
        with self._lock:
            self._jobs[job] = len(func)
        job.add_done_callback(callback)
        job.add_done_callback(self._forget)
        return job

    apply_async = submit  # joblib before 1.5

    def _submit_as(self, name: str | None) -> Callable[..., Future[Any]]:
        """The `submit` for jobs of that name, unless another one was asked for."""
        found = self._submits.get(name)
        if found is None:
            if self._ready is None:
                raise RuntimeError("this backend is at work in no Parallel")
            terms = {"name": name, **self._options}
            found = self._submits[name] = self._ready.options(**terms).submit
        return found

    def _forget(self, job: Future[Any]) -> None:
        with self._lock:
            self._jobs.pop(job, None)

    def retrieve_result_callback(self, out: Any) -> Any:
        """What the calls of a job have returned, as a list."""
        error = out.exception()
        if self._returns_errors and isinstance(error, JobError):
            return [error] * self._jobs[out]
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Nobody wants the rest: take back what waits, and kill what runs, where that can be."""
        with self._lock:
            jobs = [*self._jobs]
        for job in jobs:
            job.kill() if isinstance(job, JobFuture) else job.cancel()

    def terminate(self) -> None:
        """A `Parallel` has come to its end; the workers stay for the next, and for any other."""


def _limit_threads(names: tuple[str, ...], threads: int) -> None:
    """In a new worker, which has not yet imported what reads these."""
    os.environ.update(dict.fromkeys(names, str(threads)))


def register() -> None:
    """Make the backend known to joblib, under the name "ezpq_exec"; the import has done so already."""
    _joblib.register_parallel_backend(NAME, PriorityBackend)


register()
