"""The end of the interpreter: what was submitted is finished first, and nothing more is taken.

`threading._register_atexit` is concurrent.futures' own way to be called before non-daemon threads
are joined; with plain `atexit`, which comes after that, an idle loop would hang the exit for ever.
The name was read in CPython 3.10 to 3.14.

A process that multiprocessing or loky started ends differently: before all that, it joins its
children, of which the root may be one. So there a finalizer of multiprocessing's comes first.
"""

from __future__ import annotations

import os
import threading
import weakref
from multiprocessing import util
from typing import Protocol

__all__ = ["has_begun", "register"]


class Finishing(Protocol):
    """What must come to its end before the interpreter does."""

    def finish(self) -> None:
        """Take no more, finish what there is; do not wait."""

    def join(self) -> None:
        """Wait until that is done."""


class Forgotten(Protocol):
    """What is to be told of the end before anything is finished."""

    def abandon(self) -> None:
        """Let go of what nobody can ask for any more; do not wait."""


_live: weakref.WeakSet[Finishing] = weakref.WeakSet()
_forgotten: weakref.WeakSet[Forgotten] = weakref.WeakSet()
_lock = threading.Lock()  # guards the two, and _begun
_begun = False
_in_child: util.Finalize | None = None


def register(loop: Finishing) -> None:
    """Have `loop` finished at exit, if it is still there."""
    global _in_child
    with _lock:
        _live.add(loop)
        if _in_child is None:
            _in_child = util.Finalize(None, _finish_all, exitpriority=100)


def tell_first(forgotten: Forgotten) -> None:
    """Have `forgotten` told at exit, if it is still there, before any loop is finished."""
    with _lock:
        _forgotten.add(forgotten)


def has_begun() -> bool:
    """Whether the interpreter is on its way out."""
    return _begun


def _finish_all() -> None:
    global _begun
    with _lock:
        _begun = True
        live = list(_live)
        forgotten = list(_forgotten)
    for each in forgotten:
        each.abandon()
    for loop in live:
        loop.finish()
    for loop in live:
        loop.join()
    from .engines import close_leftovers

    close_leftovers()


def _forget_in_child() -> None:
    """A fork has none of the threads that its parent's loops are."""
    global _lock, _in_child
    _lock = threading.Lock()
    _in_child = None
    _live.clear()
    _forgotten.clear()


threading._register_atexit(_finish_all)  # type: ignore[attr-defined]  # noqa: SLF001
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
