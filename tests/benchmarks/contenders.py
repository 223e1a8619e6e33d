"""The executors to compare, each behind the same few methods.

To add a peer: write a class with the five methods, and list it in `CONTENDERS`. Each is imported
only in the process that measures it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, ClassVar

__all__ = ["CONTENDERS", "OURS", "REFERENCE", "Contender"]


class Contender:
    """An executor with `workers` processes.

    Attributes:
        name: what the table calls it.
        module: without it the contender is left out.
        package: what is to be installed for that; empty for what is always there.
        kills: whether it has a timeout that kills; then `submit_limited` is there.
        futures: whether it has `submit`; else it takes part in `map` alone.
        maps: whether it has `map`, `map_tiny` being the best that it has for tiny items.
        ranks: whether it has priorities; then `submit_ranked` is there.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    package: ClassVar[str]
    kills: ClassVar[bool] = False
    futures: ClassVar[bool] = True
    maps: ClassVar[bool] = False
    ranks: ClassVar[bool] = False

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool = self.open(importlib.import_module(self.module), workers)

    def open(self, module: Any, workers: int) -> Any:
        """Make the executor, with room for any number of waiting jobs."""
        raise NotImplementedError

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have a call run, in the way that costs least."""
        future: Future[Any] = self.pool.submit(function, *args)
        return future

    def submit_limited(
        self, seconds: float, function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        """Have a call run that is killed after `seconds`, with a TimeoutError for its future."""
        raise NotImplementedError

    def submit_ranked(self, priority: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have a call run in its turn."""
        raise NotImplementedError

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """The results, with one item to a job."""
        results: Iterator[Any] = self.pool.map(function, items)
        return results

    def map_tiny(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """The results, with chunks of the contender's own choosing."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything; no job is left."""
        self.pool.shutdown()

    def abandon(self) -> None:
        """Let go of everything, and of the jobs that wait."""
        self.pool.shutdown(cancel_futures=True)

    @classmethod
    def version(cls) -> str | None:
        """What is installed of it; None if nothing is."""
        if importlib.util.find_spec(cls.module.partition(".")[0]) is None:
            return None
        try:
            return importlib.metadata.version(cls.package) if cls.package else ""
        except importlib.metadata.PackageNotFoundError:
            return ""


class Stdlib(Contender):
    name, module, package = "stdlib", "concurrent.futures", ""
    maps = True

    def open(self, module: Any, workers: int) -> Any:
        return module.ProcessPoolExecutor(workers)

    def map_tiny(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: Iterator[Any] = self.pool.map(function, items, chunksize=10_000)  # by hand
        return results


class Ours(Contender):
    name, module, package, kills = "ezpq_exec", "ezpq_exec", "", True
    maps = ranks = True

    def open(self, module: Any, workers: int) -> Any:
        return module.PriorityExecutor(workers)

    def submit_limited(
        self, seconds: float, function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        future: Future[Any] = self.pool.options(timeout=seconds).submit(function, *args)
        return future

    def submit_ranked(self, priority: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = self.pool.options(priority=priority).submit(function, *args)
        return future

    def map_tiny(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: Iterator[Any] = self.pool.map(function, items, chunksize="auto")
        return results


class Loky(Contender):
    name, module, package = "loky", "loky", "loky"

    def open(self, module: Any, workers: int) -> Any:
        return module.get_reusable_executor(workers)

    def abandon(self) -> None:
        self.pool.shutdown(kill_workers=True)


class Pebble(Contender):
    name, module, package, kills = "pebble", "pebble", "Pebble", True

    def open(self, module: Any, workers: int) -> Any:
        return module.ProcessPool(workers)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = self.pool.schedule(function, args)
        return future

    def submit_limited(
        self, seconds: float, function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        future: Future[Any] = self.pool.schedule(function, args, timeout=seconds)
        return future

    def close(self) -> None:
        self.pool.close()
        self.pool.join()

    def abandon(self) -> None:
        self.pool.stop()
        self.pool.join()


class Deadpool(Contender):
    name, module, package, kills = "deadpool", "deadpool", "deadpool-executor", True

    def open(self, module: Any, workers: int) -> Any:
        return module.Deadpool(workers, max_backlog=0)  # 0: a queue without a limit

    def submit_limited(
        self, seconds: float, function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        future: Future[Any] = self.pool.submit(function, *args, deadpool_timeout=seconds)
        return future


class Pool(Contender):
    """`imap` for one item to a job, `map` for tiny ones."""

    name, module, package = "Pool", "multiprocessing", ""
    futures, maps = False, True

    def open(self, module: Any, workers: int) -> Any:
        return module.Pool(workers)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: Iterator[Any] = self.pool.imap(function, items)
        return results

    def map_tiny(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: list[Any] = self.pool.map(function, items)
        return results

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Joblib(Contender):
    """Over loky, with batches of one, or of joblib's own choosing."""

    name, module, package = "joblib", "joblib", "joblib"
    futures, maps = False, True

    def open(self, module: Any, workers: int) -> Any:
        self._workers = workers
        return module

    def _run(self, function: Callable[[Any], Any], items: Iterable[Any], batch: Any) -> Any:
        calls: Iterable[Any] = zip(
            itertools.repeat(function), ((item,) for item in items), itertools.repeat({})
        )
        return self.pool.Parallel(self._workers, batch_size=batch)(calls)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: list[Any] = self._run(function, items, 1)
        return results

    def map_tiny(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: list[Any] = self._run(function, items, "auto")
        return results

    def close(self) -> None:
        loky = importlib.import_module("joblib.externals.loky")
        loky.get_reusable_executor(self._workers).shutdown()


CONTENDERS: dict[str, type[Contender]] = {
    contender.name: contender for contender in (Stdlib, Ours, Loky, Pebble, Deadpool, Pool, Joblib)
}
OURS, REFERENCE = Ours.name, Stdlib.name
