"""A thread that runs what the loop must not wait for: callbacks, and unpickling of users' objects."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from .condition import is_held

__all__ = ["Courier"]

_log = logging.getLogger("ezpq_exec")


class Courier:
    """Does errands one after another, in order, on a thread that exists once there is one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._errands: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # Guards _thread, and that nothing is put after the end mark; re-entrant, for finalizers.
        self._lock = threading.RLock()
        self._closed = False
        self._ended = threading.Event()  # to be awaited before the thread: see `Loop._ended`

    def send(self, errand: Callable[[], object]) -> None:
        """Have `errand` called on the thread; or here, if the courier is closed or cannot have one."""
        with self._lock:
            if not self._closed:
                self._errands.put(errand)  # first: Ctrl-C may come while the thread begins
                if self._has_thread():
                    return
                errand = self._errands.get() or errand  # or one that came in the midst of this
        _do(errand)

    def _has_thread(self) -> bool:
        """Whether there is a thread now. If none can be started, errands are done by the caller."""
        if self._thread is None:
            self._thread = thread = threading.Thread(
                target=_work, args=(self._errands, self._ended)
            )
            thread.name = self._name
            try:
                thread.start()
            except BaseException as failure:
                if thread not in threading.enumerate():  # else Ctrl-C has come while it began
                    self._thread = None
                if not isinstance(failure, RuntimeError):
                    raise
        return self._thread is not None

    @property
    def is_held(self) -> bool:
        """Whether this thread is in the middle of sending it something."""
        return is_held(self._lock)

    @property
    def is_here(self) -> bool:
        """Whether this is its thread, or one that is in the middle of sending it something."""
        return self._thread is threading.current_thread() or self.is_held

    def close(self) -> None:
        """Do what is left, then end."""
        with self._lock:
            if not self._closed:
                if self._thread is not None:
                    self._errands.put(None)
                self._closed = True  # last: if `put` fails, `close` can be called again

    def join(self) -> None:
        """Wait for the end, unless this is the courier's own thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._ended.wait()
            thread.join()


def _work(errands: queue.SimpleQueue[Callable[[], object] | None], ended: threading.Event) -> None:
    while True:
        errand = errands.get()
        if errand is None:
            ended.set()
            return
        _do(errand)
        del errand  # while waiting, keep nothing alive


def _do(errand: Callable[[], object]) -> None:
    try:
        errand()
    except BaseException:
        _log.exception("exception calling %r", errand)
