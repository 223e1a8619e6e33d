"""Which engine is meant by what the user says."""

from __future__ import annotations

import os
import select
import sys
from concurrent.futures import Executor

from ..excerpt import shown
from .base import Engine
from .nesting import check_depth

__all__ = ["choose", "default_workers"]

NAMES = "processes", "threads"
ACCEPTED = f"one of {NAMES}, an Engine, an Executor or a function that makes one"


def choose(wanted: object) -> Engine:
    """The engine that `wanted` names, or is, or that runs jobs there.

    Raises:
        TypeError, ValueError: it is none of these.
        RecursionError: these would be workers of workers of workers …
        Exception: what a function raises that was to make an executor.
    """
    if isinstance(wanted, Engine):
        return wanted
    if isinstance(wanted, Executor) or callable(wanted):
        from .borrowed import BorrowedEngine

        return BorrowedEngine(wanted)
    if not isinstance(wanted, str):
        raise TypeError(f"engine must be {ACCEPTED}, not {shown(wanted)}")
    if wanted == "threads":
        from .threads import ThreadEngine

        return ThreadEngine()
    if wanted == "processes":
        return _processes()
    raise ValueError(f"engine must be {ACCEPTED}, not {shown(wanted)}")


def _processes() -> Engine:
    check_depth()
    if sys.platform == "linux" and _has_keepers():
        from .processes import ProcessEngine

        return ProcessEngine()
    from .spawned import SpawnedEngine

    return SpawnedEngine()


def _has_keepers() -> bool:
    """Whether this Linux has what keepers need (5.3 and later have, some sandboxes have not)."""
    if not (hasattr(os, "pidfd_open") and hasattr(os, "memfd_create") and hasattr(select, "epoll")):
        return False
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def default_workers(engine: Engine) -> int:
    """How many jobs run at once where nobody said: the stdlib's number for threads, else CPUs."""
    capacity = engine.capacity()
    if capacity is not None:
        return capacity
    from loky import cpu_count

    cpus = int(cpu_count())
    has_threads = not (engine.capabilities.isolates or engine.capabilities.borrows)
    return min(32, cpus + 4) if has_threads else cpus
