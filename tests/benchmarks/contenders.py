"""The executors to compare, each behind the same few methods.

To add a peer: write a class with the five methods, and list it in `CONTENDERS`. Each is imported
only in the process that measures it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
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
    """

    name: ClassVar[str]
    module: ClassVar[str]
    package: ClassVar[str]
    kills: ClassVar[bool] = False

    def __init__(self, workers: int) -> None:
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

    def open(self, module: Any, workers: int) -> Any:
        return module.ProcessPoolExecutor(workers)


class Ours(Contender):
    name, module, package, kills = "ezpq_exec", "ezpq_exec", "", True

    def open(self, module: Any, workers: int) -> Any:
        return module.PriorityExecutor(workers)

    def submit_limited(
        self, seconds: float, function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        future: Future[Any] = self.pool.options(timeout=seconds).submit(function, *args)
        return future


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


CONTENDERS: dict[str, type[Contender]] = {
    contender.name: contender for contender in (Stdlib, Ours, Loky, Pebble, Deadpool)
}
OURS, REFERENCE = Ours.name, Stdlib.name
