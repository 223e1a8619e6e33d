"""What workers' jobs logged is logged here, on a courier: handlers are the user's code.

If the handlers are slower than the jobs, the workers concerned are not listened to for a while.
Then their streams fill up, and their jobs wait, as they would for a slow handler of their own.
"""

from __future__ import annotations

import logging
import pickle
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from .commands import Command
from .courier import Courier
from .engines.channel import Kind
from .jobs import Job
from .reports import Said

__all__ = ["LogListener"]

MOST_LEFT = 4 * 1024 * 1024  # bytes from one slot that may wait for the handlers
EACH = 1024  # bytes of memory that each record takes besides its text

_registries: dict[str, dict[Any, Any]] = {}  # which warnings were shown, by file
_stand_ins: dict[tuple[str, ...], type[Warning]] = {}


class LogListener:
    """Takes the log records and warnings that an engine reports.

    Args:
        name: of the courier's thread.
        hear: the engine's, for the loop to call.
        post: has something called on the loop.
    """

    def __init__(
        self, name: str, hear: Callable[[int, bool], object], post: Callable[..., object]
    ) -> None:
        self._courier = Courier(name)
        self._hear = hear
        self._post = post
        self._lock = threading.Lock()  # guards the next two
        self._left: Counter[int] = Counter()  # bytes by slot
        self._unheard: set[int] = set()

    def take(self, said: Said, job: Job | None) -> None:
        """Have it logged. If too much is waiting, stop listening to that slot for a while."""
        with self._lock:
            self._left[said.slot] += len(said.body) + EACH
            is_too_much = self._left[said.slot] > MOST_LEFT
            if is_too_much:
                self._unheard.add(said.slot)
        if is_too_much:
            self._hear(said.slot, False)
        self._courier.send(lambda: self._log(said, job))

    def _hear_again(self, slot: int, now: float) -> list[Command]:
        self._hear(slot, True)
        return []

    def _log(self, said: Said, job: Job | None) -> None:
        try:
            if said.kind == Kind.LOGGED:
                _handle(said, job)
            else:
                _warn(*pickle.loads(said.body))  # noqa: S301 - a worker's, by its own socket; and so below
        finally:
            self._is_done(said)

    def _is_done(self, said: Said) -> None:
        with self._lock:
            self._left[said.slot] -= len(said.body) + EACH
            resumes = said.slot in self._unheard and self._left[said.slot] < MOST_LEFT // 2
            if resumes:
                self._unheard.remove(said.slot)
        if resumes:
            self._post(self._hear_again, said.slot)

    @property
    def runs_here(self) -> bool:
        """Whether this thread is the courier's, or is sending it something."""
        return self._courier.is_here

    def close(self) -> None:
        """Log what is left, and end."""
        self._courier.close()

    def join(self) -> None:
        """Wait for that end."""
        self._courier.join()


def _handle(said: Said, job: Job | None) -> None:
    """Log a record as if it had been logged in this process."""
    fields, others = pickle.loads(said.body)  # noqa: S301
    logger = logging.getLogger(None if fields["name"] == "root" else fields["name"])
    if not logger.isEnabledFor(fields["levelno"]):  # the level has changed since it was sent
        return
    record = logging.makeLogRecord(fields)
    record.job_id = job.number if job is not None else None
    record.job_name = job.name if job is not None else None
    record.worker = said.slot
    for name, value in pickle.loads(others).items() if others else ():  # noqa: S301
        vars(record)[name] = value if isinstance(value, str) else _unpickled(value)
    logger.handle(record)


def _unpickled(packed: bytes) -> object:
    try:
        return pickle.loads(packed)  # noqa: S301
    except Exception as failure:  # the user's class, which may not unpickle here
        return f"<it does not unpickle: {failure!r}>"


def _warn(text: str, kinds: tuple[str, str, str], where: tuple[str, int, str | None]) -> None:
    """Warn, by this program's filters, of what it has not been warned of before."""
    filename, lineno, module = where
    category = _category(*kinds)
    try:
        message = category(text)
    except Exception:  # the user's class, which wants other arguments
        category = _stand_in(*kinds)
        message = category(text)
    registry = _registry(filename, module)
    if module is None:  # for which CPython would show nothing
        module = filename.removesuffix(".py")
    try:
        warnings.warn_explicit(message, category, filename, lineno, module, registry)
    except Warning:  # the filters make it an error, but no caller is there to get it
        warnings.showwarning(message, category, filename, lineno)


def _registry(filename: str, module: str | None) -> dict[Any, Any]:
    """The registry of shown warnings: that of the module, if it is loaded here, too."""
    home = sys.modules.get(module or "")
    if home is not None and getattr(home, "__file__", None) == filename:
        registry: dict[Any, Any] = vars(home).setdefault("__warningregistry__", {})
        return registry
    return _registries.setdefault(filename, {})


def _category(module: str, name: str, standard: str) -> type[Warning]:
    """The class of a warning, if it is loaded here; else one that looks like it."""
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    return _stand_in(module, name, standard)


def _stand_in(module: str, name: str, standard: str) -> type[Warning]:
    kinds = module, name, standard
    if kinds not in _stand_ins:
        base = vars(sys.modules["builtins"])[standard]
        _stand_ins[kinds] = type(name.rpartition(".")[2], (base,), {"__module__": module})
    return _stand_ins[kinds]
