"""The arguments of `Queue`, in the order of ezpq 0.1 or of 0.2, each of them checked."""

from __future__ import annotations

import multiprocessing
import numbers
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .checks import check_workers
from .excerpt import shown
from .joblog import JobLog
from .options import check_integer

__all__ = ["Settings", "check_poll", "settings_of"]

# The order of positional arguments. If the first one is a class, it is 0.1's.
_ORDER_1 = (
    *("job_runner", "n_workers", "max_size", "auto_remove", "auto_start", "auto_stop", "callback"),
    *("log_file", "poll"),
)
_ORDER_2 = (
    *("n_workers", "max_size", "job_runner", "auto_remove", "auto_start", "auto_stop", "callback"),
    *("log_file", "poll", "show_progress", "qid"),
)
_SHORTEST_POLL = 0.01  # seconds: ezpq's own limit


@dataclass(frozen=True)
class Settings:
    """How a queue is to be; see `Queue`."""

    n_workers: int = field(default_factory=multiprocessing.cpu_count)
    max_size: int = 0
    job_runner: type = multiprocessing.Process
    auto_remove: bool = False
    auto_start: bool = True
    auto_stop: bool = False
    callback: Callable[[dict[str, Any]], Any] | None = None
    log_file: Any = None
    poll: float = 0.1
    show_progress: bool = False
    qid: Any = None
    escape_formulas: bool = False
    log: JobLog | None = field(init=False)

    def __post_init__(self) -> None:
        if callable(self.n_workers) and not isinstance(self.n_workers, type):
            raise TypeError(
                f"n_workers must be an integer, not {shown(self.n_workers)}: as a decorator, Queue "
                "needs its brackets, as in @Queue()"
            )
        put = object.__setattr__  # it is frozen
        put(self, "n_workers", check_workers("n_workers", self.n_workers))
        if self.job_runner not in (multiprocessing.Process, threading.Thread):
            raise ValueError(
                "job_runner must be the class multiprocessing.Process or threading.Thread, "
                f"not {shown(self.job_runner)}"
            )
        put(self, "max_size", _size(self.max_size))
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be a function or None, not {shown(self.callback)}")
        check_poll(self.poll, at_least=_SHORTEST_POLL)
        if self.qid is None:
            put(self, "qid", uuid.uuid4().hex[:8])
        log = None
        if self.log_file is not None:
            log = JobLog(self.log_file, escape_formulas=bool(self.escape_formulas))
            log.check()
        put(self, "log", log)

    @property
    def can_kill(self) -> bool:
        """Whether jobs run where they can be killed."""
        return self.job_runner is multiprocessing.Process


def settings_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Settings:
    """The settings that `Queue(*args, **kwargs)` means.

    Raises:
        TypeError, ValueError: as a call with wrong arguments does, or for what `Queue` refuses.
        OSError: the log cannot be written.
    """
    order = _ORDER_1 if args and isinstance(args[0], type) else _ORDER_2
    known = [each.name for each in fields(Settings) if each.init]
    if len(args) > len(order):
        raise TypeError(f"Queue() takes {len(order)} arguments by position, not {len(args)}")
    named = dict(zip(order, args, strict=False))
    for name, value in kwargs.items():
        if name not in known:
            raise TypeError(f"Queue() has no argument {shown(name)}; it has {', '.join(known)}")
        if name in named:
            raise TypeError(f"Queue() got two values for {shown(name)}")
        named[name] = value
    return Settings(**named)


def _size(value: object) -> int:
    size = check_integer("max_size", value, "an integer (0: no limit)")
    if size < 0:
        raise ValueError(f"max_size must be >= 0 (0: no limit), not {shown(value)}")
    return size


def check_poll(value: object, at_least: float | None = None) -> None:
    """Raise TypeError or ValueError unless `value` can be the seconds between two looks.

    Nothing here polls, so nothing more is done with it.
    """
    if value is None and at_least is None:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"poll must be a number of seconds, not {shown(value)}")
    if not float(value) >= (at_least or float("-inf")):
        raise ValueError(
            f"poll must be a number of seconds, at least {at_least}, not {shown(value)}"
        )
