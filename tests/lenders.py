"""Engines over executors of the tests' own, which are shut down when the test is over."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

from ezpq_exec.engines.borrowed import BorrowedEngine

__all__ = ["close_all", "processes", "threads"]

LENT = 4  # workers, as many as any case asks for: a fork of all the tests' process each

_lenders: list[Executor] = []


def threads() -> BorrowedEngine:
    """An engine over the stdlib's threads."""
    return _over(ThreadPoolExecutor(LENT))


def processes() -> BorrowedEngine:
    """An engine over the stdlib's processes."""
    return _over(ProcessPoolExecutor(LENT))


def _over(executor: Executor) -> BorrowedEngine:
    _lenders.append(executor)
    return BorrowedEngine(executor)


def close_all() -> None:
    """Shut down what was lent; nothing is running there."""
    while _lenders:
        _lenders.pop().shutdown()
