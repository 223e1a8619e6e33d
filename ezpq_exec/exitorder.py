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
    """Have `callback` called; it must bear being called more than once.

    Raises:
        RuntimeError: the end has begun.
    """
    threading._register_atexit(callback)  # type: ignore[attr-defined]  # noqa: SLF001
    _callbacks.append(callback)


def come_first() -> None:
    """Have all of them called before what others have registered since."""
    for callback in _callbacks:
        try:
            threading._register_atexit(callback)  # type: ignore[attr-defined]  # noqa: SLF001
        except RuntimeError:  # the end has begun, in the order that there is
            return
