"""Child processes that a fork of this process must not wait for.

At exit multiprocessing joins all the processes that were started, in a fork of the program, too;
there it finds that they are not its children, and says so at length.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

__all__ = ["disown_in_forks"]

_started: weakref.WeakSet[Any] = weakref.WeakSet()


def disown_in_forks(process: Any) -> None:
    """Have forks of this process leave `process` alone at exit."""
    _started.add(process)


def _disown() -> None:
    for process in list(_started):
        process.join = _not_ours
    _started.clear()


def _not_ours(timeout: float | None = None) -> None:
    """It is another's to wait for."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)
