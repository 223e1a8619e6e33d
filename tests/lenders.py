"""Engines over executors of the tests' own, which are shut down when the test is over."""

from __future__ import annotations

import os
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from ezpq_exec.engines import errand
from ezpq_exec.engines.borrowed import BorrowedEngine

__all__ = ["FLAG", "close_all", "fail_once", "processes", "talk_once", "threads"]

FLAG = "EZPQ_EXEC_TEST_FLAG"  # in the environment: a folder, which is there once it has happened

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


def talk_once(*args: Any, **kwargs: Any) -> Any:
    """In a lender's worker: once, answer something else for several jobs; then run them."""
    return "whatever" if _is_first() else errand.run_bundle(*args, **kwargs)


def fail_once(*args: Any, **kwargs: Any) -> Any:
    """The same, but raise."""
    if _is_first():
        raise LookupError("it is not here")
    return errand.run_bundle(*args, **kwargs)


def _is_first() -> bool:
    try:
        os.mkdir(os.environ[FLAG])
    except FileExistsError:
        return False
    return True
