"""An executor that is lent to us, and what can be known of it by its kind.

It is used through `submit` and its futures alone, and never shut down.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import TYPE_CHECKING, Any

from ..jobs import Call
from .errand import Errand, PackedCall, nothing, run_bundle, run_in_turn, run_packed

if TYPE_CHECKING:
    from .loans import Loan

__all__ = ["Lender", "capacity_of", "errand_of", "is_end", "lender_from"]

# Executors that are known by the module that their `submit` comes from.
_PROCESSES = {"concurrent.futures.process"}
_LOKY = {"loky.process_executor", "loky.reusable_executor"}
_THREADS = {"concurrent.futures.thread"}  # InterpreterPoolExecutor's is the same
_DASK = {"distributed.cfexecutor"}
_REMOTE = {*_DASK, "executorlib.executor.base", "mpi4py.futures.pool"}

MOST = 4  # jobs in one call
MOST_HERE = 16  # of those that run in this process, whose answers need no room on the page
TOGETHER = 0.0025  # seconds that they should take at most, since they come back together
WEIGHT = 0.25  # of the last job, among all


class Lender:
    """One executor of somebody else's.

    Attributes:
        is_prompt: it starts jobs quickly, so it can be lent jobs ahead of their turn.
        is_here: it runs jobs in this process.
        isolates: it runs jobs in processes of their own.
        packs: calls go to it as bytes of ours, and so do results; then lambdas can be carried,
            and what does not pickle, or unpickle, fails its own job alone.
        asked: it was given at least one job.
        served: at least one job came back from it.
        sees_board: its workers can open our page.
        pace: how long jobs take, in seconds, as far as the last few show; None before the first.
        tells: its futures say when a job runs; of a stranger, whether one ever did.
        fault: why it takes no more; None while it does.
    """

    def __init__(self, executor: Executor) -> None:
        home = getattr(type(executor).submit, "__module__", None)
        self.executor = executor
        # Some lenders cannot cope with what does not pickle: distributed never resolves the future
        # of a result that cannot be fetched, and executorlib loses its worker.
        self.packs = home in _PROCESSES | _REMOTE
        self.isolates = self.packs or home in _LOKY
        self.is_here = home in _THREADS
        self.is_prompt = self.is_here or home in _PROCESSES | _LOKY
        self.tells = self.is_prompt or home in _REMOTE - _DASK
        self.asked = False
        self.served = False
        self.sees_board = True
        self.pace: float | None = None
        self._takes_several = not (self.is_here and _pickles(executor))
        self._limit = self._most = MOST_HERE if self.is_here else MOST
        self._whole = 0  # calls in a row that came back with all their jobs done
        self.fault: BaseException | None = None

    def submit(self, loans: Sequence[Loan], answers: list[Any]) -> Any:
        """Hand over jobs in one call; the answers of several that run here are added to `answers`."""
        first = loans[0]
        submit = self.executor.submit
        future: object
        if first.ticket is not None:
            path, head, _ = first.ticket
            calls = [(loan.ticket[2], loan.payload) for loan in loans if loan.ticket is not None]
            future = submit(run_bundle, path, head, calls, strict=self.packs)
        elif len(loans) > 1:
            future = submit(run_in_turn, [loan.errand for loan in loans if loan.errand], answers)
        elif first.errand is not None:
            future = submit(first.errand)
        elif self.is_prompt:
            future = submit(run_packed, first.payload)
        else:
            future = submit(PackedCall(first.payload))
        if not isinstance(future, Future):
            raise TypeError(f"the borrowed executor's submit returned {future!r}, not a Future")
        return future

    @property
    def most(self) -> int:
        """How many jobs go in one call: several, while they take little time."""
        pace = self.pace
        if pace is None or not self._takes_several:
            return 1
        return self._most if pace * self._most <= TOGETHER else max(1, int(TOGETHER / pace))

    def timed(self, took: float) -> None:
        """A job took so many seconds; one that takes long among short ones is no reason to change all."""
        self.pace = took if self.pace is None else self.pace + (took - self.pace) * WEIGHT

    def learn(self, *, whole: bool) -> None:
        """Several jobs came back from one call; were they all done?"""
        self._whole = self._whole + 1 if whole else 0
        if not whole:
            self._most = max(1, self._most // 2)
        elif self._whole % 32 == 0:
            self._most = min(self._limit, self._most + 1)

    def has_begun(self, future: Future[Any]) -> bool:
        """Whether a job in another process has begun, as far as can be known.

        Where futures never say that they run, it counts as begun once it was handed over.
        """
        if future.running():
            self.tells = True
            return True
        return not self.tells or future.done()

    def is_done_for(self, refusal: BaseException) -> bool:
        """Whether it takes no jobs at all any more, or refused only that one."""
        if isinstance(refusal, BrokenExecutor):
            return True
        if not isinstance(refusal, RuntimeError):
            return False
        try:
            self.executor.submit(nothing)
        except RuntimeError:  # shut down, in every executor that there is
            return True
        except BaseException:  # that says nothing
            return False
        return False


def _pickles(executor: Executor) -> bool:
    """Whether it is Python 3.14's pool of interpreters, whose `submit` is that of threads."""
    return any(kind.__name__ == "InterpreterPoolExecutor" for kind in type(executor).__mro__)


def errand_of(payload: Any) -> Errand | None:
    """The errand for a payload; None if that is packed."""
    return Errand(payload) if isinstance(payload, Call) else None


def is_end(error: BaseException | None) -> bool:
    """Whether an exception of a lender's future says that the lender is no more.

    What jobs raise never is one: it comes as a result.
    """
    if isinstance(error, BrokenExecutor):
        return True
    loky = sys.modules.get("loky.process_executor")
    return loky is not None and isinstance(error, loky.ShutdownExecutorError)


def capacity_of(executor: Executor) -> int | None:
    """How many jobs it says it runs at once.

    The stdlib's executors, and loky's, say so nowhere but in `_max_workers`, which others read,
    too. Read in CPython 3.10 to 3.14 and loky 3.4 to 3.7; without it the number of CPUs is taken.
    """
    for name in ("max_workers", "num_workers", "_max_workers"):
        count = getattr(executor, name, None)
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return count
    return None


def lender_from(source: Executor | Callable[[], Executor]) -> Lender:
    """The executor itself, or what the factory makes.

    Raises:
        TypeError: the factory makes something else.
        Exception: what the factory raises.
    """
    executor = source if isinstance(source, Executor) else source()
    if not isinstance(executor, Executor):
        raise TypeError(
            "engine must be a function that returns a concurrent.futures.Executor; "
            f"{source!r} returned {executor!r}"
        )
    return Lender(executor)
