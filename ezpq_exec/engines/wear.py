"""When a worker has grown too large to be kept."""

from __future__ import annotations

import os

from ..errors import UnsupportedOption
from .base import Setup
from .channel import Frame
from .usage import resident

__all__ = ["check", "outgrown"]


def check(setup: Setup) -> None:
    """Raise UnsupportedOption if `max_worker_memory` is set and memory cannot be measured here."""
    if setup.max_worker_memory is None:
        return
    try:
        resident(os.getpid())
    except ImportError as error:
        raise UnsupportedOption(
            "max_worker_memory needs psutil on this system, to ask how much memory a worker has: "
            f"pip install ezpq_exec[memory] (got {setup.max_worker_memory!r})"
        ) from error


def outgrown(setup: Setup, answer: Frame, pid: int | None) -> bool:
    """Whether the worker that has just sent that answer has more memory than it may keep.

    It is measured only if its peak was above that. The answer that it has just sent does not count,
    since it may still be in its memory.
    """
    most = setup.max_worker_memory
    if most is None or pid is None or 0 < answer.rss <= most:
        return False
    return resident(pid) - len(answer.body) > most
