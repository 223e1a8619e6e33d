"""Whether an executor accepts jobs, and if not, why not."""

from __future__ import annotations

import os
import threading

from . import exits
from .places import Places

__all__ = ["Gate"]

_forks = 0  # how many forks lie between this process and the one that the program began as


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class Gate:
    """Open until it is shut, or broken, or the interpreter is about to exit.

    A thread that submits holds `lock` until its job is posted. So no job is posted after the letter
    which says that no more will come.
    """

    def __init__(self, places: Places | None = None) -> None:
        self.lock = threading.RLock()  # re-entrant, since a finalizer may submit
        self.is_shut = False
        self.broken: BaseException | None = None
        self.places = places  # None: any number of jobs is taken
        self.process = os.getpid()
        self._forks = _forks

    def shut(self) -> None:
        """Take no more jobs; whoever waits for a place is told so."""
        self.is_shut = True
        if self.places is not None:
            self.places.close()

    def break_down(self, cause: BaseException) -> None:
        """As `shut`, since no worker can be started: `check` raises a copy of `cause` from now on."""
        self.broken = cause
        if self.places is not None:
            self.places.close()

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that the executor was made in, not a fork of it."""
        return self._forks == _forks

    def check_process(self) -> None:
        """Raise RuntimeError in a fork of the process that the executor was made in."""
        if not self.is_ours:
            raise RuntimeError(
                f"this executor is process {self.process}'s, of which this one, {os.getpid()}, "
                "is a fork without its threads: make another executor here"
            )

    def check(self) -> None:
        """Raise RuntimeError, BrokenExecutor among them, unless the gate is open."""
        if self._forks != _forks:
            self.check_process()
        if self.broken is not None:
            raise type(self.broken)(*self.broken.args) from self.broken.__cause__
        if exits.has_begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
