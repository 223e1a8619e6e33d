"""The end of the interpreter: what was submitted is finished first, and nothing more is taken.

But where it is Ctrl-C that ends the program, what waits is cancelled, and what runs is killed.

It is done before non-daemon threads are joined, as `exitorder` has it; with plain `atexit`, which
comes after that, an idle loop would hang the exit for ever.

A process that multiprocessing or loky started ends differently: before all that, it joins its
children, as workers without keepers are. So there a finalizer of multiprocessing's comes first.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from multiprocessing import util
from typing import Protocol

from . import exitorder

__all__ = ["has_begun", "register"]


class Finishing(Protocol):
    """What must come to its end before the interpreter does."""

    def finish(self) -> None:
        """Take no more, finish what there is; do not wait."""

    def abort(self) -> bool:
        """As `finish`, but cancel what waits and kill what runs; False if it cannot kill."""

    def join(self) -> None:
        """Wait until that is done."""


class Forgotten(Protocol):
    """What is to be told of the end before anything is finished."""

    def abandon(self) -> None:
        """Let go of what nobody can ask for any more; do not wait."""


_live: weakref.WeakSet[Finishing] = weakref.WeakSet()
_forgotten: weakref.WeakSet[Forgotten] = weakref.WeakSet()
_lock = threading.RLock()  # guards the two, and _begun; re-entrant, for a finalizer's executor
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
    if _was_interrupted():
        _abort(live)
    for loop in live:
        loop.finish()
    try:
        _await(live)
    finally:
        from .engines import close_leftovers

        close_leftovers()


def _await(live: list[Finishing]) -> None:
    try:
        for loop in live:
            loop.join()
    except KeyboardInterrupt:
        for loop in _abort(live):
            loop.join()
        raise


def _abort(live: list[Finishing]) -> list[Finishing]:
    """Abort all of them; returns those whose jobs are being killed, so that they end soon."""
    return [loop for loop in live if loop.abort()]


def _was_interrupted() -> bool:
    """Whether Ctrl-C ends the program: the interpreter keeps the last exception that nobody caught.

    At a prompt it keeps it as well, but goes on. So there it tells nothing.
    """
    last = getattr(sys, "last_type", None)
    at_prompt = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    return not at_prompt and isinstance(last, type) and issubclass(last, KeyboardInterrupt)


def _forget_in_child() -> None:
    """A fork does not have the threads of its parent's loops."""
    global _lock, _in_child
    _lock = threading.RLock()
    _in_child = None
    _live.clear()
    _forgotten.clear()


exitorder.call_at_exit(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
