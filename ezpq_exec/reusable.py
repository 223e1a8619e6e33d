"""One warm executor for the whole program.

When other arguments ask for another executor, the old one is not shut down, but only no longer
given out. Those who have it can go on using it. Its idle workers leave, and it ends when nobody has
it any more. So no call can disturb another thread's jobs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Literal

from .checks import check_workers
from .excerpt import shown
from .executor import PriorityExecutor

__all__ = ["get_reusable_executor"]

IDLE_TIMEOUT = 10.0  # seconds

_lock = threading.RLock()  # guards the two below; re-entrant, since a finalizer may come here
_executor: PriorityExecutor | None = None
_terms: dict[str, Any] = {}


def get_reusable_executor(
    max_workers: int | None = None,
    *,
    engine: Literal["processes", "threads"] = "processes",
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    max_tasks_per_child: int | None = None,
    max_worker_memory: int | None = None,
    start_timeout: float = 60.0,
    idle_timeout: float | None = IDLE_TIMEOUT,
    relay_logs: bool | None = None,
) -> PriorityExecutor:
    """The program's own executor, made when it is first asked for. Any thread may call this.

    It is resized if `max_workers` is another number than before, and another one is made if
    anything else is different, if it is broken or was shut down, and in a fork of the program. An
    executor that is no longer given out finishes its jobs, and works on for those who hold it.
    There is no need to shut it down: its workers leave when they are idle, and the rest at exit.

    Args:
        max_workers: how many jobs run at once; None: as many as it has, at first as
            `PriorityExecutor` has by default.
        engine: "processes" or "threads".
        idle_timeout: seconds after which a worker without a job leaves; None for never.
        the others: as of `PriorityExecutor`. Lambdas are only equal to themselves.

    Raises:
        TypeError, ValueError: an argument is not what it should be.

    >>> from ezpq_exec import get_reusable_executor
    >>> executor = get_reusable_executor(2)
    >>> executor.submit(pow, 2, 5).result()
    32
    >>> get_reusable_executor(3) is executor, executor.max_workers
    (True, 3)
    >>> get_reusable_executor(engine="threads") is executor, executor.submit(pow, 2, 6).result()
    (False, 64)
    """
    global _executor, _terms
    if not isinstance(engine, str):
        raise TypeError(f"engine must be 'processes' or 'threads', not {shown(engine)}")
    if max_workers is not None:
        max_workers = check_workers("max_workers", max_workers)
    terms: dict[str, Any] = {
        "engine": engine,
        "initializer": initializer,
        "initargs": initargs,
        "max_tasks_per_child": max_tasks_per_child,
        "max_worker_memory": max_worker_memory,
        "start_timeout": start_timeout,
        "idle_timeout": idle_timeout,
        "relay_logs": relay_logs,
    }
    with _lock:
        if _executor is None or not _executor.is_open or not _are_same(terms, _terms):
            _executor = PriorityExecutor(max_workers, **terms)
            _terms = terms
        elif max_workers not in (None, _executor.max_workers):
            _executor.resize(max_workers)
        return _executor


def _are_same(terms: dict[str, Any], others: dict[str, Any]) -> bool:
    return all(terms[name] is others[name] or _equal(terms[name], others[name]) for name in terms)


def _equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # the user's objects, which may not compare: then they are not equal
        return False


def _forget_in_child() -> None:
    """A fork has none of the threads of its parent's executor, one of which may hold the lock."""
    global _executor, _lock
    _lock = threading.RLock()
    _executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
