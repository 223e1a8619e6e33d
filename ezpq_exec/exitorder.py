"""Callbacks at the interpreter's exit, and the order in which they are called.

`threading._register_atexit` is concurrent.futures' own way to be called before non-daemon threads
are joined. What was registered last is called first. The name was read in CPython 3.10 to 3.14.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["call_at_exit", "come_first"]

_callbacks: list[Callable[[], object]] = []


def call_at_exit(callback: Callable[[], object]) -> None:
    """Have `callback` called at the exit, perhaps more than once.

    Raises:
        RuntimeError: the exit has begun.
    """
    threading._register_atexit(callback)  # type: ignore[attr-defined]  # noqa: SLF001
    _callbacks.append(callback)


def come_first() -> None:
    """Register all of them again, so that they come before what others have registered since."""
    for callback in _callbacks:
        try:
            threading._register_atexit(callback)  # type: ignore[attr-defined]  # noqa: SLF001
        except RuntimeError:  # the exit has begun: the order stays as it is
            return
