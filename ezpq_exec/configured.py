"""`ConfiguredExecutor`: a view of an executor, whose jobs are submitted with other options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from .checks import check_callable
from .engines.shared import Shared
from .future import JobFuture
from .intake import Intake
from .options import Options

if TYPE_CHECKING:
    from .executor import PriorityExecutor

__all__ = ["ConfiguredExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class ConfiguredExecutor(Executor):
    """A view of a `PriorityExecutor`, which submits jobs with options of its own.

    It is made by `PriorityExecutor.options`, and has the same workers. If it is shut down, the
    executor that it belongs to is shut down.

    >>> from ezpq_exec import PriorityExecutor
    >>> with PriorityExecutor(1, engine="threads") as ex:
    ...     urgent = ex.options(priority=1)
    ...     named = urgent.options(name="mine").submit(abs, -1)
    ...     (named.priority, named.info.name)
    (1, 'mine')
    """

    def __init__(self, executor: PriorityExecutor, intake: Intake, options: Options) -> None:
        self._executor = executor
        self._intake = intake
        self._options = options

    @property
    def _max_workers(self) -> int:
        return self._executor.max_workers

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[T]:
        """See `PriorityExecutor.submit`."""
        return self._intake.submit(self._options, fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | Literal["auto"] = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """See `PriorityExecutor.map`."""
        return self._intake.map(
            self._options, fn, iterables, timeout, chunksize, buffersize, self._max_workers
        )

    def submitter(self, fn: Callable[P, T]) -> Callable[P, JobFuture[T]]:
        """See `PriorityExecutor.submitter`."""
        check_callable(fn)
        return self._intake.for_function(self._options, fn)

    def share(self, obj: T) -> Shared[T]:
        """See `PriorityExecutor.share`."""
        return self._executor.share(obj)

    def options(self, **options: Any) -> ConfiguredExecutor:
        """As `PriorityExecutor.options`; what is not given stays as it is here."""
        terms = self._intake.terms(self._options, options)
        return ConfiguredExecutor(self._executor, self._intake, terms)

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """See `PriorityExecutor.__exit__`."""
        self._executor.__exit__(kind, *exception)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `PriorityExecutor.shutdown`."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
