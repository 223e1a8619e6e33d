"""Keeps Ctrl-C from the processes that a program starts for its jobs: it reaches the program only.

A terminal sends SIGINT to all of them. One that is just starting is not yet able to ignore it; so
it is started with the signal blocked, which it inherits from the thread that starts it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable

__all__ = ["deafen", "ignore"]


def deafen() -> None:
    """Have the processes that this thread starts begin with SIGINT blocked.

    The calling thread must be one of ours: from now on, it gets no SIGINT; other threads do.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        from loky.backend import resource_tracker as loky_tracker

        # Starting one of these unblocks the signal; a process that is started starts both.
        resource_tracker.ensure_running()
        loky_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def ignore(numbers: Iterable[int]) -> None:
    """In a process started like that: ignore these signals, SIGINT among them, and unblock SIGINT."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
