"""What an executor checks of its arguments, and what it says when its workers cannot start."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool

from .contexts import home_of
from .engines.base import Capabilities, Setup
from .errors import UnsupportedOption
from .excerpt import shown
from .options import Options, check_bytes, check_integer
from .places import Places

__all__ = [
    "MOST_WORKERS",
    "broken_lender",
    "broken_processes",
    "broken_threads",
    "carries_context",
    "check_callable",
    "check_kills",
    "check_limit",
    "check_options",
    "check_setup",
    "check_workers",
]

WHEN_FULL = "block", "raise"
MOST_WORKERS = 100_000  # each has a slot from the start


def check_callable(function: object) -> None:
    """Raise TypeError unless `function` can be called."""
    if not callable(function):
        raise TypeError(f"the function to run must be callable, not {shown(function)}")


def check_workers(name: str, count: object) -> int:
    """`count` as a number of workers.

    Raises:
        TypeError, ValueError: it is none, or one that no system has room for.
    """
    number = check_integer(name, count)
    if number <= 0:
        raise ValueError(f"{name} must be greater than 0, not {shown(count)}")
    if number > MOST_WORKERS:
        raise ValueError(f"{name} must be at most {MOST_WORKERS}, not {shown(count)}")
    return number


def check_kills(what: str, capabilities: Capabilities) -> None:
    """Raise UnsupportedOption if the engine cannot end a running job."""
    if not capabilities.kills:
        raise UnsupportedOption(f"{what}() needs an engine that can kill, which this one cannot")


def carries_context(capabilities: Capabilities) -> bool:
    """Whether context variables must be sent with a call, because its job would not find them."""
    return capabilities.isolates or not capabilities.own_context


def check_options(options: Options, capabilities: Capabilities) -> None:
    """Raise UnsupportedOption, or ValueError, if the engine cannot do what the options ask for."""
    if options.memory_limit is not None and not capabilities.limits_memory:
        raise UnsupportedOption(
            "memory_limit needs an engine whose workers have keepers, as processes have on Linux; "
            f"this one has none (got {shown(options.memory_limit)})"
        )
    if carries_context(capabilities):
        for variable in options.context:
            home_of(variable)
    if options.capture and not capabilities.captures:
        raise UnsupportedOption(
            "capture=True needs processes on Linux; this engine cannot tell what a job writes"
        )


def check_limit(max_pending: object, when_full: object) -> Places | None:
    """The places that these two arguments ask for; None if there is no limit.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """
    if when_full not in WHEN_FULL:
        raise ValueError(f"when_full must be one of {WHEN_FULL}, not {shown(when_full)}")
    if max_pending is None:
        return None
    count = check_integer("max_pending", max_pending, "an integer or None")
    if count < 1:
        raise ValueError(f"max_pending must be None or > 0, not {shown(count)}")
    return Places(count, blocks=when_full == "block")


def check_setup(
    initializer: object,
    initargs: object,
    max_tasks: object,
    relay_logs: object,
    max_memory: object,
) -> Setup:
    """The `Setup` that these arguments of an executor ask for.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """
    if initializer is not None and not callable(initializer):
        raise TypeError(f"initializer must be a callable, not {shown(initializer)}")
    if not isinstance(initargs, tuple):
        raise TypeError(f"initargs must be a tuple, not {shown(initargs)}")
    tasks = None if max_tasks is None else check_integer("max_tasks_per_child", max_tasks)
    if tasks is not None and tasks < 1:
        raise ValueError(f"max_tasks_per_child must be >= 1, not {shown(tasks)}")
    if relay_logs is not None and not isinstance(relay_logs, bool):
        raise TypeError(f"relay_logs must be True, False or None, not {shown(relay_logs)}")
    memory = check_bytes("max_worker_memory", max_memory)
    return Setup(initializer, initargs, tasks, relay_logs, memory)


def broken_lender(cause: BaseException) -> BrokenExecutor:
    """The error of an executor over a borrowed one that takes no more jobs."""
    error = BrokenExecutor(f"the borrowed executor takes no more jobs: {shown(cause)}")
    error.__cause__ = cause
    return error


def broken_processes(cause: BaseException) -> BrokenExecutor:
    """The error of an executor whose worker processes cannot start, as the stdlib's."""
    error = BrokenProcessPool(f"no worker process can be started: {shown(cause)}")
    error.__cause__ = cause
    return error


def broken_threads(cause: BaseException) -> BrokenExecutor:
    """The error of an executor whose worker threads cannot start, as the stdlib's."""
    error = BrokenThreadPool(f"no worker thread can be started: {shown(cause)}")
    error.__cause__ = cause
    return error
